"""The elements of a header that are used, cut out of a regular file without pydicom.

Slices of a series state the same values except for a few. A file is therefore reduced to two parts: a small DICOM
file of the elements that slices share, which pydicom parses once for all files that reduce to the same bytes, and the
elements that differ. Only files that leave no doubt are reduced: little-endian, uncompressed headers of one frame with
known value representations. `None` stands for any other file; pydicom reads these completely.
"""

from __future__ import annotations

import io
from functools import cache
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple, cast

from prima_features.studies.dicom import values
from prima_features.studies.files import DICOM_START

if TYPE_CHECKING:
    from pydicom import FileDataset

_WINDOW = 1 << 14
"""Bytes that are read at once. Longer elements that are not used, such as Siemens' protocols, are skipped."""
_LONGEST = 16_000
"""Bytes of a value that is used. Longer lengths could be mistaken for a value representation by pydicom."""
_MOST_ELEMENTS = 10_000
_DEPTH = 16

_SHORT_VRS = (
    *("AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO"),
    *("LT", "PN", "SH", "SL", "SS", "ST", "TM", "UI", "UL", "US"),
)
_LONG_VRS = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
_HEADS = {vr.encode(): 8 for vr in _SHORT_VRS} | {vr.encode(): 12 for vr in _LONG_VRS}
"""Bytes before the value of an explicit element, by its value representation (PS3.5 section 7.1.2)."""
_LONG_HEAD = 12
_EXPLICIT, _IMPLICIT, _LENGTH = Struct("<HH2sH"), Struct("<HHL"), Struct("<L")
_EXPLICIT_KEY, _IMPLICIT_KEY = Struct("<L2sH"), Struct("<LL")
"""Heads of elements with their tag as a key: one number, element before group, which is faster to read."""
_UNDEFINED = 0xFFFFFFFF
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_CHARACTER_SET, _IMAGE_TYPE, _NUMBER_OF_FRAMES = 0x00050008, 0x00080008, 0x00080028
"""Keys of elements."""
_DESCRIBED = frozenset((0x92220020, 0x92295200, 0x92305200))
"""Keys of the sequences that describe frames."""
_CHECKED = _DESCRIBED | {_IMAGE_TYPE, _NUMBER_OF_FRAMES}
MOSAICS = ("MOSAIC", "VFRAME")
"""Words of ImageType for a file with a volume, by Siemens and by UIH."""
_DELIMITER = 0xE00DFFFE
_ENDS = frozenset((0x00087FE0, 0x00097FE0, 0x00107FE0, _DELIMITER))
"""Keys where pydicom stops before pixel data, and a delimiter, where it ends as well."""

_IMPLICIT_SYNTAX = b"1.2.840.10008.1.2"
_OTHER_SYNTAXES = (b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2")
"""Deflated, and big-endian."""
_DIRECTORY = b"1.2.840.10008.1.3.10"
_PREAMBLE = bytes(128) + b"DICM"


class Reduced(NamedTuple):
    """The header of a regular file."""

    shared: bytes
    """A DICOM file of the elements that are used, without pixel data and without those in `own`."""
    own: dict[int, values.Stored]
    """Elements with a value that differ between slices, by tag."""
    pixels: int
    """Where the element of the pixel data starts."""
    is_implicit: bool


def reduce_header(
    file: io.BufferedReader, used: tuple[values.Tag, ...], own: tuple[values.Tag, ...] = ()
) -> Reduced | None:
    """The elements of a regular file that are used.

    Args:
        file: at its start, where it is left.
        used: the elements, `own` included.
        own: elements that differ between slices.

    Raises:
        OSError: it cannot be read.
    """
    raw = cast(io.RawIOBase, file.raw)
    try:
        return _reduce(raw, _noticed(used), _keys(own))
    finally:
        raw.seek(0)  # `file` does not know that it was moved


def read_reduced(content: bytes, used: tuple[values.Tag, ...]) -> FileDataset:
    """`Reduced.shared` as parsed by pydicom. Raises what pydicom raises (`values.malformed`)."""
    import pydicom

    tags = list(values.base_tags(used))
    return pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, specific_tags=tags)


@cache
def _keys(tags: tuple[values.Tag, ...]) -> frozenset[int]:
    return frozenset(map(_tag, map(int, values.base_tags(tags))))


@cache
def _noticed(used: tuple[values.Tag, ...]) -> frozenset[int]:
    return _keys(used) | _ENDS | {_CHARACTER_SET}


def _tag(key: int) -> int:
    """The tag of a key, or the key of a tag."""
    return (key & 0xFFFF) << 16 | key >> 16


def _is_irregular(key: int, value: bytes) -> bool:
    """Whether an element states that the file is more than one slice."""
    if key == _IMAGE_TYPE:
        return any(kind.encode() in value.upper() for kind in MOSAICS)
    return key in _DESCRIBED or (key == _NUMBER_OF_FRAMES and value.strip(b" \0") not in (b"", b"1"))


