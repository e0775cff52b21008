"""Slices that lie twice in a series because files were copied or sent twice."""

from collections.abc import Sequence
from pathlib import Path

from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.values import malformed


def drop_same_instances(series: Sequence[Header]) -> list[Header]:
    """The first of each SOPInstanceUID, in the order given.

    Images that share a UID and lie in different places are kept, because careless anonymisers write one UID
    to all; and so are the volumes of one file.
    """
    kept: dict[tuple[object, ...], Header] = {}
    for header in series:
        index = header.block.index if header.block else 0
        volume = (index, header.component, header.image_type)
        kept.setdefault((header.sop_uid or header.file, header.position, *volume), header)
    return list(kept.values())


def have_same_pixels(slices: Sequence[Header]) -> bool:
    """Whether the pixel data of all files are equal as stored."""
    first, *others = slices
    pixels = _pixels(first.file)
    return bool(pixels) and all(_pixels(other.file) == pixels for other in others)


def _pixels(file: Path) -> bytes:
    """Pixel data as stored, empty where they cannot be read."""
    import pydicom

    try:
        return bytes(pydicom.dcmread(file, specific_tags=["PixelData"], force=True).PixelData)
    except malformed():
        return b""
