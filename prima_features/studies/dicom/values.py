"""Values of DICOM elements as plain Python, or nothing where they are missing or malformed.

A bad value must not cost the series: an odd EchoTime is no reason to lose the scan.
"""

import math
import struct
import sys
import zlib
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pydicom import Dataset

Tag: TypeAlias = str | int
"""A keyword, or the number of a private element."""


@cache
def malformed() -> tuple[type[Exception], ...]:
    """What pydicom raises on bytes that are no DICOM, or no value of their type (found by fuzzing)."""
    from pydicom.errors import BytesLengthException

    return (
        *(ValueError, TypeError, ArithmeticError, LookupError, AttributeError, NotImplementedError),
        *(EOFError, OSError, RecursionError, struct.error, zlib.error, BytesLengthException),
    )


def value(data: "Dataset | None", tag: Tag) -> Any:
    """Value of an element, or None."""
    try:
        return data[tag].value if data is not None and tag in data else None
    except malformed():
        return None


def text(data: "Dataset | None", tag: Tag) -> str:
    """One string, without trailing padding (PS3.5 section 6.2)."""
    found = value(data, tag)
    if found is None or isinstance(found, bytes):
        return ""
    joined = "\\".join(map(str, found)) if _is_several(found) else str(found)
    return sys.intern(joined.rstrip(" \0"))  # thousands of slices repeat the same words


def printable(string: str) -> str:
    """Without control characters, which damaged headers hold and terminals obey."""
    return "".join(filter(str.isprintable, string))


def words(data: "Dataset | None", tag: Tag) -> tuple[str, ...]:
    """Several strings in upper case, such as ImageType."""
    joined = text(data, tag).upper()
    return tuple(sys.intern(word.strip()) for word in joined.split("\\")) if joined else ()


def numbers(data: "Dataset | None", tag: Tag, count: int | None = None) -> tuple[float, ...]:
    """The first `count` numbers, or all; () where there are fewer or one is not finite."""
    found = value(data, tag)
    if found is None or isinstance(found, bytes):
        return ()
    try:
        read = tuple(float(item) for item in (found if _is_several(found) else [found]))[:count]
    except (ValueError, TypeError):
        return ()
    return read if len(read) == (count or len(read)) and all(map(math.isfinite, read)) else ()


def number(data: "Dataset | None", tag: Tag) -> float | None:
    """One number, or None."""
    return next(iter(numbers(data, tag, 1)), None)


def whole(data: "Dataset | None", tag: Tag) -> int | None:
    """One whole number, or None."""
    found = number(data, tag)
    return None if found is None else int(found)


def items(data: "Dataset | None", keyword: str) -> "list[Dataset]":
    """Items of a sequence, none where it is missing."""
    found = value(data, keyword)
    return list(found) if _is_several(found) else []


def _is_several(found: object) -> bool:
    return isinstance(found, Iterable) and not isinstance(found, str | bytes)
