"""Folders, BIDS datasets and sidecars as people have them: formats, masks, copies, sidecars, selections, names."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from .common import Box, Outcome, Situations, head, named, same_studies

SITUATIONS = Situations("folders")

AFFINE = np.diag([-3.0, -3.0, 6.0, 1.0])
SAGITTAL = [0, 1, 0, 0, 0, -1]
EMBED = ("--workers", 0, "--no-report")


def volume(seed: int = 0) -> np.ndarray:
    """A small head, (48, 56, 14) int16."""
    return np.rint(head(48, 56, 14, seed)).astype(np.int16)


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    """Write a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)


def dicom(folder: Path, values: np.ndarray, series: str = "1.2.3.1", name: str = "{:03}.dcm") -> None:
    """Write one classic MR file per slice."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(values.shape[2]):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"{series}.{k + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.3", series
        data.PatientID, data.PatientName, data.Modality = "P1", "Doe^Test", "MR"
        data.SeriesDescription, data.InstanceNumber = "T1", k + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
        data.Rows, data.Columns = values.shape[1], values.shape[0]
        data.PixelSpacing, data.SliceThickness = [3, 3], 6
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-70, -80, -40 + 6 * k]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        data.PixelData = values[:, :, k].T.astype("<u2").tobytes()
        data.save_as(folder / name.format(k), enforce_file_format=True)


def bids(root: Path, *names: str) -> None:
    """A dataset of one subject with these suffixes."""
    for i, name in enumerate(names):
        save(root / f"sub-01/anat/sub-01_{name}.nii.gz", volume(i))
    (root / "dataset_description.json").write_text('{"Name": "phantoms", "BIDSVersion": "1.9.0"}')


def compared(
    box: Box, source: str, clean: str, *options: object, codes: tuple[int, ...] = (0,), said: str = ""
) -> Outcome:
    """Whether `source` gives what `clean` gives, ends with one of `codes`, and says `said`."""
    reference = box.prima("embed", box.folder / clean, box.folder / "clean.h5", *EMBED)
    ran = box.prima("embed", box.folder / source, box.folder / "out.h5", *EMBED, *options)
    # What a rule leaves out by design is listed by prima inspect only.
    lost = ran.code != 0 and said.lower() not in " ".join(ran.text.lower().split())
    if reference.code != 0 or ran.code not in codes or lost:
        return Outcome(
            "silently wrong", f"exit codes {reference.code}, {ran.code}: {ran.text.strip()[-300:]}"
        )
    outcome = same_studies(box.folder / "out.h5", box.folder / "clean.h5")
    agree = box.prima("inspect", box.folder / source, *options)
    if said and said.lower() not in " ".join(agree.text.lower().split()):
        return Outcome("silently wrong", f"prima inspect does not say {said}")
    return Outcome("named", f"exit code {ran.code}") if ran.code and outcome.verdict == "right" else outcome


def inspected(box: Box, source: str, *words: str, options: tuple[object, ...] = ()) -> Outcome:
    """Whether `prima inspect` says all the words, in one line."""
    os.environ["COLUMNS"] = "400"
    ran = box.prima("inspect", box.folder / source, *options)
    text = ran.text.lower()
    if "traceback" in text or "internal error" in text or any(word.lower() not in text for word in words):
        return Outcome("silently wrong", f"exit code {ran.code}: {ran.text.strip()[-300:]}")
    return Outcome("named", f"exit code {ran.code}")


# ---- formats ----
@SITUATIONS("dcm2niix ran in place: one NIfTI next to each of two DICOM series")
def _(box: Box) -> Outcome:
    for i in (1, 2):
        dicom(box.folder / f"clean/s{i}", volume(i), f"1.2.3.{i}")
    shutil.copytree(box.folder / "clean", box.folder / "mixed")
    for i in (1, 2):
        save(box.folder / f"mixed/s{i}/s{i}.nii.gz", volume(i))
    return compared(box, "mixed", "clean", codes=(3,), said="2 NIfTI files")


@SITUATIONS("a FreeSurfer volume that sorts first in a DICOM tree")
def _(box: Box) -> Outcome:
    for i in (1, 2):
        dicom(box.folder / f"clean/s{i}", volume(i), f"1.2.3.{i}")
    shutil.copytree(box.folder / "clean", box.folder / "mixed")
    nib.save(nib.MGHImage(volume().astype(np.float32), AFFINE), box.folder / "mixed/brain.mgz")
    return compared(box, "mixed", "clean", codes=(3,), said="1 .mgz file")


@SITUATIONS("one patient is still in DICOM among patients in NIfTI")
def _(box: Box) -> Outcome:
    for i in (1, 2):
        save(box.folder / f"clean/p{i}/T1.nii.gz", volume(i))
    shutil.copytree(box.folder / "clean", box.folder / "mixed")
    dicom(box.folder / "mixed/p3", volume(3))
    return compared(box, "mixed", "clean", codes=(3,), said="14 DICOM files in 1 folder")


@SITUATIONS("the user chooses one of two formats")
def _(box: Box) -> Outcome:
    dicom(box.folder / "clean/s1", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "mixed")
    for i in range(3):
        save(box.folder / f"mixed/n/{i}.nii", volume(i))
    return compared(box, "mixed", "clean", "--format", "dicom", said="3 NIfTI files")


@SITUATIONS("DICOM slices of an unconverted session lie in a BIDS dataset")
def _(box: Box) -> Outcome:
    bids(box.folder / "clean", "T1w")
    shutil.copytree(box.folder / "clean", box.folder / "mixed")
    dicom(box.folder / "mixed/sub-02/ses-1/dicom", volume(3), name="IM{:04}")
    return compared(box, "mixed", "clean", codes=(3,), said="14 DICOM files")


@SITUATIONS("a folder of scans that is no part of BIDS lies in a BIDS dataset")
def _(box: Box) -> Outcome:
    bids(box.folder / "clean", "T1w")
    shutil.copytree(box.folder / "clean", box.folder / "mixed")
    save(box.folder / "mixed/new/T1.nii.gz", volume(5))
    (box.folder / "mixed/sub-02.zip").write_bytes(b"PK\3\4")
    return compared(box, "mixed", "clean", codes=(3,), said="it contains 1 NIfTI file")


def _save_analyze(path: Path, values: np.ndarray) -> None:
    nib.save(nib.AnalyzeImage(values, AFFINE), path.with_suffix(".hdr"))


def _save_itk(path: Path, values: np.ndarray) -> None:
    image = sitk.GetImageFromArray(values.T)
    image.SetSpacing([3, 3, 6])
    sitk.WriteImage(image, str(path))


OTHER_FORMATS: dict[str, Callable[[Path, np.ndarray], object]] = {
    ".mgh": lambda path, values: nib.save(nib.MGHImage(values.astype(np.int16), AFFINE), path),
    ".img": lambda path, values: nib.save(nib.Nifti1Pair(values, AFFINE), path),
    ".nhdr": _save_itk,
    ".mha": _save_itk,
    ".mhd": _save_itk,
}
for _ending, _write in OTHER_FORMATS.items():

    @SITUATIONS(f"one of two scans of a patient is stored as {_ending}")
    def _(box: Box, ending: str = _ending, write: Callable[[Path, np.ndarray], object] = _write) -> Outcome:
        for root in ("clean", "other"):
            save(box.folder / root / "p1/A.nii.gz", volume(1))
        save(box.folder / "clean/p1/B.nii.gz", volume(2))
        write(box.folder / f"other/p1/B{ending}", volume(2))
        return compared(box, "other", "clean")


@SITUATIONS("a scan is an Analyze 7.5 pair, which states no orientation")
def _(box: Box) -> Outcome:
    (box.folder / "p1").mkdir()
    _save_analyze(box.folder / "p1/B.hdr", volume(2))
    ran = box.prima("embed", box.folder / "p1", box.folder / "out.h5", *EMBED)
    return named(ran, "orientation-unknown", codes=(0,))


@SITUATIONS("PAR/REC, MINC, AFNI and archives lie in a folder of NIfTI")
def _(box: Box) -> Outcome:
    save(box.folder / "clean/p1/T1.nii.gz", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "other")
    for name in ("p2/x.PAR", "p2/x.REC", "p3/x.mnc", "p4/x+orig.HEAD", "p5/x.tar.gz", "p6/x.nii.bz2"):
        (box.folder / "other" / name).parent.mkdir(exist_ok=True)
        (box.folder / "other" / name).write_bytes(b"some content")
    outcome = compared(box, "other", "clean", codes=(3,), said="p5/x.tar.gz")
    if outcome.verdict == "silently wrong":
        return outcome
    return inspected(
        box, "other", "p2/x.PAR", "p3/x.mnc", "p4/x+orig.HEAD", "p6/x.nii.bz2", "convert it to NIfTI"
    )


@SITUATIONS("a pair lost its header")
def _(box: Box) -> Outcome:
    save(box.folder / "in/p1/T1.nii.gz", volume(1))
    nib.save(nib.Nifti1Pair(volume(2), AFFINE), box.folder / "in/p1/T2.img")
    (box.folder / "in/p1/T2.hdr").unlink()
    return named(
        box.prima("embed", box.folder / "in", box.folder / "o.h5", *EMBED), ".hdr file is missing", codes=(3,)
    )


@SITUATIONS("a folder holds archives only")
def _(box: Box) -> Outcome:
    for name in ("a.tgz", "b.7z"):
        (box.folder / "in").mkdir(exist_ok=True)
        (box.folder / "in" / name).write_bytes(b"content")
    return named(box.prima("embed", box.folder / "in", box.folder / "o.h5"), "unpack", codes=(4,))


@SITUATIONS("empty, unfetched and dead files among scans")
def _(box: Box) -> Outcome:
    save(box.folder / "in/p1/T1.nii.gz", volume(1))
    (box.folder / "in/p1/T2.nii.gz").write_bytes(b"")
    (box.folder / "in/p1/T3.nii.gz").write_text("/annex/objects/MD5E-s1--d41.nii.gz\n")
    (box.folder / "in/p1/T4.mgz").symlink_to("../.git/annex/objects/x")
    (box.folder / "in/p1/T5.nii.gz").write_text("<html>not found</html>")
    return inspected(box, "in", "the file is empty", "datalad get", "T4.mgz", "its content is not NIfTI")


# ---- masks and maps ----
@SITUATIONS("a skull-stripping mask, a brain mask of 255 and tissue classes without telling names")
def _(box: Box) -> Outcome:
    brain = volume(1) > 100
    save(box.folder / "clean/p1/T1.nii.gz", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "other")
    save(box.folder / "other/p1/bet_out.nii.gz", brain.astype(np.uint8))
    save(box.folder / "other/p1/brain255.nii", np.where(brain, 255, 0).astype(np.float32))
    save(box.folder / "other/p1/fast_out.nii.gz", (brain * 1 + (volume(1) > 500)).astype(np.int16))
    return compared(box, "other", "clean", said="a mask, not an image")


@SITUATIONS("a parcellation of 14 regions and tumour labels 0, 1, 2 and 4")
def _(box: Box) -> Outcome:
    x, y, z = np.indices(volume().shape)
    regions = np.where(volume(1) > 100, 1 + x // 24 + 2 * (y // 19) + 6 * (z // 7), 0)
    save(box.folder / "clean/p1/T1.nii.gz", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "other")
    save(box.folder / "other/p1/atlas.nii.gz", regions.astype(np.int32))
    save(
        box.folder / "other/p1/tumour.nii.gz",
        np.choose(np.clip(regions, 0, 3), [0, 1, 2, 4]).astype(np.float32),
    )
    return compared(box, "other", "clean", said="labels of regions")


@SITUATIONS("tissue probabilities in 8 bits with a slope next to the scan")
def _(box: Box) -> Outcome:
    save(box.folder / "clean/p1/T1.nii.gz", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "other")
    soft = np.clip((volume(1).astype(float) - 150) / 400, 0, 1)
    image = nib.Nifti1Image(np.rint(soft * 255).astype(np.uint8), AFFINE)
    image.header.set_slope_inter(1 / 255, 0)
    nib.save(image, box.folder / "other/p1/c2T1.nii")
    return compared(box, "other", "clean", said="fractions from 0 to 1")


@SITUATIONS("a scan in 8 bits and a scan scaled to 0 to 1 are no masks")
def _(box: Box) -> Outcome:
    save(box.folder / "in/p1/A.nii.gz", (volume(1) / volume(1).max() * 255).astype(np.uint8))
    save(box.folder / "in/p1/B.nii.gz", (volume(2) / volume(2).max()).astype(np.float32))
    return (
        Outcome("right")
        if "1 study with 2 series" in box.prima("inspect", box.folder / "in").text
        else Outcome("silently wrong", "a scan was taken for a mask")
    )


# ---- sidecars ----
FIELDS = {
    "SeriesDescription": "t1 sag für X",
    "InstitutionName": "Uniklinik Köln",
    "ImageType": ["ORIGINAL", "M"],
}


def with_sidecar(box: Box, content: bytes, name: str = "in", layout: str = "loose") -> None:
    """An isotropic scan whose sidecar alone says how its slices lie, and a phase image."""
    cube = np.rint(head(40, 44, 48)).astype(np.int16)
    phase = (
        content.replace(b'"M"', b'"PHASE"')
        .replace(b'"\0M\0"', b'"\0P\0H\0A\0S\0E\0"')
        .replace("M".encode("utf-16-be"), "PHASE".encode("utf-16-be"))
    )
    for stem, text, values in (("1", content, cube), ("2", phase, cube[::-1])):
        place = box.folder / name / "p1" / stem
        if layout == "bids":
            place = box.folder / name / f"sub-01/anat/sub-01_run-{stem}_T1w"
        save(place.with_name(place.name + ".nii.gz"), values, np.diag([-4, -4, 4, 1.0]))
        place.with_name(place.name + ".json").write_bytes(text)


def sidecar(fields: dict[str, object] = FIELDS, **more: object) -> str:
    """A sidecar's text."""
    return json.dumps(
        fields | {"ImageOrientationPatientDICOM": SAGITTAL} | more, ensure_ascii=False, indent=1
    )


