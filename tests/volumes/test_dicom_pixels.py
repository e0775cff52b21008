"""What is read of DICOM equals the arithmetic of its headers, for every way that pixels are stored."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
    generate_uid,
)

from prima_features.doctor import codecs
from prima_features.encoders.prima.prepare import read_volume
from prima_features.errors import SeriesError
from prima_features.studies.dicom import find_dicom
from prima_features.studies.study import DicomSlices, Series
from prima_features.volumes.dicom import MIXED_SCALING, PIXEL_SIZE_UNKNOWN, UNUSED_BITS, acquire_slices
from prima_features.volumes.stored import _is_sound_rle, read_stored, stated_size
from prima_features.volumes.volume import Acquired

MR_IMAGE, ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1"
N_SLICES, ROWS, COLUMNS = 6, 7, 10
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
)
SCALES = ((None, None), ("1", "0"), ("2", "-5"), ("0.3", "1"), ("1", "-1024"), ("-1", "0"), ("700", "3"))


def make_slice(values: np.ndarray, position: int, **elements: object) -> Dataset:
    """One axial slice that stores `values` as the elements say."""
    data = Dataset()
    own = {
        "SOPClassUID": MR_IMAGE,
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": "MR",
        "PatientID": "MRN-4711",
        "SeriesDescription": "AX T1",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, 3 * position],
        "Rows": values.shape[0],
        "Columns": values.shape[1],
        "PixelSpacing": [1, 1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    } | elements
    for keyword, element in own.items():
        if element is not None:
            setattr(data, keyword, element)
    bits = values.astype(np.int64) & ((1 << data.BitsStored) - 1)
    bits <<= data.HighBit + 1 - data.BitsStored
    body = bits.astype(f"<u{data.BitsAllocated // 8}").tobytes()
    data.PixelData = body + b"\0" * (len(body) % 2)
    data["PixelData"].VR = "OB" if data.BitsAllocated == 8 else "OW"
    return data


def write(path: Path, data: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    if syntax == RLELossless:
        data.compress(RLELossless, generate_instance_uid=False)
    if syntax == ExplicitVRBigEndian:
        size = data.BitsAllocated // 8
        data.PixelData = np.frombuffer(data.PixelData, f"<u{size}").astype(f">u{size}").tobytes()
    pydicom.dcmwrite(
        path,
        data,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    return path


def read(folder: Path) -> Acquired:
    return acquire_slices(DicomSlices((tuple(sorted(folder.iterdir())),)))


def voxels(acquired: Acquired) -> np.ndarray:
    return sitk.GetArrayFromImage(acquired.image)


def draw(
    rng: np.random.Generator, whole_only: bool = False
) -> tuple[dict[str, object], np.ndarray, np.ndarray, str]:
    """How a slice is stored, its stored values, what they mean, and its transfer syntax."""
    syntax = str(rng.choice(SYNTAXES))
    allocated = int(rng.choice([8, 16] if syntax in (RLELossless, ExplicitVRBigEndian) else [8, 16, 32]))
    stored = int(rng.integers(allocated // 2, allocated + 1))
    high = allocated - 1 if syntax != RLELossless and rng.random() < 0.2 else stored - 1
    signed, inverted = bool(rng.integers(2)), rng.random() < 0.3
    low, top = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    values = rng.integers(low, top + 1, (ROWS, COLUMNS))
    slope, intercept = SCALES[rng.integers(2 if whole_only else len(SCALES))]
    meant = (low + top - values if inverted else values) * float(slope or 1) + float(intercept or 0)
    elements = {
        "BitsAllocated": allocated,
        "BitsStored": stored,
        "HighBit": high,
        "PixelRepresentation": int(signed),
        "PhotometricInterpretation": "MONOCHROME1" if inverted else "MONOCHROME2",
        "RescaleSlope": slope,
        "RescaleIntercept": intercept,
    }
    return elements, values, meant, syntax


@pytest.mark.parametrize("seed", range(12))
def test_slices_stored_alike_are_what_their_headers_say(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    elements, _, _, syntax = draw(rng)
    signed, stored = elements["PixelRepresentation"], elements["BitsStored"]
    low, top = (-(1 << stored - 1), (1 << stored - 1) - 1) if signed else (0, (1 << stored) - 1)
    values = rng.integers(low, top + 1, (N_SLICES, ROWS, COLUMNS))
    for k in range(N_SLICES):
        write(tmp_path / f"{k}", make_slice(values[k], k, **elements), syntax)
    shown = low + top - values if elements["PhotometricInterpretation"] == "MONOCHROME1" else values
    expected = shown * float(elements["RescaleSlope"] or 1) + float(elements["RescaleIntercept"] or 0)
    acquired = read(tmp_path)
    np.testing.assert_allclose(voxels(acquired), expected, rtol=1e-12)
    assert acquired.flags == ()


@pytest.mark.parametrize("seed", range(20))
def test_any_mixture_of_slices_is_what_each_header_says(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    expected = []
    for k in range(N_SLICES):
        elements, values, meant, syntax = draw(rng, whole_only=seed % 3 == 0)
        write(tmp_path / f"{k}", make_slice(values, k, **elements), syntax)
        expected.append(meant)
    acquired = read(tmp_path)
    np.testing.assert_allclose(voxels(acquired), expected, rtol=1e-12)
    assert acquired.flags == (MIXED_SCALING,)


TYPES = [
    ([{}], np.uint16),
    ([{"BitsStored": 12, "HighBit": 11}], np.uint16),
    ([{"PixelRepresentation": 1}], np.int16),
    ([{"RescaleSlope": "2"}], np.uint32),
    ([{"BitsStored": 12, "HighBit": 11, "RescaleIntercept": "-1024"}], np.int16),
    ([{"RescaleSlope": "0.5"}], np.float64),
    ([{"RescaleSlope": "0"}], np.uint16),
    ([{"RescaleSlope": "1000000"}], np.float64),
    ([{}, {"RescaleSlope": "0.5"}], np.float64),
    ([{}, {"RescaleSlope": "2"}], np.uint32),
    ([{}, {"PixelRepresentation": 1}], np.int32),
    ([{}, {"BitsStored": 12, "HighBit": 11}], np.uint16),
]


@pytest.mark.parametrize(("kinds", "dtype"), TYPES)
def test_the_number_type_holds_every_slice(
    tmp_path: Path, kinds: list[dict[str, object]], dtype: type
) -> None:
    values = np.random.default_rng(0).integers(0, 2000, (ROWS, COLUMNS))
    for k in range(N_SLICES):
        write(tmp_path / f"{k}", make_slice(values, k, **kinds[k % len(kinds)]))
    assert voxels(read(tmp_path)).dtype == dtype


def test_geometry_and_numbers_of_an_ordinary_series_are_simpleitks(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for turn in range(4):
        folder = tmp_path / str(turn)
        folder.mkdir()
        q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        step = 3.3 * np.cross(q[0], q[1]) * (-1) ** turn
        for k in range(N_SLICES):
            place = {
                "ImageOrientationPatient": [f"{v:.10g}" for v in (*q[0], *q[1])],
                "ImagePositionPatient": [f"{v:.10g}" for v in (-91.3, 77.7, -12.1) + k * step],
                "PixelSpacing": ["0.9375", "0.46875"],
                "RescaleSlope": "2",
            }
            write(folder / f"{k}", make_slice(rng.integers(0, 900, (ROWS, COLUMNS)), k, **place))
        reader = sitk.ImageSeriesReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileNames([str(file) for file in sorted(folder.iterdir())])
        expected, image = reader.Execute(), read(folder).image
        assert image.GetPixelID() == expected.GetPixelID()
        assert image.GetOrigin() == expected.GetOrigin()
        assert image.GetSpacing() == expected.GetSpacing()
        assert image.GetDirection() == expected.GetDirection()
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))


@pytest.fixture
def ordinary(tmp_path: Path) -> Callable[..., Path]:
    """Writes a series; `edit(data, k)` may change each slice before it is written."""

    def make(
        edit: Callable[[Dataset, int], object] = lambda data, k: None, syntax: str = ExplicitVRLittleEndian
    ) -> Path:
        values = np.random.default_rng(1).integers(0, 2000, (N_SLICES, ROWS, COLUMNS))
        for k in range(N_SLICES):
            data = make_slice(values[k], k)
            edit(data, k)
            write(tmp_path / f"{k}", data, syntax)
        return tmp_path

    return make


def cut_pixels(data: Dataset, k: int) -> None:
    if k == 3:
        data.PixelData = data.PixelData[:-2]


def double_pixels(data: Dataset, k: int) -> None:
    data.PixelData = data.PixelData * 2


def edit_element(**elements: object) -> Callable[[Dataset, int], None]:
    def edit(data: Dataset, k: int) -> None:
        for keyword, element in elements.items():
            if k == 3:
                data[keyword]._value = element

    return edit


def as_32_bits(data: Dataset, k: int) -> None:
    data.PixelData = np.frombuffer(data.PixelData, "<u2").astype("<u4").tobytes()
    data.BitsAllocated, data.BitsStored, data.HighBit = 32, 32, 31


REFUSED = {
    "short": (cut_pixels, ExplicitVRLittleEndian, "is truncated: 138 of 140 bytes.*slice 4 of 6"),
    "short and deflated": (cut_pixels, DeflatedExplicitVRLittleEndian, "138 of 140 bytes"),
    "two frames for one": (double_pixels, ExplicitVRLittleEndian, "280 bytes, but its header declares 140"),
    "another matrix": (edit_element(Rows=10, Columns=7), ExplicitVRLittleEndian, "differ in size"),
    "13 of 12 bits": (edit_element(BitsStored=17), ExplicitVRLittleEndian, "16 bits, of which 17"),
    "colour": (edit_element(SamplesPerPixel=3), ExplicitVRLittleEndian, "colour"),
    "minus five frames": (
        lambda data, k: setattr(data, "NumberOfFrames", -5),
        ExplicitVRLittleEndian,
        "declares -5 frames",
    ),
    "no pixels": (
        lambda data, k: data.__delattr__("PixelData"),
        ExplicitVRLittleEndian,
        "no integer pixel data",
    ),
    # pydicom and GDCM disagree on the order of big-endian 32-bit samples.
    "two decoders": (
        as_32_bits,
        ExplicitVRBigEndian,
        "differ from those of a second decoder in slice 1 of 6",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_pixel_data_that_contradicts_its_header_is_refused(ordinary: Callable[..., Path], name: str) -> None:
    edit, syntax, reason = REFUSED[name]
    with pytest.raises(SeriesError, match=reason):
        read(ordinary(edit, syntax))


def test_a_file_cut_short_on_the_disk_is_refused(ordinary: Callable[..., Path]) -> None:
    file = sorted(ordinary().iterdir())[2]
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(SeriesError, match=r"130 of 140 bytes are there \(slice 3 of 6\)"):
        read(file.parent)


def test_a_slope_that_is_no_number_is_refused(ordinary: Callable[..., Path]) -> None:
    for file in ordinary(lambda data, k: setattr(data, "RescaleSlope", "1.5")).iterdir():
        file.write_bytes(file.read_bytes().replace(b"1.5 ", b"a,5 "))
    with pytest.raises(SeriesError, match="RescaleSlope cannot be read as a number"):
        read(file.parent)


def test_padding_after_the_pixels_is_no_defect(ordinary: Callable[..., Path]) -> None:
    expected = voxels(read(ordinary()))
    padded = ordinary(lambda data, k: setattr(data, "PixelData", data.PixelData + bytes(6)))
    np.testing.assert_array_equal(voxels(read(padded)), expected)


@pytest.mark.parametrize("overlay", [True, False])
def test_bits_above_the_value_are_dropped_and_flagged_unless_they_are_an_overlay(
    ordinary: Callable[..., Path], overlay: bool
) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.BitsStored, data.HighBit = 12, 11
        data.PixelData = (np.frombuffer(data.PixelData, "<u2") | 0x8000).astype("<u2").tobytes()
        if overlay:
            data.add_new(0x60000102, "US", 15)

    expected = voxels(read(ordinary()))
    acquired = read(ordinary(edit))
    np.testing.assert_array_equal(voxels(acquired), expected)
    assert acquired.flags == (() if overlay else (UNUSED_BITS,))


@pytest.mark.parametrize("size", [None, ["0", "0"], ["-2", "2"], ["2"], ["1e30", "1e30"], ["nan", "1"]])
def test_a_pixel_size_that_is_none_changes_no_voxel_and_is_flagged(
    ordinary: Callable[..., Path], size: list[str] | None
) -> None:
    def edit(data: Dataset, k: int) -> None:
        if size is None:
            del data.PixelSpacing
        else:
            data["PixelSpacing"]._value = size

    sound = read(ordinary(lambda data, k: None, ExplicitVRLittleEndian))
    flagged = read(ordinary(edit, ExplicitVRLittleEndian))
    assert (sound.flags, flagged.flags) == ((), (PIXEL_SIZE_UNKNOWN,))
    assert flagged.image.GetSpacing() == (1.0, 1.0, 3.0)
    np.testing.assert_array_equal(voxels(flagged), voxels(sound))


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
@pytest.mark.parametrize("cut", ["in the frame", "in the file"])
def test_compressed_pixels_that_end_early_are_refused(tmp_path: Path, syntax: str, cut: str) -> None:
    values = np.random.default_rng(2).integers(0, 2000, (N_SLICES, 32, 40))
    for k in range(N_SLICES):
        data = make_slice(values[k], k)
        if syntax == JPEG2000Lossless:
            compress_j2k(data, values[k], tmp_path / "single.dcm")
        else:
            data.file_meta = FileMetaDataset()
            data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            data.compress(syntax, generate_instance_uid=False)
        frame = get_frame(data.PixelData, 0, number_of_frames=1)
        if k == 4 and cut == "in the frame":
            data.PixelData = encapsulate([frame[: len(frame) // 2]])
        write_as_is(tmp_path / "series" / f"{k}", data, syntax)
        if k == 4 and cut == "in the file":
            file = tmp_path / "series" / f"{k}"
            file.write_bytes(file.read_bytes()[: -len(frame) // 2])
    with pytest.raises(
        SeriesError, match=r"is truncated|cannot be decoded|RLE-compressed pixel data is damaged"
    ):
        read(tmp_path / "series")


def compress_j2k(data: Dataset, values: np.ndarray, file: Path) -> None:
    """Replace the pixel data by its JPEG 2000 stream, which SimpleITK writes."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG2000")
    writer.SetFileName(str(file))
    writer.Execute(sitk.GetImageFromArray(values[None].astype(np.uint16)))
    data.PixelData = pydicom.dcmread(file).PixelData
    data["PixelData"].is_undefined_length = True