def _reduce(file: io.RawIOBase, noticed: frozenset[int], own: frozenset[int]) -> Reduced | None:
    window = file.read(_WINDOW) or b""
    if (meta := _read_meta(window)) is None:
        return None
    syntax, position, is_implicit = meta
    shared = [_PREAMBLE, syntax]
    found: dict[int, values.Stored] = {}
    seen: set[int] = set()
    base, last = 0, len(window) - _LONG_HEAD
    unpack = (_IMPLICIT_KEY if is_implicit else _EXPLICIT_KEY).unpack_from
    vr: bytes | None = None
    for n_elements in range(_MOST_ELEMENTS):
        if position > last:
            base, position, window = base + position, 0, _read_at(file, base + position, _WINDOW)
            if (last := len(window) - _LONG_HEAD) < 0:
                return None
        if is_implicit:
            key, length = unpack(window, position)
            head = 8
        else:
            key, kind, length = unpack(window, position)
            vr = kind
            if (head := _HEADS.get(kind, 0)) == _LONG_HEAD:
                (length,) = _LENGTH.unpack_from(window, position + 8)
            elif not head:
                return None
        if not n_elements and (
            key & 0xFFFF < 8 or (is_implicit and window[position + 4 : position + 6].isalpha())
        ):
            return None  # a command set; or pydicom would take the length for a value representation
        end = position + head + length
        if key in noticed:
            if key in _ENDS:
                is_pixels = key != _DELIMITER
                return Reduced(b"".join(shared), found, base + position, is_implicit) if is_pixels else None
            if length > _LONGEST or key in seen:
                return None
            seen.add(key)
            if end > len(window):
                base, window = base + position, _read_at(file, base + position, 2 * _WINDOW)
                last = len(window) - _LONG_HEAD
                position, end = 0, end - position
                if end > len(window):
                    return None
            if key in _CHECKED and _is_irregular(key, window[position + head : end]):
                return None
            if length and key in own:
                if length > values.SHORT:
                    return None
                tag = _tag(key)
                found[tag] = values.Stored(tag, vr.decode() if vr else None, window[position + head : end])
            else:
                shared.append(window[position:end])
        elif length == _UNDEFINED:
            if not _is_sequence(_tag(key), vr, window[position + head : position + head + 4]):
                return None
            base, window = base + position, _read_at(file, base + position, 8 * _WINDOW)
            last = len(window) - _LONG_HEAD
            if (end := _skip_items(window, head, is_implicit, _DEPTH)) < 0:
                return None
        position = end
    return None


def _read_at(file: io.RawIOBase, position: int, size: int) -> bytes:
    file.seek(position)
    return file.read(size) or b""


def _read_meta(window: bytes) -> tuple[bytes, int, bool] | None:
    """The element of the transfer syntax, where the data set starts, and whether it is implicit."""
    if window[128:DICOM_START] != b"DICM" or not window.startswith(b"\2\0\0\0UL\4\0", DICOM_START):
        return None
    position, previous, syntax, name = DICOM_START, -1, b"", b""
    while window.startswith(b"\2\0", position):
        if position + 12 > len(window):
            return None
        _, element, vr, length = _EXPLICIT.unpack_from(window, position)
        start = position + _HEADS.get(vr, 0)
        if start == position + 12:
            (length,) = _LENGTH.unpack_from(window, position + 8)
        if start == position or element <= previous:
            return None
        if element == 0x0010 and vr == b"UI":
            syntax, name = window[position : start + length], window[start : start + length].rstrip(b"\0")
        position, previous = start + length, element
    if position > len(window):
        return None
    is_standard = name.startswith(_IMPLICIT_SYNTAX) and not name.translate(None, b"0123456789.")
    if not is_standard or name in _OTHER_SYNTAXES or _DIRECTORY in window[:position]:
        return None
    return syntax, position, name == _IMPLICIT_SYNTAX


def _is_sequence(tag: int, vr: bytes | None, start: bytes) -> bool:
    """Whether an element of undefined length is surely a sequence, for pydicom as well."""
    if vr is not None:
        return vr == b"SQ"
    from pydicom.datadict import DicomDictionary

    if (known := DicomDictionary.get(tag)) is not None:
        return known[0] == "SQ"
    return bool(tag >> 16 & 1) and start == b"\xfe\xff\x00\xe0"


def _skip_items(window: bytes, position: int, is_implicit: bool, depth: int) -> int:
    """The end of a sequence of undefined length; -1 if it is irregular or not in the window.

    Args:
        position: of the first item.
        depth: levels of sequences that may follow.
    """
    while depth and position + 8 <= len(window):
        group, element, length = _IMPLICIT.unpack_from(window, position)
        position += 8
        if (tag := group << 16 | element) == _END_OF_SEQUENCE:
            return position
        if tag != _ITEM:
            return -1
        end = None if length == _UNDEFINED else position + length
        if (position := _skip_elements(window, position, end, is_implicit, depth)) < 0:
            return -1
    return -1


def _skip_elements(window: bytes, position: int, end: int | None, is_implicit: bool, depth: int) -> int:
    """The end of an item's elements, its delimiter included; -1 if it is irregular or not in the window."""
    while position != end:
        if position + _LONG_HEAD > len(window) or (end is not None and position > end):
            return -1
        group, element, vr, length = _EXPLICIT.unpack_from(window, position)
        if (tag := group << 16 | element) == _END_OF_ITEM:
            return position + 8 if end is None else -1
        start = position + 8
        if is_implicit:
            (length,), vr = _LENGTH.unpack_from(window, position + 4), None
        else:
            start = position + _HEADS.get(vr, 0)
            if start == position + 12:
                (length,) = _LENGTH.unpack_from(window, position + 8)
        if start == position or _tag(tag) == _CHARACTER_SET or group == 0xFFFE:
            return -1
        if length != _UNDEFINED:
            position = start + length
        elif _is_sequence(tag, vr, window[start : start + 4]):
            if (after := _skip_items(window, start, is_implicit, depth - 1)) < 0:
                return -1
            position = after
        else:
            return -1
    return position