SIDECARS = {
    "in Windows-1252": sidecar().encode("cp1252"),
    "in UTF-8 with a mark": sidecar().encode("utf-8-sig"),
    "with a raw line break and a tab": sidecar().replace("Uniklinik ", "Uniklinik\n\t").encode(),
    "with trailing commas": sidecar().replace("\n}", ",\n}").encode(),
    "with NaN and a number of 5,000 digits": sidecar(A=1)
    .replace(": 1\n", ': NaN, "B": ' + "9" * 5000 + "\n")
    .encode(),
}
for _name, _content in SIDECARS.items():
    for _layout in ("loose", "bids"):

        @SITUATIONS(f"{_layout}: a sidecar {_name}")
        def _(box: Box, content: bytes = _content, layout: str = _layout) -> Outcome:
            with_sidecar(box, sidecar().encode(), "clean", layout)
            with_sidecar(box, content, "other", layout)
            return compared(box, "other", "clean", said="phase image")


BROKEN = {
    "that ends early": sidecar().encode()[:-40],
    "nested 100,000 levels deep": b'{"A": ' + b"[" * 100_000,
    "that is empty": b"",
    "that is a list": b"[1, 2]",
    "whose orientation is no orientation": sidecar(ImageOrientationPatientDICOM=[1, 0, 0]).encode(),
    "of binary rubbish": bytes(range(256)) * 20,
}
for _name, _content in BROKEN.items():

    @SITUATIONS(f"a sidecar {_name} is a failure of its image only")
    def _(box: Box, content: bytes = _content) -> Outcome:
        save(box.folder / "clean/p1/T2.nii.gz", volume(2))
        shutil.copytree(box.folder / "clean", box.folder / "other")
        save(box.folder / "other/p1/T1.nii.gz", volume(1))
        (box.folder / "other/p1/T1.json").write_bytes(content)
        return compared(box, "other", "clean", codes=(3,), said="its sidecar")


