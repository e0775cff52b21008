"""Settings, tables and filter files of strangers: pipes, devices, depth and sizes are refused in one sentence."""

from __future__ import annotations

import io
import os
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prima_features.doctor.known_answer import read_answer
from prima_features.errors import UsageError
from prima_features.pretraining.settings import ClipTraining
from prima_features.pretraining.settings.stages import read_settings
from prima_features.probes.labels.cohorts import read_cohort
from prima_features.probes.labels.tables import read_table
from prima_features.reports import read_reports
from prima_features.studies.bids.filters import read_filters
from prima_features.studies.find import format_of
from prima_features.studies.manifest import read_rows

READERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "settings": (lambda path: read_settings(ClipTraining, path), "toml"),
    "cohort": (lambda path: read_cohort(path, {}), "toml"),
    "filters": (read_filters, "json"),
    "labels": (read_table, "tsv"),
    "manifest": (read_rows, "tsv"),
    "reports": (read_reports, "tsv"),
}
CONTENT = {
    "toml": (
        "a = " + "[" * 5000 + "]" * 5000,
        ".".join("a" * 50_000) + " = 1",
        "a = 1" + "0" * 6000,
        "a = " + '"x"' * 100_000,
        "\ud800",
    ),
    "json": ("[" * 100_000, '{"a": 1' + "0" * 6000 + "}", '{"a": ' * 100 + "1" + "}" * 100, '{"a": NaN}'),
    "tsv": (),
}


@pytest.mark.parametrize("name", READERS)
def test_what_is_no_settings_file_is_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    read, kind = READERS[name]
    path = tmp_path / f"file.{kind}"
    os.mkfifo(path)
    started = time.process_time()
    refusals = [_refusal(read, other) for other in (path, Path("/dev/zero"), tmp_path)]
    for content in CONTENT[kind]:
        path.unlink()
        path.write_text(content, encoding="utf-8", errors="surrogatepass")
        refusals.append(_refusal(read, path))
    with (tmp_path / "large").open("wb") as sparse:
        sparse.truncate(1 << 40)
    refusals.append(_refusal(read, tmp_path / "large"))
    assert all("\n" not in refusal for refusal in refusals)
    assert time.process_time() - started < 10


def _refusal(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(UsageError) as told:
        read(path)
    return str(told.value)


def test_workbooks_that_unpack_to_much_are_refused(tmp_path: Path) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"<x/>")
    content = bytearray(packed.getvalue())
    # The directory's field for the size of the only entry, which says 4 GB.
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = b"\xf0\xff\xff\xff"
    path = tmp_path / "table.xlsx"
    path.write_bytes(content)
    for read in (read_table, read_reports):
        assert "unpacks to 4294967280 bytes" in _refusal(read, path)


def test_a_cell_at_the_end_of_a_sheet_does_not_fill_the_memory(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active["A1"] = "participant_id"
    book.active["XFD1048576"] = 1
    book.save(tmp_path / "table.xlsx")
    assert "more cells than the header (16384 and 1)" in _refusal(read_table, tmp_path / "table.xlsx")


@pytest.mark.parametrize("content", ["[" * 100_000, '{"scan": 1e999}', '{"scan": [[1]]}', "7"])
def test_a_known_answer_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "known_answer.json").write_text(content)
    try:
        assert read_answer(tmp_path) is None
    except UsageError as error:
        assert "\n" not in str(error)


def test_a_pipe_or_device_is_no_source(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.nii.gz")
    for source in (tmp_path / "a.nii.gz", Path("/dev/zero")):
        assert "pipe or a device" in _refusal(format_of, source)
