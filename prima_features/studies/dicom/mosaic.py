"""Mosaics: one file holds a volume, its slices laid out as tiles of one picture."""

from typing import TYPE_CHECKING

from prima_features.studies.dicom import values
from prima_features.studies.dicom.diffusion import PrivateElement
from prima_features.studies.dicom.frames import Block

if TYPE_CHECKING:
    from pydicom import Dataset

_SLICES = {
    "MOSAIC": PrivateElement(0x0019100A, "SIEMENS MR HEADER"),
    "VFRAME": PrivateElement(0x00651050, "Image Private Header"),  # UIH
}
"""Where each kind, as ImageType names it, says how many slices it holds."""

TAGS: tuple[values.Tag, ...] = tuple(
    tag for element in _SLICES.values() for tag in (element.creator_tag, element.tag)
)
"""Elements that `read_mosaic` reads, beside ImageType."""


def read_mosaic(data: "Dataset") -> Block | None:
    """The volume in a mosaic, or None where the file is none."""
    for kind, element in _SLICES.items():
        if kind in values.words(data, "ImageType"):
            n_slices = element.number(data)
            return Block(n_slices=None if n_slices is None else int(n_slices))
    return None
