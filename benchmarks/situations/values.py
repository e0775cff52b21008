"""Voxel values: how DICOM stores and scales them, what cuts them short, and the scale and tilt of converted NIfTI."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
from dcm2niix import bin as dcm2niix
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
)

from situations.common import Box, Outcome, Situations, named, same_studies
from situations.common import head as big_head

SITUATIONS = Situations("values")

ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
AXIAL = (1, 0, 0, 0, 1, 0)
EMBED = ("--no-report", "--no-pictures", "--study-description", "MRI BRAIN")

SLICES = 10


def head(nx: int = 48, ny: int = 56, nz: int = SLICES, top: float = 1000.0) -> np.ndarray:
    """The phantom, small: most situations differ in how values are stored, not in what they show."""
    return big_head(nx, ny, nz, top=top)


Edit = Callable[[Dataset, int, np.ndarray], object]
"""Changes one slice: its data set, its number, and the values that it should have."""


def stored(
    data: Dataset, values: np.ndarray, bits: int = 16, signed: bool = False, allocated: int = 16
) -> None:
    """Store `values`, which must fit, with this number of bits."""
    data.BitsAllocated, data.BitsStored, data.HighBit = allocated, bits, bits - 1
    data.PixelRepresentation = int(signed)
    body = (np.rint(values).astype(np.int64) & ((1 << bits) - 1)).astype(f"<u{allocated // 8}").tobytes()
    data.PixelData = body + b"\0" * (len(body) % 2)
    data["PixelData"].VR = "OB" if allocated == 8 else "OW"


def scaled(data: Dataset, values: np.ndarray, slope: float, intercept: float = 0.0) -> None:
    """Store values divided by a slope, which the header states."""
    data.RescaleSlope, data.RescaleIntercept = f"{slope:.10g}", f"{intercept:.10g}"
    stored(data, np.clip((values - intercept) / float(f"{slope:.10g}"), 0, 65535))


def write(
    folder: Path,
    volume: np.ndarray,
    edit: Edit = lambda data, k, values: None,
    *,
    iop: Sequence[float] = AXIAL,
    pixel: float = 4.0,
    step: float = 12.0,
    syntax: str = ExplicitVRLittleEndian,
) -> Path:
    """One classic file per slice of a volume (x, y, z), unsigned 16 bits unless `edit` stores them otherwise."""
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(iop[:3], iop[3:])
    for k in range(volume.shape[2]):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.77.3.{k + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.826.77.1", "1.2.826.77.2"
        data.PatientID, data.StudyDate, data.Modality = "PHANTOM", "20210304", "MR"
        data.Manufacturer, data.SeriesDescription = "SIEMENS", "AX T1"
        data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = 4, k + 1, 1
        data.ImageType, data.EchoTime = ["ORIGINAL", "PRIMARY", "M", "ND"], 5
        data.Rows, data.Columns = volume.shape[1], volume.shape[0]
        data.PixelSpacing, data.SliceThickness = [pixel, pixel], step
        data.ImageOrientationPatient = [f"{cosine:.10g}" for cosine in iop]
        data.ImagePositionPatient = [f"{c:.8g}" for c in np.array([-91.0, -103.0, -55.0]) + k * step * normal]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        plane = volume[:, :, k].T
        stored(data, plane)
        edit(data, k, plane)
        save(folder / f"{k:03d}.dcm", data, syntax)
    return folder


def save(path: Path, data: Dataset, syntax: str) -> None:
    """Write a data set of uncompressed pixels with a transfer syntax."""
    if syntax == RLELossless:
        data.compress(RLELossless, generate_instance_uid=False)
    elif syntax == JPEG2000Lossless:
        compress_j2k(data, path.with_suffix(".tmp"))
    elif syntax == ExplicitVRBigEndian:
        size = data.BitsAllocated // 8
        data.PixelData = np.frombuffer(data.PixelData, f"<u{size}").astype(f">u{size}").tobytes()
    data.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        path,
        data,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )


def compress_j2k(data: Dataset, temporary: Path) -> None:
    """Replace 16-bit pixels by their JPEG 2000 stream."""
    import SimpleITK as sitk

    values = np.frombuffer(data.PixelData, "<i2" if data.PixelRepresentation else "<u2")
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG2000")
    writer.SetFileName(str(temporary))
    writer.Execute(sitk.GetImageFromArray(values.reshape(1, data.Rows, data.Columns)))
    data.PixelData = pydicom.dcmread(temporary).PixelData
    data["PixelData"].is_undefined_length = True
    temporary.unlink()


def items(**elements: object) -> Items:
    """A sequence of one item."""
    item = Dataset()
    for keyword, element in elements.items():
        setattr(item, keyword, element)
    return Items([item])


def write_enhanced(
    folder: Path,
    volume: np.ndarray,
    slopes: Sequence[float],
    maker: str,
    *,
    shared: bool = False,
    cut: int = 0,
) -> Path:
    """One enhanced file; frame k is stored divided by its slope."""
    single = write(folder, volume[:, :, :1])
    data = pydicom.dcmread(single / "000.dcm")
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ENHANCED
    data.Manufacturer, data.NumberOfFrames = maker, volume.shape[2]
    del data.ImagePositionPatient, data.ImageOrientationPatient, data.PixelSpacing
    pointers = (0x00209056, 0x00209057)
    data.DimensionIndexSequence = Items([items(DimensionIndexPointer=pointer)[0] for pointer in pointers])
    common = {
        "PixelMeasuresSequence": items(
            PixelSpacing=[4.0, 4.0], SliceThickness=12.0, SpacingBetweenSlices=12.0
        ),
        "PlaneOrientationSequence": items(ImageOrientationPatient=[float(c) for c in AXIAL]),
    }
    groups, frames = [], []
    for k, slope in enumerate(slopes):
        scale = items(RescaleSlope=slope, RescaleIntercept=0.0, RescaleType="US")
        place = [-91.0, -103.0, -55.0 + 12 * k]
        group = {
            "FrameContentSequence": items(
                StackID="1", InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1]
            ),
            "PlanePositionSequence": items(ImagePositionPatient=place),
        }
        if shared:
            common["PixelValueTransformationSequence"] = scale
        else:
            group["PixelValueTransformationSequence"] = scale
        groups.append(items(**group)[0])
        frames.append(np.clip(np.rint(volume[:, :, k].T / slope), 0, 65535).astype("<u2"))
    data.SharedFunctionalGroupsSequence = items(**common)
    data.PerFrameFunctionalGroupsSequence = Items(groups)
    body = np.stack(frames).tobytes()
    data.PixelData = body[: len(body) - cut]
    (single / "000.dcm").unlink()
    data.save_as(folder / "all.dcm", enforce_file_format=True)
    return folder


_WORK = tempfile.TemporaryDirectory(prefix="untidy-values-")


def compare(box: Box, folder: Path, reference: Path) -> Outcome:
    """Embed a folder and compare it with a reference: a folder, or an embeddings file."""
    ran = box.prima("embed", folder, box.folder / "found.h5", *EMBED)
    if reference.is_dir():
        box.prima("embed", reference, box.folder / "clean.h5", *EMBED)
        reference = box.folder / "clean.h5"
    if ran.code:
        return Outcome("silently wrong", f"exit code {ran.code}: {ran.text.strip()[-300:]}")
    return same_studies(box.folder / "found.h5", reference)


def refused(box: Box, folder: Path, *words: str) -> Outcome:
    """Whether the series fails with one of these words."""
    return named(box.prima("embed", folder, box.folder / "found.h5", *EMBED), *words, codes=(3, 4))


@cache
def clean(top: float = 1000.0) -> Path:
    """Embeddings of the phantom with one fractional slope in all slices: the reference of most situations."""
    box = Box(Path(_WORK.name))
    folder = write(
        box.folder / f"{top:g}", head(top=top), lambda data, k, plane: scaled(data, plane, top / 50000)
    )
    output = box.folder / f"{top:g}.h5"
    ran = box.prima("embed", folder, output, *EMBED)
    if ran.code:
        raise RuntimeError(f"the reference cannot be embedded: {ran.text}")
    return output


def per_slice(edit: Edit, top: float = 1000.0) -> Callable[[Box], Outcome]:
    """A situation: the phantom stored as `edit` says has the clean values."""
    return lambda box: compare(box, write(box.folder / "dicom", head(top=top), edit), clean(top))


def first_slope_one(data: Dataset, k: int, plane: np.ndarray) -> None:
    scaled(data, plane, 1.0 if k == 0 else max(plane.max(), 1) / 40000)


def slopes_by_turns(data: Dataset, k: int, plane: np.ndarray) -> None:
    scaled(data, plane, (0.02, 0.05, 0.11)[k % 3], (0, -20, 0)[k % 3])


def last_slope_odd(data: Dataset, k: int, plane: np.ndarray) -> None:
    scaled(data, plane, 0.05 if k < SLICES - 1 else 0.31)


def middle_without_slope(data: Dataset, k: int, plane: np.ndarray) -> None:
    if k % 2:
        scaled(data, plane, 0.02)


SITUATIONS("the first slice has slope 1 and the others less")(per_slice(first_slope_one))
SITUATIONS("slopes and intercepts alternate between slices")(per_slice(slopes_by_turns))
SITUATIONS("only the last slice has another slope")(per_slice(last_slope_odd))
SITUATIONS("every second slice has no slope element at all")(per_slice(middle_without_slope))
SITUATIONS("values beyond 65535 after scaling, first slice stored without a slope")(
    per_slice(lambda data, k, plane: scaled(data, plane, 1.0 if k == 0 else 3.7), top=180000)
)
SITUATIONS("whole slopes of 1 and 4 in one series of small values")(
    per_slice(lambda data, k, plane: scaled(data, np.rint(plane / 4) * 4, 4.0 if k % 2 else 1.0))
)
SITUATIONS("every second slice is signed with negative values through its intercept")(
    per_slice(
        lambda data, k, plane: (
            (setattr(data, "RescaleIntercept", "1500"), stored(data, plane - 1500, signed=True))
            if k % 2
            else None
        )
    )
)
SITUATIONS("slices of 16 bits with 12, 14 and 16 bits stored")(
    per_slice(lambda data, k, plane: stored(data, plane, bits=(12, 14, 16)[k % 3]))
)
SITUATIONS("slices of 16 and 32 bits in one series")(
    per_slice(lambda data, k, plane: stored(data, plane, bits=32, allocated=32) if k % 2 else None)
)
SITUATIONS("MONOCHROME1 in some slices only")(
    per_slice(
        lambda data, k, plane: (
            (stored(data, 4095 - plane, bits=12), setattr(data, "PhotometricInterpretation", "MONOCHROME1"))
            if k % 3 == 0
            else None
        )
    )
)
SITUATIONS("MONOCHROME1 with a slope and signed pixels")(
    per_slice(
        lambda data, k, plane: (
            setattr(data, "PhotometricInterpretation", "MONOCHROME1"),
            setattr(data, "RescaleSlope", "0.5"),
            setattr(data, "RescaleIntercept", "0"),
            stored(data, -1 - np.rint(plane * 2), bits=13, signed=True),
        )
    )
)
SITUATIONS("HighBit 15 with 12 bits stored")(
    per_slice(
        lambda data, k, plane: (
            stored(data, plane * 16),
            setattr(data, "BitsStored", 12),
            setattr(data, "HighBit", 15),
        )
    )
)
SITUATIONS("sign bits above a 12-bit value are zero in half of the slices")(
    per_slice(
        lambda data, k, plane: (
            stored(data, plane - 1000, bits=12 if k % 2 else 16, signed=True),
            setattr(data, "RescaleIntercept", "1000"),
        )
    )
)
SITUATIONS("RescaleSlope is 0, as some exports write for none")(
    per_slice(lambda data, k, plane: setattr(data, "RescaleSlope", "0"))
)


def _by_syntax(syntax: str, edit: Edit = slopes_by_turns) -> Callable[[Box], Outcome]:
    return lambda box: compare(box, write(box.folder / "dicom", head(), edit, syntax=syntax), clean())


for _name, _syntax in (
    ("implicit", ImplicitVRLittleEndian),
    ("big-endian", ExplicitVRBigEndian),
    ("deflated", DeflatedExplicitVRLittleEndian),
    ("RLE", RLELossless),
    ("JPEG 2000", JPEG2000Lossless),
):
    SITUATIONS(f"slopes that alternate between slices, {_name}")(_by_syntax(_syntax))


@SITUATIONS("half of the slices were compressed later by the archive, each with its slope")
def _(box: Box) -> Outcome:
    folder = write(box.folder / "dicom", head(), slopes_by_turns)
    for file in sorted(folder.iterdir())[::2]:
        save(file, pydicom.dcmread(file), RLELossless)
    return compare(box, folder, clean())


def _enhanced(maker: str, slopes: str) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        volume = head()
        top = volume.max(axis=(0, 1))
        chosen = {
            "vary": np.maximum(top, 1) / 50000,
            "first 1": np.where(np.arange(SLICES) == 0, 1.0, 0.02),
            "shared": np.full(SLICES, 0.03),
        }[slopes]
        folder = write_enhanced(
            box.folder / "dicom", volume, chosen.tolist(), maker, shared=slopes == "shared"
        )
        return compare(box, folder, clean())

    return situation


for _maker in ("SIEMENS", "GE MEDICAL SYSTEMS", "Philips Medical Systems", "UIH", "CANON_MEC", "Hyperfine"):
    SITUATIONS(f"enhanced file of {_maker}, each frame with its slope")(_enhanced(_maker, "vary"))
SITUATIONS("enhanced file whose first frame alone has slope 1")(_enhanced("SIEMENS", "first 1"))
SITUATIONS("enhanced file with one slope for all frames")(_enhanced("GE MEDICAL SYSTEMS", "shared"))


@SITUATIONS("enhanced file that lacks half a frame of pixels")
def _(box: Box) -> Outcome:
    volume = head()
    folder = write_enhanced(
        box.folder / "dicom", volume, [0.02] * SLICES, "SIEMENS", cut=volume.shape[0] * volume.shape[1]
    )
    return refused(box, folder, "no pixel data or are truncated")


@SITUATIONS("one slice lacks its last pixels")
def _(box: Box) -> Outcome:
    def edit(data: Dataset, k: int, plane: np.ndarray) -> None:
        if k == 7:
            data.PixelData = data.PixelData[:-400]

    return refused(box, write(box.folder / "dicom", head(), edit), "truncated")


@SITUATIONS("one file was cut short by an interrupted copy")
def _(box: Box) -> Outcome:
    folder = write(box.folder / "dicom", head())
    file = folder / "006.dcm"
    file.write_bytes(file.read_bytes()[:-3000])
    return refused(box, folder, "truncated")


@SITUATIONS("every slice holds the pixels of a matrix twice as large")
def _(box: Box) -> Outcome:
    def edit(data: Dataset, k: int, plane: np.ndarray) -> None:
        stored(data, np.kron(plane, np.ones((2, 2))))

    return refused(box, write(box.folder / "dicom", head(), edit), "header declares")


@SITUATIONS("one deflated slice has no pixels")
def _(box: Box) -> Outcome:
    def edit(data: Dataset, k: int, plane: np.ndarray) -> None:
        if k == 3:
            data.PixelData = b""

    folder = write(box.folder / "dicom", head(), edit, syntax=DeflatedExplicitVRLittleEndian)
    return refused(box, folder, "truncated", "pixel data", "no image")


def _cut_stream(syntax: str) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        folder = write(box.folder / "dicom", head(), syntax=syntax)
        data = pydicom.dcmread(folder / "008.dcm")
        frame = get_frame(data.PixelData, 0, number_of_frames=1)
        data.PixelData = encapsulate([frame[: len(frame) // 2]])
        data.save_as(folder / "008.dcm", enforce_file_format=True)
        return refused(box, folder, "truncated", "cannot be decoded")

    return situation


SITUATIONS("a JPEG 2000 stream ends in the middle")(_cut_stream(JPEG2000Lossless))
SITUATIONS("an RLE stream ends in the middle")(_cut_stream(RLELossless))


@SITUATIONS("a slope that is written with a comma")
def _(box: Box) -> Outcome:
    folder = write(box.folder / "dicom", head(), lambda data, k, plane: setattr(data, "RescaleSlope", "0.5"))
    for file in folder.iterdir():
        file.write_bytes(file.read_bytes().replace(b"0.5 ", b"0,5 "))
    return refused(box, folder, "RescaleSlope")


def convert(folder: Path, output: Path, *options: str) -> Path:
    """What dcm2niix makes of a series, with its sidecar."""
    output.mkdir()
    command = [dcm2niix, *options, "-z", "n", "-f", "scan", "-o", str(output), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return output


def philips(box: Box, slope: float, intercept: float, scale: float) -> Path:
    """The phantom as a Philips scanner stores it."""

    def edit(data: Dataset, k: int, plane: np.ndarray) -> None:
        data.Manufacturer = "Philips Medical Systems"
        data.ProtocolName = "T1"
        data.RescaleSlope, data.RescaleIntercept = f"{slope:.8g}", f"{intercept:.8g}"
        data.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", scale)
        stored(data, (plane - intercept) / slope, bits=12)

    return write(box.folder / "dicom", head(), edit)


def _philips(slope: float, intercept: float, scale: float, *options: str) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        dicom = philips(box, slope, intercept, scale)
        return compare(box, convert(dicom, box.folder / "nifti", *options), dicom)

    return situation


SITUATIONS("Philips precise values, large ones")(_philips(1.2366, 0, 0.0081))
SITUATIONS("Philips precise values, small ones")(_philips(0.2747, 0, 55.0))
SITUATIONS("Philips precise values with an intercept")(_philips(0.5, -40, 0.02))
SITUATIONS("Philips precise values, whole slope")(_philips(1, 0, 0.3))
SITUATIONS("Philips display values (dcm2niix -p n)")(_philips(1.2366, 0, 0.0081, "-p", "n"))


@SITUATIONS("Philips precise values, resaved as floats, so that only the sidecar knows")
def _(box: Box) -> Outcome:
    dicom = philips(box, 0.2747, 0, 55.0)
    path = convert(dicom, box.folder / "nifti") / "scan.nii"
    image = nib.load(path)
    nib.save(nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine), path)
    return compare(box, path.parent, dicom)


@SITUATIONS("Philips precise values in a BIDS dataset with an inherited sidecar")
def _(box: Box) -> Outcome:
    dicom = philips(box, 0.2747, 0, 55.0)
    made = convert(dicom, box.folder / "nifti")
    root = box.folder / "bids"
    (root / "sub-01" / "anat").mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "P", "BIDSVersion": "1.8.0"}))
    (made / "scan.nii").rename(root / "sub-01" / "anat" / "sub-01_T1w.nii")
    (made / "scan.json").rename(root / "T1w.json")
    return compare(box, root, dicom)


@SITUATIONS("Philips precise values without a sidecar are flagged")
def _(box: Box) -> Outcome:
    made = convert(philips(box, 0.2747, 0, 55.0), box.folder / "nifti")
    (made / "scan.json").unlink()
    ran = box.prima("embed", made, box.folder / "found.h5", *EMBED)
    shown = box.prima("inspect", box.folder / "found.h5", "--json")
    from prima_features import read_embeddings

    flags = " ".join(map(str, read_embeddings(box.folder / "found.h5").series["flags"]))
    if "intensity-scale-unknown" in flags:
        return Outcome("named", f"exit code {ran.code}, flag intensity-scale-unknown")
    return Outcome("silently wrong", f"no flag: {flags} {shown.text[-200:]}")


def _matrix(size: int, tilt: float) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        iop = (1, 0, 0, 0, np.cos(tilt), np.sin(tilt))
        folder = write(box.folder / "dicom", head(size, size) + 200, iop=iop, pixel=230 / size)
        return compare(box, convert(folder, box.folder / "nifti"), folder)

    return situation


SITUATIONS("matrix of 64 without a dark border, DICOM against NIfTI")(_matrix(64, 0.0))
SITUATIONS("matrix of 128 tilted by 12 degrees, DICOM against NIfTI")(_matrix(128, np.deg2rad(12)))


def _tilted(degrees: float, sidecar: bool, turn: float = 0.0) -> Callable[[Box], Outcome]:
    def situation(box: Box) -> Outcome:
        a, b = np.deg2rad(degrees), np.deg2rad(turn)
        about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
        turned = about_z @ about_x
        folder = write(box.folder / "dicom", head(), iop=(*turned[:, 0], *turned[:, 1]), step=9.0)
        made = convert(folder, box.folder / "nifti")
        if sidecar:
            return compare(box, made, folder)
        fields = json.loads((made / "scan.json").read_text())
        (made / "scan.json").write_text(json.dumps({"SeriesDescription": fields["SeriesDescription"]}))
        return compare(box, made, folder)

    return situation


for _degrees in (44, 45, 46, 58, -47, 135):
    SITUATIONS(f"slices tilted by {_degrees} degrees, DICOM against NIfTI")(_tilted(_degrees, sidecar=True))
SITUATIONS("slices tilted by 50 degrees about two axes, DICOM against NIfTI")(_tilted(50, True, turn=30))
for _degrees in (47, 90):
    SITUATIONS(f"slices tilted by {_degrees} degrees whose sidecar has no orientation")(
        _tilted(_degrees, sidecar=False)
    )
