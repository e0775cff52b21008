"""Limits on one DICOM file, enforced while libraries parse it: a file that exceeds them fails alone, in bounded memory
and time.

pydicom reads an element of any declared length, decompresses a deflated file completely, and creates an object for each
item of a sequence; GDCM follows nested sequences until the stack overflows, which ends the process.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NoReturn

from prima_features.errors import SeriesError
from prima_features.files.safe import MIB, UnsafeFileError, inflate
from prima_features.studies.dicom import values
from prima_features.studies.files import DICOM_START

if TYPE_CHECKING:
    from pydicom import Dataset, FileDataset

MOST_ITEMS = 500_000
"""Items of all sequences in a header. A file of 12,000 described frames has about half as many."""
_MOST_ELEMENTS, _ELEMENTS_PER_ITEM = 20_000, 400
"""Elements of a header: outside of sequences, and additionally per item. Each takes pydicom microseconds."""
_MOST_IN_ALL = 4_000_000
"""Elements of a header with those in its items. A file of 12,000 described frames has about half as many."""
_BYTES_PER_ITEM = MIB // 4
"""Largest size of a sequence that is read: once, plus once per item."""
MOST_FRAMES = 1_000_000
_MOST_VALUE = 64 * MIB
"""Bytes of one element that is read; the largest are the sequences that describe frames."""
_HEADER = 16 * MIB
"""Bytes of a deflated file that are inflated to read its header."""
_START = MIB // 8
"""Bytes that most headers fit in."""
_LEAST_ELEMENT = 8
"""Bytes of an empty element or item."""
_MOST_PIXELS = 4096 * MIB
_MOST_SLICE = 64 * MIB
_DEPTH = 64
_DEFLATED, _EXPLICIT = b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.1\0\0\0"
_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""Tag of an item, little-endian and big-endian."""
_LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
"""Value representations whose length takes four bytes (PS3.5 section 7.1.2)."""
_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = 0x7FE00010
PIXEL_GROUPS = (b"\xe0\x7f", b"\x7f\xe0")
"""Group of the pixel data, little-endian and big-endian."""


class _DeflatedError(Exception):
    """pydicom requests the rest of the file, which it does to decompress it."""


class _Tally:
    """Counts the elements and items of sequences that were read so far."""

    def __init__(self) -> None:
        self._n_items = self._n_elements = 0
        self.refusal: UnsafeFileError | None = None
        """Why reading was refused: pydicom replaces the error by others."""

    def add(self, head: bytes) -> None:
        """Count an element or item by its first eight bytes. A value of eight bytes counts as well.

        Raises:
            UnsafeFileError: there are too many.
        """
        if head.startswith(_ITEMS):
            self._n_items += 1
            if self._n_items > MOST_ITEMS:
                self.refuse(f"has more than {MOST_ITEMS} items in its sequences")
        else:
            self._n_elements += 1
            most = min(_MOST_ELEMENTS + _ELEMENTS_PER_ITEM * self._n_items, _MOST_IN_ALL)
            if self._n_elements > most:
                self.refuse("has more elements than any real header")

    def refuse(self, why: str) -> NoReturn:
        """Raise UnsafeFileError, and keep it."""
        self.refusal = UnsafeFileError(why)
        raise self.refusal


class _CountedBytes(io.BytesIO):
    """Bytes that count the elements and items read from them."""

    def __init__(self, content: bytes, tally: _Tally):
        super().__init__(content)
        self._tally = tally

    def read(self, size: int | None = -1, /) -> bytes:
        """As of a file. Raises UnsafeFileError if there were too many elements or items."""
        content = super().read(size)
        if size == 8:
            self._tally.add(content)
        return content


