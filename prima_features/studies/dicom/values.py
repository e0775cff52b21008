"""Values of DICOM elements as plain Python, or nothing where they are missing or malformed.

A bad value must not cost the series: an odd EchoTime is no reason to lose the scan.
"""

import math
import struct
import sys
import zlib
from collections.abc import Iterable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

Tag: TypeAlias = str | int
"""A keyword, or the number of a private element."""

T = TypeVar("T")

LONGEST = 1 << 16
"""Bytes of a value that is no sequence, at most. The longest texts of the standard have 10,240 characters."""
_SHORT = 64
"""Bytes of values that are remembered, at most. Longer ones are seldom repeated."""


@cache
def malformed() -> tuple[type[Exception], ...]:
    """What pydicom raises on bytes that are no DICOM, or no value of their type (found by fuzzing)."""
    from pydicom.errors import BytesLengthException

    return (
        *(ValueError, TypeError, ArithmeticError, LookupError, AttributeError, NotImplementedError),
        *(EOFError, OSError, RecursionError, struct.error, zlib.error, BytesLengthException),
    )


def value(data: "Dataset | None", tag: Tag) -> Any:
    """Value of an element that is no sequence, or None. Not to be changed: others may get the same object."""
    if data is None:
        return None
    number = base_tag(tag)
    try:
        stored: Any = data.get_item(number)
        if stored is None or (stored.is_raw and stored.length > LONGEST):
            return None
        # What a private element is without a VR depends on who else wrote into the data set.
        if (
            stored.is_raw
            and stored.length <= _SHORT
            and (stored.VR not in (None, "UN") or not number.is_private)
        ):
            encodings = data.original_character_set or "iso8859"
            key = encodings if isinstance(encodings, str) else tuple(encodings)
            raw = (stored.tag, stored.VR, stored.value, stored.is_implicit_VR, stored.is_little_endian)
            return _converted(*raw, key)
        return data[number].value
    except malformed():
        return None


@cache
def base_tag(tag: Tag) -> "BaseTag":
    """The tag as pydicom has it: to look a keyword up takes longer than to look into a data set."""
    from pydicom.tag import Tag

    return Tag(tag)


@lru_cache(maxsize=4096)
def _converted(
    tag: "BaseTag",
    vr: str | None,
    stored: bytes | None,
    is_implicit: bool,
    is_little_endian: bool,
    encodings: str | tuple[str, ...],
) -> Any:
    """Value of a public element. Thousands of slices repeat the same bytes, which are slow to make sense of.

    The bytes, their VR or its absence, and the character sets are what the value follows from; except for elements
    whose VR depends on PixelRepresentation, none of which is read.
    """
    from pydicom.dataelem import RawDataElement, convert_raw_data_element

    raw = RawDataElement(tag, vr, len(stored or b""), stored, 0, is_implicit, is_little_endian)
    named = encodings if isinstance(encodings, str) else list(encodings)
    return convert_raw_data_element(raw, encoding=named).value


def text(data: "Dataset | None", tag: Tag) -> str:
    """One string, without trailing padding (PS3.5 section 6.2)."""
    found = value(data, tag)
    if found is None or isinstance(found, bytes):
        return ""
    joined = "\\".join(map(str, found)) if _is_several(found) else str(found)
    return sys.intern(joined.rstrip(" \0"))  # thousands of slices repeat the same words


def words(data: "Dataset | None", tag: Tag) -> tuple[str, ...]:
    """Several strings in upper case, such as ImageType."""
    joined = text(data, tag).upper()
    return _shared(tuple(word.strip() for word in joined.split("\\"))) if joined else ()


def numbers(data: "Dataset | None", tag: Tag, count: int | None = None) -> tuple[float, ...]:
    """The first `count` numbers, or all; () where there are fewer or one is not finite."""
    found = value(data, tag)
    if found is None or isinstance(found, bytes):
        return ()
    try:
        read = tuple(float(item) for item in (found if _is_several(found) else [found]))[:count]
    except (ValueError, TypeError):
        return ()
    return _shared(read) if len(read) == (count or len(read)) and all(map(math.isfinite, read)) else ()


def number(data: "Dataset | None", tag: Tag) -> float | None:
    """One number, or None."""
    return next(iter(numbers(data, tag, 1)), None)


def whole(data: "Dataset | None", tag: Tag) -> int | None:
    """One whole number, or None."""
    found = number(data, tag)
    return None if found is None else int(found)


def items(data: "Dataset | None", keyword: str) -> "list[Dataset]":
    """Items of a sequence, none where it is missing."""
    try:  # not by way of `value`: the items of a sequence know the data set they are in
        found: Any = data[base_tag(keyword)].value if data is not None else None
    except malformed():
        return []
    return list(found) if _is_several(found) else []


@lru_cache(maxsize=4096)
def _shared(read: tuple[T, ...]) -> tuple[T, ...]:
    """The same tuple for equal ones: thousands of slices repeat an orientation, and each is kept."""
    return read


def _is_several(found: object) -> bool:
    if isinstance(found, str | int | float):  # first, because the test below is slow
        return False
    return isinstance(found, Iterable) and not isinstance(found, str | bytes)
