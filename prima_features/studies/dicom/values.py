"""Values of DICOM elements as plain Python, or nothing if they are missing or malformed.

A bad value must not cost the series: an odd EchoTime is no reason to lose the scan. Private elements and the b-value,
which manufacturers write in different places, are at the end.
"""

import math
import re
import struct
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, TypeVar

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.tag import BaseTag

Tag: TypeAlias = str | int
"""A keyword, or the number of a private element."""

T = TypeVar("T")

LONGEST = 1 << 16
"""Most bytes of a value that is not a sequence. The longest texts of the standard have 10,240 characters."""
SHORT = 64
"""Most bytes of values that are cached. Longer ones are seldom repeated."""


@cache
def malformed() -> tuple[type[Exception], ...]:
    """What pydicom raises on bytes that are not DICOM, or not a value of their type (found by fuzzing)."""
    from pydicom.errors import BytesLengthException

    return (
        *(ValueError, TypeError, ArithmeticError, LookupError, AttributeError, NotImplementedError),
        *(EOFError, OSError, RecursionError, struct.error, zlib.error, BytesLengthException),
    )


def value(data: "Dataset | None", tag: Tag) -> Any:
    """Value of an element that is not a sequence, or None. Not to be changed: the object is shared."""
    if data is None:
        return None
    number = base_tag(tag)
    try:
        stored: Any = data.get_item(number)
        if stored is None or (stored.is_raw and stored.length > LONGEST):
            return None
        # The type of a private element without a VR depends on the other elements of the data set.
        if (
            stored.is_raw
            and stored.length <= SHORT
            and (stored.VR not in (None, "UN") or not number.is_private)
        ):
            raw = (stored.tag, stored.VR, stored.value, stored.is_implicit_VR, stored.is_little_endian)
            return _converted(*raw, encodings(data))
        return data[number].value
    except malformed():
        return None


@cache
def base_tag(tag: Tag) -> "BaseTag":
    """The tag as pydicom represents it. Cached: looking up a keyword takes longer than reading an element."""
    from pydicom.tag import Tag

    return Tag(tag)


@cache
def base_tags(tags: tuple[Tag, ...]) -> "list[BaseTag]":
    """`base_tag` of each. Not to be changed."""
    return [base_tag(tag) for tag in tags]


Encodings: TypeAlias = str | tuple[str, ...]
"""Python's names of the character sets of a file."""


def encodings(data: "Dataset") -> Encodings:
    """The character sets of a file's elements."""
    found = data.original_character_set or "iso8859"
    return found if isinstance(found, str) else tuple(found)


_DIGITS = re.compile(rb"([0-9.]+)[ \0]?")
_DECIMALS = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:\\-?[0-9]+(?:\.[0-9]+)?)* ?")


class Stored(NamedTuple):
    """A public element of a little-endian file, of at most `SHORT` bytes, without a data set.

    Its text and numbers are those that `text` and `numbers` give. Texts of digits and decimal numbers, as nearly all
    UIDs, times and positions are, are converted here: pydicom takes ten times as long.
    """

    tag: int
    vr: str | None
    """None if it is implicit."""
    value: bytes

    def text(self, encodings: Encodings) -> str:
        """Its value as one string."""
        if self._vr in ("UI", "TM", "DT") and (match := _DIGITS.fullmatch(self.value)):
            return match[1].decode()
        return as_text(self._converted(encodings))

    def numbers(self, count: int, encodings: Encodings) -> tuple[float, ...]:
        """Its first `count` numbers; () if there are fewer."""
        if self._vr == "DS" and _DECIMALS.fullmatch(self.value):
            found = tuple(map(float, self.value.split(b"\\")))[:count]
            return found if len(found) == count else ()
        return as_numbers(self._converted(encodings), count)

    @property
    def _vr(self) -> str:
        return self.vr or _dictionary_vr(self.tag)

    def _converted(self, encodings: Encodings) -> Any:
        try:
            return _converted(base_tag(self.tag), self.vr, self.value, self.vr is None, True, encodings)
        except malformed():
            return None


@cache
def _dictionary_vr(tag: int) -> str:
    from pydicom.datadict import dictionary_VR

    return dictionary_VR(tag)


@lru_cache(maxsize=4096)
def _converted(
    tag: "BaseTag",
    vr: str | None,
    stored: bytes | None,
    is_implicit: bool,
    is_little_endian: bool,
    encodings: Encodings,
) -> Any:
    """Value of a public element. Cached: thousands of slices repeat the same bytes, which are slow to convert.

    The value depends only on the bytes, their VR or its absence, and the character sets; except for elements whose VR
    depends on PixelRepresentation, none of which is read.
    """
    from pydicom.dataelem import RawDataElement, convert_raw_data_element

    raw = RawDataElement(tag, vr, len(stored or b""), stored, 0, is_implicit, is_little_endian)
    named = encodings if isinstance(encodings, str) else list(encodings)
    return convert_raw_data_element(raw, encoding=named).value


def text(data: "Dataset | None", tag: Tag) -> str:
    """One string, without trailing padding (PS3.5 section 6.2)."""
    return as_text(value(data, tag))


