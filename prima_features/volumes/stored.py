"""The stored pixels of a DICOM file, and the arithmetic that its header defines (PS3.3 C.7.6.3 and C.11.1).

All voxel values come from this module: from the bytes of the file if they are not compressed, otherwise from GDCM.
"""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.files.safe import UnsafeFileError
from prima_features.studies.dicom import values
from prima_features.studies.dicom.bounds import MOST_FRAMES, BoundedFile, find_pixels, read_data_set
from prima_features.studies.dicom.frames import PER_FRAME, SHARED
from prima_features.studies.dicom.read import NATIVE, quiet_pydicom
from prima_features.studies.voxels import MAX_VOXELS
from prima_features.volumes.volume import format_shape

if TYPE_CHECKING:
    from pydicom import Dataset

_RLE = "1.2.840.10008.1.2.5"
_PIXEL_DATA = 0x7FE00010
_ITEM, _DELIMITER = 0xFFFEE000, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
_MOST_PIXELS = 1 << 24
"""Most pixels of one slice: 4096 x 4096. Compressed ones could declare gigabytes in a few bytes."""
_TAGS: tuple[values.Tag, ...] = (
    *("SOPClassUID", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"),
    *("ModalityLUTSequence", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient"),
    *(SHARED, PER_FRAME),
    *(0x60000102 + (group << 16) for group in range(0, 32, 2)),
)
_SIZE_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Of JPEG (SOF0 to SOF15) and JPEG-LS (SOF55): before the size of the image."""
_EXPORT = "export the series again"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Layout:
    """How the samples of one file are stored. Equal for all slices of an ordinary series."""

    rows: int
    columns: int
    allocated: int
    """Bits of a sample, 8, 16 or 32."""
    stored: int
    """Bits of a sample that are the value."""
    high: int
    """Number of the value's highest bit."""
    signed: bool
    inverted: bool
    """MONOCHROME1: the lowest value is white. Values are inverted within their range, as SimpleITK does."""

    @property
    def dtype(self) -> np.dtype:
        """Of the stored samples."""
        return np.dtype(f"{'i' if self.signed else 'u'}{self.allocated // 8}")

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame that is not compressed."""
        return self.rows * self.columns * self.allocated // 8

    @property
    def range(self) -> tuple[int, int]:
        """Lowest and highest value that the stored bits can hold."""
        if self.signed:
            return -(1 << (self.stored - 1)), (1 << (self.stored - 1)) - 1
        return 0, (1 << self.stored) - 1

    @property
    def is_plain(self) -> bool:
        """Whether the value fills the sample from bit 0 up, as in the standard."""
        return self.high == self.stored - 1


@dataclass(frozen=True)
class Scale:
    """RescaleSlope and RescaleIntercept of one frame."""

    slope: float = 1.0
    intercept: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers stay whole."""
        return self.slope.is_integer() and self.intercept.is_integer()


@dataclass(frozen=True)
class StoredPixels:
    """The pixel data of one file, located and checked against the header, but not decoded."""

    layout: Layout
    scales: tuple[Scale, ...]
    """One per frame."""
    syntax: str
    """Transfer syntax UID; see `NATIVE`."""
    overlays: bool
    """Whether bits above the value may hold an overlay."""
    described: bool
    """Whether functional groups describe the frames, as in enhanced files."""
    frames: tuple[bytes, ...] = field(repr=False)
    """Of the frames asked for: native samples (little-endian), or one compressed stream each."""

    @property
    def is_lossless(self) -> bool:
        """Whether every decoder must give the same values."""
        from pydicom.uid import UID

        return self.syntax == _RLE or "Lossless" in UID(self.syntax).name

    @property
    def is_native(self) -> bool:
        """Whether the samples are stored without compression."""
        return self.syntax in NATIVE


def read_stored(file: Path, numbers: Sequence[int] | None = None) -> tuple[StoredPixels, "Dataset"]:
    """The pixel data of some frames of a file (all if None), and the elements of `_TAGS`.

    Raises:
        SeriesError: the header is contradictory, or the pixel data is shorter or longer than it declares.
        OSError: the file cannot be read.
    """
    try:
        return _read_stored(file, numbers)
    except UnsafeFileError as error:
        raise SeriesError(f"one of its files {error}", hint=_EXPORT) from error


def _read_stored(file: Path, numbers: Sequence[int] | None) -> tuple[StoredPixels, "Dataset"]:
    with quiet_pydicom(), BoundedFile(file) as stream:
        try:
            data, source = read_data_set(stream, _TAGS, force=True, pixels=True)
            syntax = values.text(data.file_meta, "TransferSyntaxUID")
            length, swap = find_pixels(source, *data.original_encoding)
        except (SeriesError, UnsafeFileError):
            raise
        except values.malformed() as error:
            if (
                isinstance(error, OSError) and error.errno is not None
            ):  # an error of the disk; pydicom raises OSError without errno
                raise
            raise SeriesError("the header of a file cannot be read", hint=_EXPORT) from error
        layout = _layout(data)
        n_frames = values.whole(data, "NumberOfFrames") or 1
        if not 0 < n_frames <= MOST_FRAMES:
            raise SeriesError(f"its header declares {n_frames} frames, which is implausible", hint=_EXPORT)
        numbers = range(n_frames) if numbers is None else numbers
        if max(numbers, default=0) >= n_frames:
            raise SeriesError(f"frame {max(numbers) + 1} is needed, and the file declares {n_frames}")
        if layout.rows * layout.columns * len(numbers) > MAX_VOXELS:
            raise SeriesError("its header declares more voxels than any head scan has")
        start = source.tell()
        if syntax in NATIVE:
            if length == _UNDEFINED:
                raise SeriesError("its pixel data is compressed, but its transfer syntax is uncompressed")
            _check_length(source, start, length, layout.frame_bytes * n_frames, layout)
            frames = tuple(_native(source, start, number, layout, swap) for number in numbers)
        else:
            frames = _streams(source, length, n_frames, numbers, syntax, layout)
        scales = _scales(data, n_frames)
        overlays = any(0x60000102 + (group << 16) in data for group in range(0, 32, 2))
        described = bool(values.items(data, PER_FRAME))
        chosen = tuple(scales[number] for number in numbers)
        return StoredPixels(layout, chosen, syntax, overlays, described, frames), data


def unpack(frame: bytes, layout: Layout) -> tuple[np.ndarray, bool]:
    """Values (rows, columns) of one native frame, and whether bits above the value are set that are not its sign.

    Bits outside BitsStored are dropped, and the sign is extended from the value's highest bit.
    """
    samples = np.frombuffer(frame, f"<u{layout.allocated // 8}").reshape(layout.rows, layout.columns)
    native = samples.astype(f"u{layout.allocated // 8}", copy=False)
    plain = native.view(layout.dtype)
    if layout.stored == layout.allocated:
        return plain, False
    unused = layout.allocated - layout.stored
    kept = (native << (layout.allocated - 1 - layout.high)).view(layout.dtype) >> unused
    if not layout.is_plain or np.array_equal(kept, plain):
        return kept, False
    return kept, bool(((kept != plain) & (native >> layout.stored != 0)).any())


def decode_by_gdcm(pixels: StoredPixels) -> np.ndarray:
    """Values (frames, rows, columns) decoded by GDCM, from a copy whose header contains only the layout.

    Raises:
        RuntimeError: GDCM cannot decode them.
        SeriesError: the decoded size or type differs from the header.
    """
    with tempfile.TemporaryDirectory(prefix="prima-") as folder:
        file = Path(folder) / "frames.dcm"
        bare_data_set(pixels).save_as(file, enforce_file_format=True)
        decoded = sitk.GetArrayFromImage(sitk.ReadImage(str(file), imageIO="GDCMImageIO"))
    layout = pixels.layout
    expected = (len(pixels.frames), layout.rows, layout.columns)
    if decoded.size != np.prod(expected) or decoded.dtype.itemsize > layout.allocated // 8:
        raise SeriesError(
            f"its compressed pixel data decodes to {format_shape(decoded.shape)} samples of {decoded.dtype}, "
            f"its header declares {format_shape(expected)} of {layout.dtype}",
            hint=_EXPORT,
        )
    return decoded.reshape(expected).astype(layout.dtype, copy=False)


def decode_by_pydicom(pixels: StoredPixels) -> np.ndarray | None:
    """The same decoded by pydicom and its installed plugins, or None if none of them supports this pixel data."""
    from pydicom.pixels import get_decoder
    from pydicom.uid import UID

    with quiet_pydicom():
        try:
            decoder = get_decoder(UID(pixels.syntax))
            if not decoder.is_available:
                return None
            decoded, _ = decoder.as_array(bare_data_set(pixels), raw=True)
        except Exception:  # the plugins have no common base class for errors
            logger.debug("pydicom has no decoder for this kind of pixel data", exc_info=True)
            return None
    return decoded.reshape(len(pixels.frames), pixels.layout.rows, pixels.layout.columns)


def bare_data_set(pixels: StoredPixels) -> "Dataset":
    """A DICOM data set with only frames and their layout: without rescaling, and without patient data."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

    layout, data = pixels.layout, Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if pixels.is_native else UID(pixels.syntax)
    bits = 8 if layout.allocated == 8 else 16
    # Multi-frame grayscale byte or word secondary capture (PS3.4 B.5).
    data.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.7.{2 if bits == 8 else 3}"
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.Rows, data.Columns, data.NumberOfFrames = layout.rows, layout.columns, len(pixels.frames)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit = layout.allocated, layout.stored, layout.high
    data.PixelRepresentation = int(layout.signed)
    body = b"".join(pixels.frames) if pixels.is_native else encapsulate(list(pixels.frames))
    data.add_new(_PIXEL_DATA, "OW" if pixels.is_native else "OB", body + b"\0" * (len(body) % 2))
    data["PixelData"].is_undefined_length = not pixels.is_native
    return data


def common_type(layouts: Sequence[Layout], scales: Sequence[Scale]) -> np.dtype:
    """Number type of a volume whose slices are stored like this (one layout and one scale per slice).

    For slices with equal layout and scale it is SimpleITK's: the stored type without rescaling; the smallest integer
    type that fits every possible value, if slope and intercept are whole; otherwise float64. For other slices, the same
    rule is applied to all their possible values together.
    """
    if all(scale == Scale() for scale in scales) and len({layout.dtype for layout in layouts}) == 1:
        return layouts[0].dtype
    if not all(scale.is_whole for scale in scales):
        return np.dtype(np.float64)
    pairs = set(zip(layouts, scales, strict=True))
    ends = [scale.slope * end + scale.intercept for layout, scale in pairs for end in layout.range]
    low, high = min(ends), max(ends)
    for name in ("u1", "u2", "u4") if low >= 0 else ("i1", "i2", "i4"):
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return np.dtype(name)
    return np.dtype(np.float64)


def rescale(stored: np.ndarray, layout: Layout, scale: Scale, dtype: np.dtype) -> np.ndarray:
    """Stored values times slope plus intercept, in `dtype` (`common_type`)."""
    if layout.inverted:
        stored = sum(layout.range) - stored.astype(np.int64)
    if scale == Scale():
        return stored.astype(dtype, copy=False)
    if dtype.kind == "f":
        return stored * scale.slope + scale.intercept
    return (stored.astype(np.int64) * int(scale.slope) + int(scale.intercept)).astype(dtype)


def _layout(data: "Dataset") -> Layout:
    def whole(tag: values.Tag, default: int) -> int:
        found = values.whole(data, tag)
        return default if found is None else found

    allocated = whole("BitsAllocated", 16)
    stored = whole("BitsStored", allocated)
    # In some files HighBit is smaller than the number of stored bits. GDCM ignores it, and so does this function.
    high = max(whole("HighBit", stored - 1), stored - 1)
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated or high >= allocated:
        raise SeriesError(
            f"its pixels have {allocated} bits, of which {stored} up to bit {high} are used; this cannot be read",
            hint=_EXPORT,
        )
    if whole("SamplesPerPixel", 1) != 1:
        raise SeriesError("its images are in colour")
    if values.items(data, "ModalityLUTSequence") and not _has_value(data, "RescaleSlope"):
        raise SeriesError("its values are defined by a Modality LUT, which is not supported", hint=_EXPORT)
    rows, columns = whole("Rows", 0), whole("Columns", 0)
    if rows < 1 or columns < 1:
        raise SeriesError("one of its files contains no image", hint=_EXPORT)
    if rows * columns > _MOST_PIXELS:
        raise SeriesError(f"its header declares {rows} x {columns} pixels, more than any slice has")
    inverted = values.text(data, "PhotometricInterpretation").strip() == "MONOCHROME1"
    return Layout(rows, columns, allocated, stored, high, bool(whole("PixelRepresentation", 0)), inverted)


def _scales(data: "Dataset", n_frames: int) -> list[Scale]:
    """The scale of every frame: its own, the shared one, or the file's (PS3.3 C.7.6.16.2.9)."""
    shared = next(iter(values.items(data, SHARED)), None)
    groups = values.items(data, PER_FRAME)
    if groups and len(groups) != n_frames:
        raise SeriesError(f"its header describes {len(groups)} frames and declares {n_frames}", hint=_EXPORT)
    common = next(iter(values.items(shared, "PixelValueTransformationSequence")), None) or data
    own = [next(iter(values.items(group, "PixelValueTransformationSequence")), common) for group in groups]
    return [_scale(item) for item in own or [common] * n_frames]


def _scale(data: "Dataset") -> Scale:
    slope = _number(data, "RescaleSlope", 1.0)
    return Scale(slope or 1.0, _number(data, "RescaleIntercept", 0.0))  # a slope of 0 means none, as for GDCM


def _number(data: "Dataset", tag: str, default: float) -> float:
    if not _has_value(data, tag):
        return default
    number = values.number(data, tag)
    if number is None:
        raise SeriesError(f"its {tag} cannot be read as a number", hint=_EXPORT)
    return number


def _has_value(data: "Dataset", tag: str) -> bool:
    found: Any = data.get_item(values.base_tag(tag))
    return found is not None and bool(found.length if found.is_raw else not found.is_empty)


def _check_length(source: BinaryIO, start: int, length: int, expected: int, layout: Layout) -> None:
    there = min(length, source.seek(0, 2) - start)
    if there < expected or there < length:
        raise SeriesError(
            f"its pixel data is truncated: {there} of {max(expected, length)} bytes are there",
            hint="a file is truncated: copy or export the series again",
        )
    if length - expected > max(layout.columns * layout.allocated // 8 - 1, 1):
        raise SeriesError(
            f"its pixel data has {length} bytes, but its header declares {expected}: the image size may be wrong",
            hint=_EXPORT,
        )


def _native(source: BinaryIO, start: int, number: int, layout: Layout, swap: int) -> bytes:
    """Samples of one frame, little-endian."""
    source.seek(start + number * layout.frame_bytes)
    frame = source.read(layout.frame_bytes)
    if swap == 0 or (swap == 1 and layout.allocated == 8):
        return frame
    size = max(swap, layout.allocated // 8)
    if len(frame) % size:  # one byte short of a word: 8 bits, an odd number of pixels, stored as words
        source.seek(start + number * layout.frame_bytes)
        frame = source.read(layout.frame_bytes + 1)
    return np.frombuffer(frame, f">u{size}").astype(f"<u{size}").tobytes()[: layout.frame_bytes]


def _streams(
    source: BinaryIO, length: int, n_frames: int, numbers: Sequence[int], syntax: str, layout: Layout
) -> tuple[bytes, ...]:
    """The compressed streams of some frames (PS3.5 annex A.4)."""
    if length != _UNDEFINED:
        raise SeriesError("its transfer syntax is compressed, but its pixel data is not", hint=_EXPORT)
    fragments = _fragments(source)
    if n_frames == 1:
        frames = [b"".join(_read(source, *fragment) for fragment in fragments[1:])]
    elif len(fragments) - 1 == n_frames:
        frames = [_read(source, *fragments[1 + number]) for number in numbers]
    else:
        frames = _by_offsets(source, fragments, n_frames, numbers)
    if syntax != _RLE and any(not _is_complete(frame) for frame in frames):
        raise SeriesError(
            "its compressed pixel data is truncated", hint="a file is truncated: export the series again"
        )
    if syntax == _RLE and not all(_is_sound_rle(frame) for frame in frames):
        raise SeriesError("its RLE-compressed pixel data is damaged", hint=_EXPORT)
    for frame in frames:
        if (stated := stated_size(frame)) not in (None, (layout.rows, layout.columns, 1)):
            raise SeriesError(
                f"its compressed pixel data states {format_shape(stated)} samples, its header declares "
                f"{layout.rows} x {layout.columns} x 1",
                hint=_EXPORT,
            )
    return tuple(frames)


def stated_size(stream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples per pixel that a compressed image states at its beginning; None if unknown.

    Decoders allocate this size, whatever the DICOM header declares. Sources: ISO/IEC 15444-1 A.5.1 (SIZ),
    ISO/IEC 10918-1 B.2.2 and ISO/IEC 14495-1 C.2.2 (SOF).
    """
    at = stream.find(b"\xff\x4f\xff\x51", 0, 1 << 16)  # there may be the boxes of a JP2 file before it
    if at >= 0 and len(stream) >= at + 42:
        right, bottom, left, top = (int(number) for number in np.frombuffer(stream, ">u4", 4, at + 8))
        return bottom - top, right - left, int.from_bytes(stream[at + 40 : at + 42], "big")
    position = 2
    while stream[:2] == b"\xff\xd8" and position + 10 <= len(stream):
        if stream[position] != 0xFF:
            return None
        marker = stream[position + 1]
        if marker == 0xFF:  # padding
            position += 1
        elif marker in _SIZE_MARKERS:
            numbers = np.frombuffer(stream, ">u2", 2, position + 5)
            return int(numbers[0]), int(numbers[1]), stream[position + 9]
        elif marker == 0xDA:
            return None
        else:
            position += 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
    return None


def _is_sound_rle(stream: bytes) -> bool:
    """Whether an RLE frame's header names 1, 2 or 4 segments of the stream, one per byte of a pixel (PS3.5 G.5).

    GDCM ends the process with an arithmetic error on a header without segments.
    """
    if len(stream) < 64:
        return False
    n, *offsets = (int(number) for number in np.frombuffer(stream, "<u4", 16))
    if n not in (1, 2, 4):
        return False
    used = [*offsets[:n], len(stream)]
    return used[0] >= 64 and all(one < other for one, other in pairwise(used))


def _fragments(source: BinaryIO) -> list[tuple[int, int]]:
    """Offset and length of the items of encapsulated pixel data; the first is the table of offsets."""
    end = source.tell()
    found: list[tuple[int, int]] = []
    size = source.seek(0, 2)
    while True:
        source.seek(end)
        head = source.read(8)
        tag = int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[4:], "little")
        if tag == _DELIMITER and found:
            return found
        if tag != _ITEM or end + 8 + length > size:
            raise SeriesError(
                "its compressed pixel data is truncated or damaged",
                hint="a file is truncated: copy or export the series again",
            )
        found.append((end + 8, length))
        if len(found) > MOST_FRAMES:
            raise SeriesError("its compressed pixel data has more fragments than any scan", hint=_EXPORT)
        end += 8 + length


def _read(source: BinaryIO, offset: int, length: int) -> bytes:
    source.seek(offset)
    return source.read(length)


def _by_offsets(
    source: BinaryIO, fragments: list[tuple[int, int]], n_frames: int, numbers: Sequence[int]
) -> list[bytes]:
    """Frames of several fragments each, located by the table of offsets."""
    table = np.frombuffer(_read(source, *fragments[0]), "<u4")
    first = fragments[1][0] - 8 if len(fragments) > 1 else 0
    if len(table) != n_frames:
        raise SeriesError(
            f"its compressed pixel data has {len(fragments) - 1} fragments for {n_frames} frames",
            hint=_EXPORT,
        )
    frames = []
    for number in numbers:
        low = first + int(table[number])
        high = first + int(table[number + 1]) if number + 1 < n_frames else float("inf")
        frames.append(b"".join(_read(source, at, size) for at, size in fragments[1:] if low <= at - 8 < high))
    return frames


def _is_complete(stream: bytes) -> bool:
    """Whether a JPEG, JPEG-LS or JPEG 2000 stream ends with its end marker, apart from padding."""
    return stream[-64:].rstrip(b"\0").endswith(b"\xff\xd9")
