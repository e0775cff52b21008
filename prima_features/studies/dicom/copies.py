"""Slices that are in a series twice because files were copied or sent twice: decided by their pixels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prima_features.files.paths import utf8_name
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.values import malformed


def drop_same_instances(series: Sequence[Header]) -> list[Header]:
    """The first of each instance, in the order given.

    Instances are the same if SOPInstanceUID, place and pixels are: careless anonymisers write one UID to several
    images. Pixels are read only where everything else agrees.
    """
    groups: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    for header in series:
        index = header.block.index if header.block else 0
        volume = (index, header.component, header.image_type)
        groups[header.sop_uid or header.file, header.position, *volume].append(header)
    dropped: set[int] = set()
    for group in groups.values():
        if len(group) > 1:
            kept = distinct(group)
            dropped.update(id(header) for header in group if not any(header is one for one in kept))
    return [header for header in series if id(header) not in dropped] if dropped else list(series)


def distinct(images: Iterable[Header]) -> list[Header]:
    """Images without those that have the pixels of an earlier one."""
    kept: list[Header] = []
    for header in images:
        if not any(_have_same_pixels(header.file, other.file) for other in kept):
            kept.append(header)
    return kept


def are_copies(images: Sequence[Header]) -> bool:
    """Whether all images have the same pixels."""
    first, *others = images
    return all(_have_same_pixels(first.file, other.file) for other in others)


def _have_same_pixels(one: Path, other: Path) -> bool:
    """Whether two files show the same values: as stored and scaled, or once decompressed."""
    try:
        if one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes():
            return True
    except OSError:
        return False
    try:
        a, b = _read(one), _read(other)
        if a.file_meta.get("TransferSyntaxUID") != b.file_meta.get("TransferSyntaxUID"):
            return _as_decoded(one) == _as_decoded(other)
        return bool(a.PixelData) and _as_stored(a) == _as_stored(b)
    except malformed():  # a file that cannot be read is no copy
        return False


_SCALING = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"),
    *("RescaleSlope", "RescaleIntercept", "PerFrameFunctionalGroupsSequence"),
    "SharedFunctionalGroupsSequence",
)


def _read(file: Path) -> Any:
    """Pixel data and what its values depend on."""
    import pydicom

    return pydicom.dcmread(file, specific_tags=["PixelData", *_SCALING], force=True)


def _as_stored(data: Any) -> tuple[object, ...]:
    return (bytes(data.PixelData), *(data.get(keyword) for keyword in _SCALING))


def _as_decoded(file: Path) -> tuple[object, ...]:
    """Size and values. Raises ValueError if it cannot be decoded."""
    import SimpleITK as sitk

    try:
        with utf8_name(file) as name:
            values = sitk.GetArrayFromImage(sitk.ReadImage(name, sitk.sitkFloat64, "GDCMImageIO"))
    except RuntimeError as error:
        raise ValueError("its pixel data cannot be decoded") from error
    return values.shape, values.tobytes()