def write_as_is(path: Path, data: Dataset, syntax: str) -> None:
    path.parent.mkdir(exist_ok=True)
    data.file_meta = FileMetaDataset()
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    data.file_meta.TransferSyntaxUID = syntax
    data.save_as(path, enforce_file_format=True)


def item(**elements: object) -> Sequence:
    data = Dataset()
    for keyword, element in elements.items():
        setattr(data, keyword, element)
    return Sequence([data])


def make_enhanced(
    values: np.ndarray, slopes: list[float], order: list[int], maker: str, shared: bool
) -> Dataset:
    """One enhanced file with a frame per slice, stored in `order`."""
    data = make_slice(
        values[0],
        0,
        SOPClassUID=ENHANCED_MR,
        Manufacturer=maker,
        NumberOfFrames=len(order),
        ImageOrientationPatient=None,
        ImagePositionPatient=None,
        PixelSpacing=None,
    )
    pointers = [item(DimensionIndexPointer=pointer)[0] for pointer in (0x00209056, 0x00209057)]
    data.DimensionIndexSequence = Sequence(pointers)
    common: dict[str, object] = {
        "PixelMeasuresSequence": item(PixelSpacing=[1, 1], SliceThickness=3, SpacingBetweenSlices=3),
        "PlaneOrientationSequence": item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
    }
    if shared:
        common["PixelValueTransformationSequence"] = item(
            RescaleSlope=slopes[0], RescaleIntercept=0.0, RescaleType="US"
        )
    data.SharedFunctionalGroupsSequence = item(**common)
    groups = []
    for k in order:
        group: dict[str, object] = {
            "FrameContentSequence": item(
                StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1]
            ),
            "PlanePositionSequence": item(ImagePositionPatient=[0, 0, 3 * k]),
        }
        if not shared:
            group["PixelValueTransformationSequence"] = item(
                RescaleSlope=slopes[k], RescaleIntercept=0.0, RescaleType="US"
            )
        groups.append(item(**group)[0])
    data.PerFrameFunctionalGroupsSequence = Sequence(groups)
    data.PixelData = np.stack([values[k] for k in order]).astype("<u2").tobytes()
    return data