@SITUATIONS("an inherited sidecar that cannot be read is a failure of all images it describes")
def _(box: Box) -> Outcome:
    bids(box.folder / "clean", "T2w")
    bids(box.folder / "other", "T2w", "T1w")
    save(box.folder / "other/sub-01/anat/sub-01_T2w.nii.gz", volume(0))
    (box.folder / "other/T1w.json").write_text("{broken")
    return compared(box, "other", "clean", codes=(3,), said="its sidecar T1w.json is not valid JSON")


# ---- copies and volumes ----
@SITUATIONS("loose .nii next to .nii.gz, at the top and in a folder")
def _(box: Box) -> Outcome:
    for place in ("a", "p1/T1"):
        save(box.folder / f"clean/{place}.nii.gz", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "other")
    for place in ("a", "p1/T1"):
        packed = (box.folder / f"other/{place}.nii.gz").read_bytes()
        (box.folder / f"other/{place}.nii").write_bytes(gzip.decompress(packed))
    return compared(box, "other", "clean", said="a copy of")


@SITUATIONS("a downloaded copy of a scan, compressed differently, in the same folder")
def _(box: Box) -> Outcome:
    save(box.folder / "clean/p1/T1.nii.gz", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "other")
    content = gzip.decompress((box.folder / "clean/p1/T1.nii.gz").read_bytes())
    (box.folder / "other/p1/T1 (1).nii.gz").write_bytes(gzip.compress(content, 1))
    return compared(box, "other", "clean", said="a copy of")