def as_text(found: Any) -> str:
    """A value as one string; empty if it is None or of bytes."""
    if found is None or isinstance(found, bytes):
        return ""
    joined = "\\".join(map(str, found)) if _is_several(found) else str(found)
    return sys.intern(joined.rstrip(" \0"))  # thousands of slices repeat the same words


def words(data: "Dataset | None", tag: Tag) -> tuple[str, ...]:
    """Several strings in upper case, such as ImageType."""
    joined = text(data, tag).upper()
    return _shared(tuple(word.strip() for word in joined.split("\\"))) if joined else ()


def numbers(data: "Dataset | None", tag: Tag, count: int | None = None) -> tuple[float, ...]:
    """The first `count` numbers, or all; () if there are fewer or one is not finite."""
    return as_numbers(value(data, tag), count)


def as_numbers(found: Any, count: int | None = None) -> tuple[float, ...]:
    """The first `count` numbers of a value, or all; () if there are fewer or one is not finite."""
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
    """Items of a sequence; none if it is missing."""
    try:  # not through `value`: the items of a sequence refer to the data set that contains them
        found: Any = data[base_tag(keyword)].value if data is not None else None
    except malformed():
        return []
    return list(found) if _is_several(found) else []


@lru_cache(maxsize=4096)
def _shared(read: tuple[T, ...]) -> tuple[T, ...]:
    """One object for all equal tuples: thousands of slices repeat an orientation, and each is kept."""
    return read


def _is_several(found: object) -> bool:
    if isinstance(found, str | int | float):  # first, because the test below is slow
        return False
    return isinstance(found, Iterable) and not isinstance(found, str | bytes)


# ---- private elements ----

_BLOCKS = range(0x10, 0x14)
"""Blocks of a group in which private elements are looked for: scanners write 0x10, archives renumber."""


@dataclass(frozen=True)
class PrivateElement:
    """A manufacturer's element, valid only in the block that its private creator reserves (PS3.5 section 7.8)."""

    tag: int
    """In block 0x10, as scanners write it."""
    creator: str

    @cached_property
    def places(self) -> tuple[tuple[int, int], ...]:
        """Tags of the creator and of the element, for each block."""
        group, offset = self.tag >> 16 << 16, self.tag & 0xFF
        return tuple((group | block, group | block << 8 | offset) for block in _BLOCKS)

    @property
    def tags(self) -> tuple[int, ...]:
        """All tags in `places`."""
        return tuple(tag for place in self.places for tag in place)

    def text(self, data: "Dataset | None") -> str:
        """Its text, or an empty string if it is missing or belongs to another creator."""
        tag = self._find(data)
        return "" if tag is None else text(data, tag)

    def number(self, data: "Dataset | None") -> float | None:
        """Its first number, or None if it is missing or belongs to another creator."""
        tag = self._find(data)
        return None if tag is None else number(data, tag)

    def has_value(self, data: "Dataset") -> bool:
        """Whether it is there and not empty."""
        return any(
            text(data, creator) == self.creator and bool(value(data, tag)) for creator, tag in self.places
        )

    def _find(self, data: "Dataset | None") -> int | None:
        if data is None:
            return None
        return next(
            (
                tag
                for creator, tag in self.places
                if base_tag(tag) in data and text(data, creator) == self.creator
            ),
            None,
        )


# ---- the b-value ----

_GE_B_VALUE = PrivateElement(0x00431039, "GEMS_PARM_01")
_GE_OFFSET = 100_000
"""GE adds 1e9 to mark some b-values; the b-value is the remainder below this."""
_B_VALUES = (
    PrivateElement(0x0019100C, "SIEMENS MR HEADER"),
    _GE_B_VALUE,
    PrivateElement(0x20011003, "Philips Imaging DD 001"),
    PrivateElement(0x00651009, "Image Private Header"),  # UIH
)
_COMMENT = re.compile(r"^\s*b=(\d+(?:\.\d+)?)")
"""Canon's older software writes `b=1500(0.445,0.000,0.895)` into ImageComments."""
_SEQUENCE = re.compile(r"^\*?ep_b(\d+)")
"""Siemens names the sequence `*ep_b1000#3`, which survives the removal of private elements."""

B_VALUE_TAGS: tuple[Tag, ...] = (
    "DiffusionBValue",
    "ImageComments",
    "SequenceName",
    *(tag for element in _B_VALUES for tag in element.tags),
)
"""Elements that `b_value` reads."""


def b_value(data: "Dataset | None") -> float | None:
    """b-value of a diffusion-weighted image in s/mm2, or None if none is written. Philips writes 0 for every image."""
    if (found := number(data, "DiffusionBValue")) is not None:
        return found
    for element in _B_VALUES:
        if (found := element.number(data)) is not None:
            return found % _GE_OFFSET if element is _GE_B_VALUE else found
    for pattern, tag in ((_SEQUENCE, "SequenceName"), (_COMMENT, "ImageComments")):
        if match := pattern.search(text(data, tag)):
            return float(match[1])
    return None
