"""Slices and series that occur twice because files were copied or sent twice: decided by their pixels.

A file that cannot be read has no copies. If its disk is not available, that is an error (SourceError): the files are
then not known to differ.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from prima_features.errors import SeriesError
from prima_features.files.disk import check_disk
from prima_features.files.paths import utf8_name
from prima_features.files.safe import UnsafeFileError
from prima_features.studies.dicom import values
from prima_features.studies.dicom.bounds import BoundedFile, find_pixels, read_data_set
from prima_features.studies.dicom.frames import PER_FRAME, SHARED
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.regular import read_reduced, reduce_header
from prima_features.studies.study import COPY, DicomSlices, Series


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
    """Images without those that have the same pixels as an earlier one."""
    kept: list[Header] = []
    seen: set[object] = set()
    for header in images:
        if header.frame is not None:  # thousands of frames may share a place
            content = _content(header.file, header.frame)
            if content is not None and content in seen:
                continue
            seen.add(content)
        elif any(_have_same_pixels(header, other) for other in kept):
            continue
        kept.append(header)
    return kept


def are_copies(images: Sequence[Header]) -> bool:
    """Whether all images have the same pixels."""
    first, *others = images
    return all(_have_same_pixels(first, other) for other in others)


def flag_copies(series: Sequence[Series]) -> list[Series]:
    """Series of one study, with the flag `COPY` on those with the same pixels as an earlier one.

    Archives send series again under new UIDs. The first, the middle and the last slice are compared.
    """
    images = {i: one.image for i, one in enumerate(series) if isinstance(one.image, DicomSlices)}
    groups = _equal_groups(images, lambda image: (len(image.stacks[0]), len(image.stacks)))
    # A slice is read only if the previous ones agree.
    for share in (0, 0.5, 1):
        content = partial(_content_at, share=share)
        groups = [
            equal for group in groups for equal in _equal_groups({i: images[i] for i in group}, content)
        ]
    copies = {i for group in groups for i in group[1:]}
    return [replace(one, flags=(*one.flags, COPY)) if i in copies else one for i, one in enumerate(series)]


def _equal_groups(
    images: Mapping[int, DicomSlices], content: Callable[[DicomSlices], tuple[object, ...] | None]
) -> list[list[int]]:
    """Numbers of images with the same content, in order; unique images are left out."""
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, image in images.items():
        if (own := content(image)) is not None:
            groups[own].append(i)
    return [group for group in groups.values() if len(group) > 1]


def _content_at(image: DicomSlices, share: float) -> tuple[object, ...] | None:
    """The content of the slice at a fraction of the stack: 0 is the first, 1 the last."""
    n = len(image.stacks[0])
    place = min(int(share * n), n - 1)
    return _content(image.stacks[0][place], image.frames[0][place] if image.frames else None)


def _have_same_pixels(one: Header, other: Header) -> bool:
    """Whether two slices have the same values: as stored and scaled, or after decompression."""
    if one.frame is None and other.frame is None:
        return _are_same_files(one.file, other.file)
    a, b = _content(one.file, one.frame), _content(other.file, other.frame)
    if a is None or b is None:
        return False
    return a == b or (a[1] != b[1] and one.frame == other.frame and _decode_alike(one.file, other.file))


def _decode_alike(one: Path, other: Path) -> bool:
    """Whether two files that are compressed differently decode to the same frames."""
    try:
        return _digest_decoded(one, *_version(one)) == _digest_decoded(other, *_version(other))
    except (OSError, ValueError) as error:
        check_disk(error, (one, other))
        return False


def _version(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _digest_decoded(file: Path, modified: int, size: int) -> tuple[object, bytes]:
    shape, decoded = _as_decoded(file)
    return shape, hashlib.sha256(decoded).digest()


def _are_same_files(one: Path, other: Path) -> bool:
    try:
        if one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes():
            return True
    except OSError as error:
        check_disk(error, (one, other))
        return False
    try:
        a, b = _read(one), _read(other)
        if a.file_meta.get("TransferSyntaxUID") != b.file_meta.get("TransferSyntaxUID"):
            return _as_decoded(one) == _as_decoded(other)
        return bool(a.PixelData) and _as_stored(a) == _as_stored(b)
    except values.malformed() as error:  # a file that cannot be read is not a copy
        check_disk(error, (one, other))
        return False


_LAYOUT = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "PixelRepresentation", "PhotometricInterpretation"),
)
_SCALE = ("RescaleSlope", "RescaleIntercept")
_READ = (*_LAYOUT, *_SCALE, PER_FRAME, SHARED)


def _content(file: Path, frame: int | None) -> tuple[object, ...] | None:
    """Digest of a slice's samples as stored, and what its values depend on; None if it cannot be read.

    Other frames are not read.
    """
    unreadable: tuple[type[Exception], ...] = (*values.malformed(), SeriesError, UnsafeFileError)
    try:
        return _read_frame(_look_into(file, *_version(file)), frame or 0)
    except unreadable as error:
        check_disk(error, (file,))
        return None


@dataclass(frozen=True)
class _Frames:
    """Where the frames of a file are, and what their values depend on."""

    file: Path
    offset: int
    """Of the first byte of the pixel data."""
    n_frames: int
    frame_bytes: int
    is_compressed: bool
    layout: tuple[object, ...]
    scales: tuple[tuple[float, float], ...]
    """Of each frame."""


def _read_frame(frames: _Frames, number: int) -> tuple[object, ...]:
    from pydicom.encaps import get_frame

    with frames.file.open("rb") as stream:
        if frames.is_compressed:
            stream.seek(frames.offset)
            samples = get_frame(stream, number, number_of_frames=frames.n_frames)
        else:
            stream.seek(frames.offset + number * frames.frame_bytes)
            samples = stream.read(frames.frame_bytes)
    return (hashlib.sha256(samples).digest(), *frames.layout, *frames.scales[number])


@lru_cache(maxsize=16)
def _look_into(file: Path, modified: int, size: int) -> _Frames:
    """The frames of a file. Cached until the file changes.

    Raises:
        SeriesError, UnsafeFileError, or one of `values.malformed`: it cannot be read, or is deflated.
    """
    from pydicom.uid import UID

    with BoundedFile(file) as stream:
        tags = (*_READ, "NumberOfFrames")
        if (reduced := reduce_header(stream, tags)) is not None:
            data, (is_implicit, is_little) = read_reduced(reduced.shared, tags), (reduced.is_implicit, True)
            stream.seek(reduced.pixels)
        else:
            data, _ = read_data_set(stream, tags, force=True)
            is_implicit, is_little = map(bool, data.original_encoding)
        syntax = UID(values.text(data.file_meta, "TransferSyntaxUID"))
        if stream.is_deflated:
            raise ValueError("its frames are deflated")
        find_pixels(stream, is_implicit, is_little)
        offset = stream.tell()
    shared, groups = values.items(data, SHARED), values.items(data, PER_FRAME)
    scales = []
    for group in groups:
        own = [
            item
            for holder in (group, *shared)
            for item in values.items(holder, "PixelValueTransformationSequence")
        ]
        scales.append(_scale(own[0] if own else data))
    rows, columns, bits = (values.whole(data, name) or 0 for name in _LAYOUT[:3])
    return _Frames(
        file=file,
        offset=offset,
        n_frames=values.whole(data, "NumberOfFrames") or 1,
        frame_bytes=rows * columns * bits // 8,
        is_compressed=bool(syntax) and syntax.is_encapsulated,
        # Samples in both byte orders differ, and count as different images.
        layout=(
            syntax if syntax and syntax.is_compressed else "",
            *(values.text(data, name) for name in _LAYOUT),
        ),
        scales=tuple(scales) or (_scale(data),),
    )


def _scale(data: Any) -> tuple[float, float]:
    slope, intercept = (values.number(data, name) for name in _SCALE)
    return slope or 1.0, intercept or 0.0


def _read(file: Path) -> Any:
    """Pixel data and what its values depend on."""
    import pydicom

    return pydicom.dcmread(file, specific_tags=["PixelData", *_READ], force=True)


def _as_stored(data: Any) -> tuple[object, ...]:
    return (bytes(data.PixelData), *(data.get(keyword) for keyword in _READ))


def _as_decoded(file: Path) -> tuple[tuple[int, ...], bytes]:
    """Size and values. Raises ValueError if it cannot be decoded."""
    import SimpleITK as sitk

    try:
        with utf8_name(file) as name:
            decoded = sitk.GetArrayFromImage(sitk.ReadImage(name, sitk.sitkFloat64, "GDCMImageIO"))
    except RuntimeError as error:
        raise ValueError("its pixel data cannot be decoded") from error
    return decoded.shape, decoded.tobytes()
