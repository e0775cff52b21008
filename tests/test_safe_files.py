"""Bounds on files of strangers: what is refused is refused quickly, and what people write is read."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest

from prima_features.files.safe import (
    UnsafeFileError,
    check_zip,
    inflate,
    load_json,
    load_toml,
    read_bytes,
    safe_children,
)
from prima_features.import_path import safe_path

JSON = {
    "deep lists": ("[" * 15_000 + "]" * 15_000, "nested deeper"),
    "deep objects": ('{"a":' * 65 + "1" + "}" * 65, "nested deeper"),
    "deep, never closed": ("[" * 5_000_000, "nested deeper|more than 1000000"),
    "many values": ("[" + "0," * 1_000_001 + "0]", "more than 1000000 values"),
    "many empty objects": ("[" + "{}," * 600_000 + "0]", "more than 1000000 values"),
    "a long number": ("1" + "0" * 6_000, "a number of 6001 digits"),
    "a long negative number": ("[-" + "9" * 6_000 + "]", "a number of 6001 digits"),
    "an infinite number": ("[1e999]", "not finite"),
    "Infinity": ('{"a": -Infinity}', "contains -Infinity"),
    "NaN": ("NaN", "contains NaN"),
    "a key twice": ('[{"a": 1, "b": {"c": 1, "c": 2}}]', "repeats a key"),
    "a text without an end": ('"' + '\\"' * 1_000_000, "Unterminated"),
    "many quotes": ('"' * 1_000_001, "Extra data"),
    "a backslash at the end": ('"abc\\', "Unterminated"),
}


@pytest.mark.parametrize("case", JSON)
def test_json_out_of_bounds_is_refused_at_once(case: str) -> None:
    content, message = JSON[case]
    started = time.process_time()
    with pytest.raises(ValueError, match=message):
        load_json(content)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "value",
    [
        {"text": "[" * 1_000 + '"{' + "\\", "numbers": [0, -1.5e-300, 2**63, True, None]},
        "\ud800",
        {"": {"a": [[["b"]]]}},
        "é" * 10,
    ],
)
def test_json_that_people_write_is_read_as_it_is(value: object) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert load_json(text) == json.loads(text)
    assert load_json(json.dumps(value).encode()) == value
    assert load_json("[NaN, 1e999]", finite=False)[1] == float("inf")


TOML = {
    "deep lists": ("a = " + "[" * 5_000 + "]" * 5_000, "nested deeper"),
    "deep tables": ("a = " + "{a = " * 500 + "1" + "}" * 500, "nested deeper"),
    "a key of many parts": (".".join("a" * 100_000) + " = 1", "a key of more than 64 parts"),
    "a table's key of many parts": ("['a b'" + " . 'a b'" * 1_000 + "]", "a key of more than 64 parts"),
    "an inline key of many parts": ("x = {a" + '."\\"b"' * 1_000 + " = 1}", "a key of more than 64 parts"),
    "a long number": ("a = 1" + "0" * 6_000, "a number or date"),
    "a number of 31 digits": ("a = [1, {b = 1" + "0" * 30 + "}]", "more than 30 digits"),
    "a long hexadecimal number": ("a = 0x" + "f" * 50_000, "more than 30 digits"),
    "words and spaces": (("a" * 500 + " ") * 500, "Expected '='"),
    "quotes": (' "\\"' * 60_000, "Expected '='"),
    "a date that is none": ("a = 2024-02-31", "Invalid date"),
}


@pytest.mark.parametrize("case", TOML)
def test_toml_out_of_bounds_is_refused_at_once(case: str) -> None:
    content, message = TOML[case]
    started = time.process_time()
    with pytest.raises(ValueError, match=message):
        load_toml(content)
    assert time.process_time() - started < 5


def test_toml_that_people_write_is_read() -> None:
    text = 'a.b."c d".e = [1, 2.5, "' + "x." * 500 + '"]\n[[t]]\nwhen = 2024-02-29\n'
    assert load_toml(text)["a"]["b"]["c d"]["e"][:2] == [1, 2.5]


def test_only_regular_files_of_a_stated_size_are_read(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_bytes(b"12345")
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(file)
    assert read_bytes(file, 5) == read_bytes(tmp_path / "link", 5) == b"12345"
    with pytest.raises(UnsafeFileError, match="has 5 bytes; the limit is 4"):
        read_bytes(file, 4)
    for path in (pipe, Path("/dev/zero"), tmp_path):
        with pytest.raises(UnsafeFileError, match="not a regular file"):
            read_bytes(path, 5)
    with pytest.raises(FileNotFoundError):
        read_bytes(tmp_path / "missing", 5)
    with file.open("r+b") as sparse:
        sparse.truncate(1 << 40)
    with pytest.raises(UnsafeFileError, match="the limit is 5"):
        read_bytes(file, 5)


def test_a_stream_is_inflated_up_to_a_bound(tmp_path: Path) -> None:
    content = os.urandom(3 << 20) + bytes(3 << 20)
    packed = gzip.compress(content)
    assert b"".join(inflate(io.BytesIO(packed), len(content), 31)) == content
    with pytest.raises(UnsafeFileError, match="decompresses to more than 100 bytes"):
        list(inflate(io.BytesIO(packed), 100, 31))
    assert content.startswith(b"".join(inflate(io.BytesIO(packed[:-1000]), len(content), 31)))
    with pytest.raises(zlib.error):
        list(inflate(io.BytesIO(b"no gzip"), 100, 31))


def test_a_workbook_that_unpacks_to_much_is_refused_before() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sheet.xml", bytes(1 << 20))
    check_zip(packed.getvalue(), 1 << 20)
    check_zip(b"PK\x03\x04 no archive", 1)
    with pytest.raises(UnsafeFileError, match="unpacks to 1048576 bytes"):
        check_zip(packed.getvalue(), 1 << 19)


def test_processes_do_not_import_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/usr/lib/python3", str(tmp_path / "..")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert safe_path() == ["/usr/lib/python3", str(tmp_path / "..")]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert str(tmp_path) in safe_path()
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with safe_children():
        assert os.environ["PYTHONSAFEPATH"] == "1"
    assert "PYTHONSAFEPATH" not in os.environ