@SITUATIONS("two different scans under one name, .nii and .nii.gz, in a BIDS dataset")
def _(box: Box) -> Outcome:
    bids(box.folder / "clean", "T1w")
    shutil.copytree(box.folder / "clean", box.folder / "other")
    save(box.folder / "other/sub-01/anat/sub-01_T1w.nii", volume(7))
    return compared(box, "other", "clean", codes=(3,), said="different content")


@SITUATIONS("a time series in a folder of scans")
def _(box: Box) -> Outcome:
    save(box.folder / "clean/p1/T1.nii.gz", volume(1))
    shutil.copytree(box.folder / "clean", box.folder / "other")
    save(box.folder / "other/p1/rest.nii.gz", np.stack([volume(i) for i in range(4)], axis=-1))
    return compared(box, "other", "clean", said="it has 4 volumes")


@SITUATIONS("two T1w in one file of a BIDS dataset")
def _(box: Box) -> Outcome:
    bids(box.folder / "in", "T1w", "T2w")
    save(box.folder / "in/sub-01/anat/sub-01_T1w.nii.gz", np.stack([volume(i) for i in range(2)], axis=-1))
    ran = box.prima("embed", box.folder / "in", box.folder / "o.h5", *EMBED)
    return named(ran, "it has 2 volumes", codes=(3,))


