"""The b-value of a diffusion-weighted image, wherever its maker writes it."""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prima_features.studies.dicom import values

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class PrivateElement:
    """An element of a maker's own, valid only under its private creator (PS3.5 section 7.8)."""

    tag: int
    creator: str

    @property
    def creator_tag(self) -> int:
        """Where the creator's name stands: block 0x10 of the group, as scanners write it."""
        return (self.tag >> 16 << 16) | 0x0010

    def text(self, data: "Dataset | None") -> str:
        """Its text, or an empty string if it is missing or somebody else's."""
        return values.text(data, self.tag) if values.text(data, self.creator_tag) == self.creator else ""

    def number(self, data: "Dataset | None") -> float | None:
        """Its first number, or None where it is missing or somebody else's."""
        return values.number(data, self.tag) if values.text(data, self.creator_tag) == self.creator else None


SIEMENS = PrivateElement(0x0019100C, "SIEMENS MR HEADER")
GE = PrivateElement(0x00431039, "GEMS_PARM_01")
PHILIPS = PrivateElement(0x20011003, "Philips Imaging DD 001")
UIH = PrivateElement(0x00651009, "Image Private Header")

PRIVATE = (SIEMENS, GE, PHILIPS, UIH)
TAGS: tuple[values.Tag, ...] = (
    "DiffusionBValue",
    "ImageComments",
    "SequenceName",
    *(tag for element in PRIVATE for tag in (element.creator_tag, element.tag)),
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
