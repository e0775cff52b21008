"""Reading files that somebody else made: bounded in bytes, depth and counts before anything is built of them.

`read_bytes`, `read_text`   a small file, whole: a regular file of at most so many bytes
`load_json`, `load_toml`, `load_yaml`   text to plain containers, with bounds on depth, values and digits
`inflate`                   a compressed stream, in pieces, up to a number of bytes
`check_zip`                 the size that a zip archive states for its entries, before any is unpacked
`safetensors_header`        the header of a safetensors file, which states every byte of the file
`safe_children`             no code from the current folder in processes that are started (see `import_path`)

Every refusal is an `UnsafeFileError`: a ValueError whose message continues a sentence that starts with the file's
name, such as "config.json is nested deeper than 64 levels".
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

MIB = 1 << 20
SETTINGS_BYTES = MIB
"""Most bytes of a configuration, a sidecar or a filter file."""
TOML_BYTES = MIB // 4
YAML_CHARACTERS = MIB // 4
TABLE_BYTES = 512 * MIB
"""Most bytes of a table of labels, reports or scans."""
_MOST_HEADER = 64 * MIB
DEPTH = 64
VALUES = 1_000_000
_DIGITS = 400
"""Most digits of a whole number: a float64 holds up to 309 before the decimal point."""
_KEY_PARTS = 64
_PIECE = MIB

# Unrolled and possessive, so that neither a long string nor one without an end takes more than one pass.
_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NOT_BRACKETS = bytes(set(range(256)) - set(_STEPS))
# It starts where no part of a key ends, and gives nothing back: one pass over any text.
_DOTTED_KEY = re.compile(
    r"(?<![\w\"'.\\-])(?:(?:[\w-]++|\"(?:[^\"\\\n]|\\.)*+\"|'[^'\n]*+')[ \t]*+\.[ \t]*+)"
    rf"{{{_KEY_PARTS}}}"
)


class UnsafeFileError(ValueError):
    """A file is larger, deeper or of another kind than what is read."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. A pipe or device is refused without waiting for it.

    Raises:
        OSError: it cannot be opened.
        UnsafeFileError: it is a pipe, device, socket or folder.
    """
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnsafeFileError("is not a regular file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file.

    Args:
        path: the file.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be opened or read.
        UnsafeFileError: it is no regular file, or has more bytes.
    """
    with open_regular(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise UnsafeFileError(f"has {size} bytes; the limit is {most}")
        content = file.read(most + 1)  # files of /proc state 0 bytes, and a file may grow
    if len(content) > most:
        raise UnsafeFileError(f"has more than {most} bytes, which is the limit")
    return content


def read_text(path: Path, most: int = SETTINGS_BYTES, encoding: str = "utf-8") -> str:
    """The text of a regular file.

    Raises:
        OSError: it cannot be opened or read.
        UnsafeFileError: it is no regular file, or has more bytes than `most`.
        UnicodeDecodeError: it is in another encoding.
    """
    return read_bytes(path, most).decode(encoding)


def load_json(content: str | bytes, *, depth: int = DEPTH, values: int = VALUES, finite: bool = True) -> Any:
    """JSON as plain containers.

    Args:
        content: text, or bytes in UTF-8.
        depth: levels of lists and objects at most.
        values: items of all lists and objects at most.
        finite: refuse NaN, Infinity and numbers that overflow to it, which are not JSON (RFC 8259).

    Raises:
        ValueError: it is not JSON, or (as UnsafeFileError) exceeds a bound or names a key twice in an object.
    """
    raw = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    outside = _JSON_STRING.sub(b"", raw)
    if outside.count(b",") + outside.count(b"[") + outside.count(b"{") > values:
        raise UnsafeFileError(f"contains more than {values} values")
    if max(accumulate(_STEPS[byte] for byte in outside.translate(None, _NOT_BRACKETS)), default=0) > depth:
        raise UnsafeFileError(f"is nested deeper than {depth} levels")
    try:
        return json.loads(
            content,
            parse_int=_integer,
            parse_float=_finite_number if finite else float,
            parse_constant=_refuse_constant if finite else float,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise UnsafeFileError(f"is nested deeper than {depth} levels") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers differ in which of two values they use (RFC 8259): a person could see another value than is computed with.
    if len(made := dict(pairs)) < len(pairs):
        raise UnsafeFileError("repeats a key within one object")
    return made


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise UnsafeFileError(f"contains a number of {len(digits)} digits")
    return int(digits)


def _finite_number(digits: str) -> float:
    if not math.isfinite(number := float(digits)):
        raise UnsafeFileError("contains a number that is not finite")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise UnsafeFileError(f"contains {name}, which is not JSON")


def load_yaml(text: str, *, depth: int = DEPTH) -> Any:
    """One YAML document as plain containers.

    Raises:
        ValueError: it is not YAML, has a tag of a program's own, or (as UnsafeFileError) exceeds a bound on depth or
            has anchors, with which a short text can state any number of values.
    """
    import yaml

    if len(text) > YAML_CHARACTERS:
        raise UnsafeFileError(f"has more than {YAML_CHARACTERS} characters")
    level = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if level > depth:
                raise UnsafeFileError(f"is nested deeper than {depth} levels")
            if getattr(event, "anchor", None):
                raise UnsafeFileError("has anchors")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from error


def load_toml(text: str, *, depth: int = DEPTH) -> dict[str, Any]:
    """A TOML document as plain containers.

    Raises:
        ValueError: it is not TOML, or (as UnsafeFileError) exceeds a bound: levels of nesting, parts of a dotted key,
            digits of a number.
    """
    # Each table costs a walk along its key: thousands of parts would take minutes.
    if _DOTTED_KEY.search(text):
        raise UnsafeFileError(f"contains a key of more than {_KEY_PARTS} parts")
    try:
        table = tomllib.loads(text)
    except RecursionError as error:
        raise UnsafeFileError(f"is nested deeper than {depth} levels") from error
    except tomllib.TOMLDecodeError:
        raise
    except (
        ValueError
    ) as error:  # from int(), of more digits than Python converts; or from a date that is none
        raise UnsafeFileError("contains a number or date that cannot be read") from error
    _check_plain(table, depth)
    return table


def _check_plain(table: Any, depth: int) -> None:
    waiting: list[tuple[Any, int]] = [(table, 1)]
    while waiting:
        value, level = waiting.pop()
        if isinstance(value, dict | list):
            if level > depth:
                raise UnsafeFileError(f"is nested deeper than {depth} levels")
            inner = value.values() if isinstance(value, dict) else value
            waiting += [(item, level + 1) for item in inner]
        elif isinstance(value, int) and abs(value) >= 10**30:  # TOML 1.0 asks for 64 bits
            raise UnsafeFileError("contains an integer of more than 30 digits")


def inflate(file: BinaryIO, most: int, wbits: int = -zlib.MAX_WBITS) -> Iterator[bytes]:
    """The content of a compressed stream in pieces, from where the file is. A stream that is cut off ends early.

    Args:
        file: open for reading.
        most: bytes of content after which to stop.
        wbits: as for `zlib.decompressobj`: -15 for bare deflate, 31 for gzip.

    Raises:
        zlib.error: the stream is damaged.
        UnsafeFileError: it holds more than `most` bytes.
    """
    inflater = zlib.decompressobj(wbits)
    left = most
    while not inflater.eof and (piece := inflater.unconsumed_tail or file.read(_PIECE)):
        content = inflater.decompress(piece, _PIECE)
        if len(content) > left:
            raise UnsafeFileError(f"decompresses to more than {most} bytes")
        left -= len(content)
        yield content


def check_zip(content: bytes, most: int) -> None:
    """Refuse a zip archive, such as an Excel workbook, whose entries unpack to too much. Damage is not looked for.

    Raises:
        UnsafeFileError: its entries state more than `most` bytes in all.
    """
    if not content.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return
    if size > most:
        raise UnsafeFileError(f"unpacks to {size} bytes; the limit is {most}")


def safetensors_header(file: BinaryIO) -> dict[str, Any]:
    """The header of a safetensors file: entries by tensor, and texts under `__metadata__`.

    Read here because the library maps the whole file into memory first, and gives no sizes.

    Args:
        file: a regular file, open for reading at its start.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no safetensors file, damaged (mostly as UnsafeFileError), or cut off.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 0 < length <= min(_MOST_HEADER, size - 8):
        raise UnsafeFileError("has no header")
    header: dict[str, Any] = load_json(file.read(length))
    try:
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        complete = 8 + length + max(ends, default=0) == size
    except (TypeError, KeyError, IndexError, AttributeError) as error:
        raise UnsafeFileError("has a damaged header") from error
    if not complete:
        raise UnsafeFileError("has another size than its header states")
    return header


@contextmanager
def safe_children() -> Iterator[None]:
    """Around starting processes with multiprocessing: they do not import from the current folder (`python -P`)."""
    named = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    # An empty entry of PYTHONPATH is the current folder, too.
    variables = {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(named)}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
