"""Slices that are in a series twice because files were copied or sent twice: decided by their pixels."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from prima_features.errors import SeriesError
from prima_features.files.paths import utf8_name
from prima_features.safe_files import UnsafeFileError
from prima_features.studies.dicom import values
from prima_features.studies.dicom.bounds import BoundedFile, find_pixels, read_data_set
from prima_features.studies.dicom.header import Header


def drop_same_instances(series: Sequence[Header]) -> list[Header]:
    """The first of each instance, in the order given.

    Instances are the same if SOPInstanceUID, place and pixels are: careless anonymisers write one UID to several
    images. Pixels are read only where everything else agrees.
    """
    groups: dict[tuple[object, ...], list[Header]] = defaultdict(list)
    for header in series:
        what = (header.frame, header.component, header.image_type)
        groups[header.sop_uid or header.file, header.position, *what].append(header)
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
        if not any(_have_same_pixels(header, other) for other in kept):
            kept.append(header)
    return kept


def are_copies(images: Sequence[Header]) -> bool:
    """Whether all images have the same pixels."""
    first, *others = images
    return all(_have_same_pixels(first, other) for other in others)


def _have_same_pixels(one: Header, other: Header) -> bool:
    """Whether two slices show the same values: as stored and scaled, or once decompressed."""
    if one.frame is None and other.frame is None:
        return _are_same_files(one.file, other.file)
    unreadable: tuple[type[Exception], ...] = (*values.malformed(), SeriesError, UnsafeFileError)
    try:
        return _frame(one) == _frame(other)
    except unreadable:  # a file that cannot be read is no copy
        return False


def _are_same_files(one: Path, other: Path) -> bool:
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
    except values.malformed():  # a file that cannot be read is no copy
        return False


_LAYOUT = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"),
    *("RescaleSlope", "RescaleIntercept"),
)
_GROUPS = ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence")


def _frame(header: Header) -> tuple[object, ...]:
    """The samples of a slice as stored, and what its values depend on; of other frames nothing is read.

    Raises:
        SeriesError, UnsafeFileError, or one of `values.malformed`: it cannot be read.
    """
    from pydicom.encaps import get_frame
    from pydicom.uid import UID

    number = header.frame or 0
    tags = [values.base_tag(tag) for tag in (*_LAYOUT, *_GROUPS, "NumberOfFrames")]
    with BoundedFile(header.file) as stream:
        data, source = read_data_set(stream, tags, force=True, pixels=True)
        find_pixels(source, *data.original_encoding)
        syntax = values.text(data.file_meta, "TransferSyntaxUID")
        if syntax and UID(syntax).is_encapsulated:
            count = values.whole(data, "NumberOfFrames") or 1
            samples = get_frame(source.read(), number, number_of_frames=count)
        else:
            rows, columns, bits = (values.whole(data, name) or 0 for name in _LAYOUT[:3])
            size = rows * columns * bits // 8
            source.seek(source.tell() + number * size)
            samples = source.read(size)
    groups = [values.items(data, _GROUPS[0])[number : number + 1], values.items(data, _GROUPS[1])]
    scale = [values.items(group, "PixelValueTransformationSequence") for items in groups for group in items]
    return (samples, syntax, *(values.value(data, name) for name in _LAYOUT), *filter(None, scale))


def _read(file: Path) -> Any:
    """Pixel data and what its values depend on."""
    import pydicom

    return pydicom.dcmread(file, specific_tags=["PixelData", *_LAYOUT, *_GROUPS], force=True)


def _as_stored(data: Any) -> tuple[object, ...]:
    return (bytes(data.PixelData), *(data.get(keyword) for keyword in (*_LAYOUT, *_GROUPS)))


def _as_decoded(file: Path) -> tuple[object, ...]:
    """Size and values. Raises ValueError if it cannot be decoded."""
    import SimpleITK as sitk

    try:
        with utf8_name(file) as name:
            decoded = sitk.GetArrayFromImage(sitk.ReadImage(name, sitk.sitkFloat64, "GDCMImageIO"))
    except RuntimeError as error:
        raise ValueError("its pixel data cannot be decoded") from error
    return decoded.shape, decoded.tobytes()