@SITUATIONS("a gradient table of another scan")
def _(box: Box) -> Outcome:
    save(box.folder / "in/p1/dwi.nii.gz", np.stack([volume(i) for i in range(4)], axis=-1))
    save(box.folder / "in/p1/T1.nii.gz", volume(1))
    (box.folder / "in/p1/dwi.bval").write_text("0 1000 1000")
    ran = box.prima("embed", box.folder / "in", box.folder / "o.h5", *EMBED)
    return named(ran, "3 b-values, but the image has 4 volumes", codes=(3,))


# ---- selections and names ----
for _option in ("--participant-label", "--session-label", "--suffix", "--datatype", "--modality"):

    @SITUATIONS(f"an unset shell variable for {_option}")
    def _(box: Box, option: str = _option) -> Outcome:
        bids(box.folder / "in", "T1w")
        ran = box.prima("embed", box.folder / "in", box.folder / "o.h5", option, "", *EMBED)
        return named(ran, "empty", codes=(2,))


@SITUATIONS("an option without its value before another option")
def _(box: Box) -> Outcome:
    bids(box.folder / "in", "T1w")
    ran = box.prima("embed", box.folder / "in", box.folder / "o.h5", "--participant-label", "--suffix", "T1w")
    return named(ran, "--participant-label has no value", codes=(2,))


@SITUATIONS("several labels that match nothing")
def _(box: Box) -> Outcome:
    bids(box.folder / "in", "T1w")
    ran = box.prima("embed", box.folder / "in", box.folder / "o.h5", "--participant-label", "01,07,08")
    return named(ran, "no participant 07 (nor 08)", codes=(2,))


@SITUATIONS("one name in composed and in decomposed Unicode gives one id")
def _(box: Box) -> Outcome:
    for root, name in (("clean", "M\u00fcller"), ("other", "Mu\u0308ller")):
        save(box.folder / root / name / "T1.nii.gz", volume(1))
    outcome = compared(box, "other", "clean", "--participant-label", "M\u00fcller")
    ids = [box.prima("inspect", box.folder / root).text for root in ("clean", "other")]
    return outcome if all("sub-Mller" in text for text in ids) else Outcome("silently wrong", ids[0] + ids[1])


@SITUATIONS("folders whose names differ in case, spelling, or only in what ids do not have")
def _(box: Box) -> Outcome:
    names = (
        "a 1",
        "a_1",
        "A1",
        "M\u00fcller",
        "Mu\u0308ller",
        "x" * 240,
        "x" * 239 + "y",
        os.fsdecode(b"M\xfcller"),
    )
    for i, name in enumerate(names):
        save(box.folder / "in" / name / "T1.nii", volume(i))
    ran = box.prima("embed", box.folder / "in", box.folder / "o.h5", *EMBED)
    if ran.code != 0:
        return Outcome("silently wrong", f"exit code {ran.code}: {ran.text[-300:]}")
    from prima_features import read_embeddings

    ids = {text.lower() for text in read_embeddings(box.folder / "o.h5").studies["id"]}
    return Outcome("right") if len(ids) == len(names) else Outcome("silently wrong", f"{len(ids)} ids")


@SITUATIONS("line breaks, escape sequences and Latin-1 bytes in the names of files")
def _(box: Box) -> Outcome:
    for root, name in (("clean", "T1.nii"), ("other", os.fsdecode(b"T1 \x1b[31m\n\xfc.nii"))):
        save(box.folder / "scan.nii", volume(1))
        (box.folder / root / "p1").mkdir(parents=True)
        shutil.copy(box.folder / "scan.nii", box.folder / root / "p1" / name)
        (box.folder / root / "p1" / (name[:-4] + ".json")).write_text('{"SeriesDescription": "T1"}')
    return compared(box, "other", "clean")
