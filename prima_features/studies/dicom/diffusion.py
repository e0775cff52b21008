"""The b-value of a diffusion-weighted image, wherever its maker writes it."""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from prima_features.studies.dicom import values

if TYPE_CHECKING:
    from pydicom import Dataset


_BLOCKS = range(0x10, 0x14)
"""Blocks of a group that makers' elements are looked for in: scanners write 0x10, archives renumber."""


@dataclass(frozen=True)
class PrivateElement:
    """An element of a maker's own, valid only in the block that its private creator reserves (PS3.5 section 7.8)."""

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
        """All of them."""
        return tuple(tag for place in self.places for tag in place)

    def text(self, data: "Dataset | None") -> str:
        """Its text, or an empty string if it is missing or somebody else's."""
        tag = self._find(data)
        return "" if tag is None else values.text(data, tag)

    def number(self, data: "Dataset | None") -> float | None:
        """Its first number, or None if it is missing or somebody else's."""
        tag = self._find(data)
        return None if tag is None else values.number(data, tag)

    def _find(self, data: "Dataset | None") -> int | None:
        if data is None:
            return None
        return next(
            (
                tag
                for creator, tag in self.places
                if values.base_tag(tag) in data and values.text(data, creator) == self.creator
            ),
            None,
        )


SIEMENS = PrivateElement(0x0019100C, "SIEMENS MR HEADER")
GE = PrivateElement(0x00431039, "GEMS_PARM_01")
PHILIPS = PrivateElement(0x20011003, "Philips Imaging DD 001")
UIH = PrivateElement(0x00651009, "Image Private Header")

PRIVATE = (SIEMENS, GE, PHILIPS, UIH)
TAGS: tuple[values.Tag, ...] = (
    "DiffusionBValue",
    "ImageComments",
    "SequenceName",
    *(tag for element in PRIVATE for tag in element.tags),
)
"""Elements that `b_value` reads."""

_GE_OFFSET = 100_000
"""GE adds 1e9 to mark some b-values; what counts is the rest below this."""
_COMMENT = re.compile(r"^\s*b=(\d+(?:\.\d+)?)")
"""Canon's older software writes `b=1500(0.445,0.000,0.895)` into ImageComments."""
_SEQUENCE = re.compile(r"^\*?ep_b(\d+)")
"""Siemens names the sequence `*ep_b1000#3`; this outlives the removal of private elements."""


def b_value(data: "Dataset | None") -> float | None:
    """b-value in s/mm2, or None where none is written. Philips writes 0 for every image."""
    if (number := values.number(data, "DiffusionBValue")) is not None:
        return number
    for element in PRIVATE:
        if (number := element.number(data)) is not None:
            return number % _GE_OFFSET if element is GE else number
    for pattern, tag in ((_SEQUENCE, "SequenceName"), (_COMMENT, "ImageComments")):
        if found := pattern.search(values.text(data, tag)):
            return float(found[1])
    return None