@pytest.mark.parametrize(
    "maker", ["Philips Medical Systems", "SIEMENS", "GE MEDICAL SYSTEMS", "UIH", "CANON_MEC"]
)
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_frames_of_one_file_equal_the_same_slices_in_files_of_their_own(
    tmp_path: Path, maker: str, shared: bool, syntax: str
) -> None:
    values = np.random.default_rng(3).integers(0, 60000, (N_SLICES, ROWS, COLUMNS))
    slopes = [1.0, 0.1, 0.2, 0.37, 0.45, 0.5]
    used = [slopes[0]] * N_SLICES if shared else slopes
    order = list(range(N_SLICES))[::-1] if maker == "UIH" else list(range(N_SLICES))
    (tmp_path / "one").mkdir()
    write(tmp_path / "one" / "file", make_enhanced(values, slopes, order, maker, shared), syntax)
    (tmp_path / "many").mkdir()
    for k in range(N_SLICES):
        write(tmp_path / "many" / f"{k}", make_slice(values[k], k, RescaleSlope=repr(used[k])))
    (series,) = find_dicom(tmp_path / "one").studies[0].series
    stack = tuple(sorted((tmp_path / "many").iterdir()))
    expected = read_volume(Series("any", DicomSlices((stack,))))
    volume = read_volume(series)
    assert volume.values.dtype == expected.values.dtype
    np.testing.assert_array_equal(volume.values, expected.values)
    assert volume.spacing == expected.spacing
    assert volume.flags == (() if shared else (MIXED_SCALING,))