class BoundedFile(io.BufferedReader):
    """A file that returns no more bytes at once than any element has, and counts elements and items of sequences."""

    def __init__(self, file: Path):
        super().__init__(io.FileIO(file))
        self.tally = _Tally()
        self.is_deflated = False
        """Known after it was read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """As of a file.

        Raises:
            UnsafeFileError: more bytes are requested than any element has, or there were too many elements or items.
        """
        if size is None or size < 0:
            raise _DeflatedError
        if size > _MOST_VALUE:
            self.tally.refuse(f"declares an element of {size} bytes")
        content = super().read(size)
        if size == 8:
            self.tally.add(content)
        return content


def read_data_set(
    file: BoundedFile, tags: tuple[values.Tag, ...], force: bool, pixels: bool = False
) -> tuple[FileDataset, BinaryIO]:
    """Some elements of a file up to its pixel data, by pydicom.

    Args:
        file: at its start.
        tags: the elements.
        force: read a file without preamble.
        pixels: decompress a deflated file completely, not only its header.

    Returns:
        The data set, and the stream with the rest: the file, or the decompressed content.

    Raises:
        UnsafeFileError: a limit is exceeded.
        Exception: what pydicom raises (`values.malformed`).
    """
    import pydicom

    known = values.base_tags(tags)

    def read(source: BinaryIO) -> FileDataset:
        try:
            data = pydicom.dcmread(source, stop_before_pixels=True, specific_tags=list(known), force=force)
        except Exception as error:
            if file.tally.refusal is not None:
                raise file.tally.refusal from error
            raise
        _check_elements(data)
        if isinstance(source, BoundedFile | _CountedBytes):  # the copy of a file's start is too short
            _check_sequences(data)
        return data

    if (found := _read_start(file, read)) is not None:
        return found, file
    try:
        return read(file), file
    except _DeflatedError:
        start, file.is_deflated = file.tell(), True
    data = read(_inflated(file, start, _HEADER, whole=False))
    if not pixels:
        return data, file
    source = _inflated(file, start, _declared(data) + _HEADER, whole=True)
    return read(source), source


def _read_start(file: BoundedFile, read: Callable[[BinaryIO], FileDataset]) -> FileDataset | None:
    """Data set read from a copy of the file's first bytes. The file is positioned where pydicom stopped.

    This is faster than counting in Python, and the copy is too short to exceed the limits on elements and items.
    Returns None, with the file at its start, unless the copy contains the whole header of a regular file: other files
    are read through `BoundedFile`.
    """
    content = file.read(min(_START, _LEAST_ELEMENT * MOST_ITEMS, _LEAST_ELEMENT * _MOST_ELEMENTS))
    file.seek(0)
    if not _has_plain_syntax(content):
        return None
    start = io.BytesIO(content)
    try:
        data = read(start)
    except Exception:  # `BoundedFile` raises it again, with the right reason
        return None
    if start.tell() + 8 > len(content) or not content.startswith(PIXEL_GROUPS, start.tell()):
        return None
    file.seek(start.tell())
    return data


def _has_plain_syntax(content: bytes) -> bool:
    """Whether the meta header is regular and does not name the deflated syntax, which pydicom decompresses without
    limits."""
    position = DICOM_START
    while content.startswith(b"\x02\x00", position):
        kind = content[position + 4 : position + 6]
        header, size = (12, 4) if kind in _LONG else (8, 2)
        length = int.from_bytes(content[position + header - size : position + header], "little")
        # Other representations can hide the syntax in escape sequences of a character set.
        if content[position + 2 : position + 4] == b"\x10\x00" and kind != b"UI":
            return False
        if not (kind.isalpha() and kind.isupper()) or length > values.LONGEST:
            return False
        position += header + length
    return content.startswith(b"DICM", 128) and _DEFLATED not in content[:position]


def find_pixels(stream: BinaryIO, implicit: bool, little: bool) -> tuple[int, int]:
    """Length of the pixel data that follows in the stream, which is left at its first byte; and how many bytes are
    reversed together in it (0 for none).

    Raises:
        SeriesError: something else follows.
    """
    order: Literal["little", "big"] = "little" if little else "big"
    head = stream.read(8)
    tag = int.from_bytes(head[:2], order) << 16 | int.from_bytes(head[2:4], order)
    if tag != _PIXEL_DATA:
        raise SeriesError("one of its files contains no integer pixel data", hint="export the series again")
    length = head[4:8] if implicit else stream.read(4)
    # In big-endian files OW swaps words whatever the size of a sample (PS3.5 annex A.3); OB swaps nothing.
    swap = 0 if little else (1 if head[4:6] == b"OB" else 2)
    return int.from_bytes(length, order), swap


def _inflated(file: BoundedFile, start: int, most: int, whole: bool) -> BinaryIO:
    """A deflated file (PS3.5 annex A.5) decompressed, at its start."""
    file.seek(0)
    file.tally = _Tally()
    content = _CountedBytes(b"", file.tally)
    content.write(file.read(start).replace(_DEFLATED, _EXPLICIT))
    # If only the beginning is needed, decompression stops early.
    for piece in inflate(file, most if whole else 1 << 62):
        content.write(piece)
        if not whole and content.tell() > most:
            break
    content.seek(0)
    return content


def _declared(data: FileDataset) -> int:
    """Bytes of the pixel data that the header declares."""
    numbers = [values.whole(data, name) for name in ("Rows", "Columns", "BitsAllocated", "NumberOfFrames")]
    rows, columns, bits, frames = (1 if number is None else max(number, 1) for number in numbers)
    if (size := rows * columns * max(bits // 8, 1) * frames) > _MOST_PIXELS:
        raise UnsafeFileError(f"declares {size} bytes of pixel data")
    return size


def _check_elements(data: FileDataset) -> None:
    """Refuse elements that pydicom has not parsed yet and that would take much memory or time when it does."""
    stored: Any
    for stored in data.values():  # as they are: iterating the data set itself would convert them
        if not stored.is_raw or stored.value is None or stored.length <= values.LONGEST:
            continue
        if not stored.value.startswith(_ITEMS):
            raise UnsafeFileError(f"has an element of {stored.length} bytes")
        if (n_items := max(map(stored.value.count, _ITEMS))) > MOST_ITEMS:
            raise UnsafeFileError(f"has more than {MOST_ITEMS} items in its sequences")
        if stored.length > _BYTES_PER_ITEM * (1 + n_items):
            raise UnsafeFileError(f"has a sequence of {stored.length} bytes in {n_items} items")


def _check_sequences(data: Dataset) -> None:
    """Refuse sequences that pydicom has not parsed yet and that have more elements or items than any header.

    They are counted only if there are enough bytes for that many elements. pydicom itself parses them, since another
    parser could be tricked into counting fewer.
    """
    from pydicom.filereader import read_sequence

    waiting = list(_unread_sequences(data))
    if sum(len(stored.value) for stored in waiting) <= _LEAST_ELEMENT * _MOST_IN_ALL:
        return
    tally = _Tally()
    while waiting:
        stored = waiting.pop()
        content = _CountedBytes(stored.value, tally)
        with suppress(*values.malformed()):  # raised again if the sequence is needed
            items = read_sequence(
                content, stored.is_implicit_VR, stored.is_little_endian, len(stored.value), "iso8859"
            )
            waiting += [inner for item in items for inner in _unread_sequences(item)]
        if tally.refusal is not None:
            raise tally.refusal


def _unread_sequences(data: Dataset) -> Iterator[Any]:
    """Raw elements that are sequences, also those in the items of sequences that were read."""
    stored: Any
    for stored in data.values():
        if not stored.is_raw:
            if stored.VR == "SQ":
                for item in stored.value:
                    yield from _unread_sequences(item)
        # Implicit files state no VR, and others may state UN for that of a sequence.
        elif stored.VR in (None, "SQ", "UN") and stored.value is not None and stored.value.startswith(_ITEMS):
            yield stored


def check_nesting(file: Path) -> None:
    """Refuse a file of one slice whose sequences nest too deeply for GDCM's stack. Quick if there are few items.

    Raises:
        UnsafeFileError: they do, or the file is larger than any slice.
        OSError: it cannot be read.
    """
    with file.open("rb") as stream:
        content = stream.read(_MOST_SLICE + 1)
    if len(content) > _MOST_SLICE:
        raise UnsafeFileError("is larger than any single-slice file")
    if _DEFLATED in content[:4096]:
        content = _inflated_content(content)
    if max(map(content.count, _ITEMS)) > _DEPTH:
        _walk(content)


def _inflated_content(content: bytes) -> bytes:
    # The first element of the meta header states its length (PS3.10 section 7.1).
    start = 144 + int.from_bytes(content[140:144], "little")
    return content[:start].replace(_DEFLATED, _EXPLICIT) + b"".join(
        inflate(io.BytesIO(content[start:]), _MOST_SLICE)
    )


def _walk(content: bytes) -> None:
    """Follow the elements up to the pixel data, with a list instead of recursion."""
    position = 132 if content[128:132] == b"DICM" else 0
    syntax = content[position : position + 4096]
    big = b"1.2.840.10008.1.2.2" in syntax
    ends: list[float] = []
    while position + 8 <= len(content):
        while ends and position >= ends[-1]:
            ends.pop()
        # The meta header (group 2) is little-endian in any case.
        order = "big" if big and content[position : position + 2] != b"\x02\x00" else "little"
        group = int.from_bytes(content[position : position + 2], order)  # type: ignore[arg-type]
        element = int.from_bytes(content[position + 2 : position + 4], order)  # type: ignore[arg-type]
        kind = content[position + 4 : position + 6]
        if group == 0xFFFE:
            length, header = int.from_bytes(content[position + 4 : position + 8], order), 8  # type: ignore[arg-type]
            position += header
            if element == 0xE000:
                ends.append(float("inf") if length == _UNDEFINED else position + length)
            elif ends:
                ends.pop()
        else:
            if kind.isalpha() and kind.isupper():
                header = 12 if kind in _LONG else 8
                field = content[position + header - (4 if header == 12 else 2) : position + header]
            else:
                header, field = 8, content[position + 4 : position + 8]
            length = int.from_bytes(field, order)  # type: ignore[arg-type]
            if group == 0x7FE0 and not ends:
                return
            position += header
            if length == _UNDEFINED or content.startswith(_ITEMS, position):
                ends.append(float("inf") if length == _UNDEFINED else position + length)
            else:
                position += length
        if len(ends) > 2 * _DEPTH:
            raise UnsafeFileError(f"nests sequences deeper than {_DEPTH} levels")
