"""Mosaics: one file holds a volume, its slices laid out as tiles of one picture."""

from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.studies.dicom import values
from prima_features.studies.dicom.diffusion import PrivateElement
from prima_features.studies.dicom.header import Block

if TYPE_CHECKING:
    from pydicom import Dataset

_SLICES = {
    "MOSAIC": PrivateElement(0x0019100A, "SIEMENS MR HEADER"),
    "VFRAME": PrivateElement(0x00651050, "Image Private Header"),  # UIH
}
"""Where each kind, as ImageType names it, says how many slices it holds."""

TAGS: tuple[values.Tag, ...] = tuple(tag for element in _SLICES.values() for tag in element.tags)
"""Elements that `read_mosaic` reads."""


_CSA = ("SIEMENS CSA HEADER", 0x10)
"""Siemens' image header (0029,xx10): only it says whether the slices run along or against the normal."""
_CSA_BLOCKS = range(0x10, 0x14)


def read_mosaic(data: "Dataset", image_type: tuple[str, ...], file: Path) -> Block | None:
    """The volume in a mosaic, or None if the file is none."""
    for kind, element in _SLICES.items():
        if kind in image_type:
            n_slices = element.number(data)
            return Block(
                n_slices=None if n_slices is None else int(n_slices),
                is_mosaic=True,
                is_described=kind != "MOSAIC" or _has_csa_header(file),
            )
    return None


def _has_csa_header(file: Path) -> bool:
    """Reads the file once more: the header is long, and of no use for other images."""
    import pydicom

    creator, offset = _CSA
    creators = [0x00290000 + block for block in _CSA_BLOCKS]
    headers = [0x00290000 + (block << 8) + offset for block in _CSA_BLOCKS]
    try:
        data = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*creators, *headers], force=True)
        return any(
            values.text(data, name) == creator and bool(values.value(data, header))
            for name, header in zip(creators, headers, strict=True)
        )
    except values.malformed():
        return False