@pytest.mark.parametrize(
    ("orientation", "plane"),
    [((0.05, 0.99, 0.1, 0.02, 0.1, -0.99), "sagittal"), ((0.99, 0, 0.1, 0.1, 0, -0.99), "coronal")],
)
def test_cosines_that_are_not_of_unit_length_keep_the_orientation(
    tmp_path: Path, orientation: tuple[float, ...], plane: str
) -> None:
    normal = np.cross(orientation[:3], orientation[3:])
    stored = np.random.default_rng(0).integers(0, 900, (N_SLICES, ROWS, COLUMNS))
    for i in range(N_SLICES):
        place = [round(float(x), 4) for x in 3 * i * normal]
        data = make_slice(stored[i], i, ImageOrientationPatient=list(orientation), ImagePositionPatient=place)
        write(tmp_path / f"{i}.dcm", data)
    (study,) = find_dicom(tmp_path).studies
    assert read_volume(study.series[0]).plane == plane


@pytest.mark.parametrize(
    "numbers", [[0], [15, 64], [3, 64, 70, 75], [2, 64, 64], [2, 70, 64], [1, 8], [1, 2**32 - 1], [2**32 - 1]]
)
def test_rle_headers_that_a_decoder_would_die_of_are_refused(numbers: list[int]) -> None:
    header = np.zeros(16, "<u4")
    header[: len(numbers)] = numbers
    assert not _is_sound_rle(header.tobytes() + bytes(20))
    header[:3] = 2, 64, 70
    assert _is_sound_rle(header.tobytes() + bytes(20))
    assert not _is_sound_rle(header.tobytes()[:40])


def _siz(columns: int, rows: int, samples: int = 1) -> bytes:
    numbers = struct.pack(">HHIIIIIIIIH", 41, 0, columns, rows, 0, 0, columns, rows, 0, 0, samples)
    return b"\xff\x4f\xff\x51" + numbers + b"\x0f\1\1" * samples


def _sof(marker: int, columns: int, rows: int, before: bytes = b"") -> bytes:
    return (
        b"\xff\xd8"
        + before
        + bytes((0xFF, marker))
        + struct.pack(">HBHHB", 11, 16, rows, columns, 1)
        + bytes(3)
    )


@pytest.mark.parametrize(
    ("stream", "size"),
    [
        (_siz(20, 30), (30, 20, 1)),
        (_siz(2**31 - 1, 2**31 - 1, 16384), (2**31 - 1, 2**31 - 1, 16384)),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60) + _siz(20, 30), (30, 20, 1)),  # inside of a JP2 file
        (_sof(0xC3, 65535, 1), (1, 65535, 1)),
        (_sof(0xF7, 20, 30, b"\xff\xe8\x00\x04ab\xff"), (30, 20, 1)),
        (b"\xff\xd8\xff\xc4\x00\x00" * 3, None),
        (b"\xff\xd8\xff", None),
        (b"", None),
        (bytes(100), None),
    ],
)
def test_the_size_that_a_codestream_states_is_known_without_decoding_it(
    stream: bytes, size: tuple[int, int, int] | None
) -> None:
    assert stated_size(stream) == size


@pytest.mark.parametrize("codec", ["JPEG", "JPEG-LS", "JPEG 2000"])
def test_a_codestream_of_another_size_is_not_decoded(codec: str, tmp_path: Path) -> None:
    file = codecs.write_slice(tmp_path / "a.dcm", *codecs.frames()[codec])
    assert read_stored(file)[0].layout.rows == codecs.PICTURE.shape[0]
    data = pydicom.dcmread(file)
    data.Columns = data.Columns * 2
    data.save_as(file)
    with pytest.raises(SeriesError, match="its compressed pixel data states"):
        read_stored(file)
