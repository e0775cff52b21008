"""Which DICOM files are one volume, one acquisition and one patient, when their headers do not agree."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RLELossless

from situations.common import Box, Outcome, Situations, cosine, named, same_studies
from situations.common import head as big_head

SITUATIONS = Situations("dicom")

EMBED = ("--no-report", "--no-pictures", "--study-description", "MRI BRAIN")
SLICES = 12
STEP = 10.0

Edit = Callable[[Dataset, int], object]
"""Changes the data set of one slice, given its number."""


@cache
def phantom(kind: int) -> np.ndarray:
    """Three different heads, (x, y, z)."""
    volume = big_head(48, 56, SLICES, seed=kind, top=1000.0 - 150 * kind)
    return volume if kind == 0 else np.roll(volume, 3 * kind, axis=kind - 1)


def write(
    folder: Path, kind: int = 0, edit: Edit = lambda data, k: None, *, number: int = 3, shift: float = 0.0
) -> Path:
    """One file per slice of a phantom; numbers and UIDs follow `number`."""
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(SLICES):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = MRImageStorage
        data.SOPInstanceUID = f"1.2.826.55.{number}.{k + 1}"
        data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.826.55.1", f"1.2.826.55.2.{number}"
        data.FrameOfReferenceUID, data.PatientID, data.PatientName = "1.2.826.55.3", "P-1", "Example^One"
        data.StudyDate, data.Modality, data.Manufacturer = "20210304", "MR", "EXAMPLE"
        data.SeriesDescription, data.SeriesNumber, data.InstanceNumber = "AX T1", number, k + 1
        data.AcquisitionNumber, data.ImageType = 1, ["ORIGINAL", "PRIMARY", "M", "ND"]
        data.EchoTime, data.EchoNumbers, data.FlipAngle, data.RepetitionTime = 4.5, 1, 9, 2000
        data.Rows, data.Columns, data.PixelSpacing, data.SliceThickness = 56, 48, [3.75, 3.75], STEP
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-88.0, -103.0, -55.0 + k * STEP + shift]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = np.rint(phantom(kind)[:, :, k].T).astype("<u2").tobytes()
        edit(data, k)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(folder / f"{number}-{kind}-{k:03}.dcm", enforce_file_format=True)
    return folder


def fields(**values: Any) -> Edit:
    """An edit that sets elements of every slice; None removes one."""

    def edit(data: Dataset, k: int) -> None:
        for keyword, value in values.items():
            value = value(k) if callable(value) else value
            if value is None:
                delattr(data, keyword)
            else:
                setattr(data, keyword, value)

    return edit


@cache
def reference(kind: int) -> tuple[np.ndarray, ...]:
    """Series vectors and the study vector of a phantom in clean files."""
    from prima_features import read_embeddings

    box = Box(Path(mkdtemp(prefix="untidy-clean-")))
    try:
        write(box.folder / "clean", kind)
        box.prima("embed", box.folder / "clean", box.folder / "clean.h5", *EMBED)
        file = read_embeddings(box.folder / "clean.h5")
        return file.series_embedding[0], file.study_embedding[0]
    finally:
        shutil.rmtree(box.folder)


def embed(
    box: Box,
    kinds: list[list[int]],
    *words: str,
    options: tuple[str, ...] = (),
    codes: tuple[int, ...] = (3, 4),
) -> Outcome:
    """Embed `box.folder/in`: each series has to be one of the phantoms, each study those of one of `kinds`.

    If other studies or series come out, the run has to say one of `words` with one of the exit codes.
    """
    from prima_features import read_embeddings

    ran = box.prima("embed", box.folder / "in", box.folder / "out.h5", *EMBED, *options)
    studies: list[list[int]] = []
    if (box.folder / "out.h5").exists():
        file = read_embeddings(box.folder / "out.h5")
        studies = [[] for _ in range(file.n_studies)]
        for vector, study in zip(file.series_embedding, file.series["study"], strict=True):
            close = [kind for kind in range(3) if cosine(vector, reference(kind)[0]) > 0.9999]
            if not close:
                return Outcome("silently wrong", f"a series is none of the scans; exit code {ran.code}")
            studies[int(study)].append(close[0])
    if sorted(map(sorted, studies)) == sorted(map(sorted, kinds)) and ran.code == 0:
        return Outcome("right")
    outcome = (
        named(ran, *words, codes=codes)
        if words
        else Outcome("silently wrong", f"{studies}, {ran.text[-300:]}")
    )
    extra = [study for study in studies if not any(set(study) <= set(kind) for kind in kinds)]
    return Outcome("silently wrong", f"{studies} with exit code {ran.code}") if extra else outcome


def every(period: int, **values: Any) -> Edit:
    """An edit of every `period`-th slice."""
    change = fields(**values)
    return lambda data, k: change(data, k) if k % period == 1 else None


JITTERS: dict[str, Edit] = {
    "the echo time is rounded in every third slice": every(3, EchoTime=4.51),
    "the echo time and number are missing in every third slice": every(3, EchoTime=None, EchoNumbers=None),
    "the pixel spacing has two decimals in half of the slices": lambda data, k: setattr(
        data, "PixelSpacing", [3.75, 3.75] if k % 2 else [3.751, 3.749]
    ),
    "the direction cosines differ in the fifth decimal": lambda data, k: setattr(
        data, "ImageOrientationPatient", [1, 1e-5 * (k % 3), 0, -1e-5 * (k % 3), 1, 2e-5 * (k % 2)]
    ),
    "positions are rounded by a hundredth of a millimetre": lambda data, k: setattr(
        data, "ImagePositionPatient", [-88.0, -103.0, -55.0 + k * STEP + 0.01 * (k % 2)]
    ),
    "an archive calls key images derived and drops the rest of ImageType": every(
        4, ImageType=["DERIVED", "SECONDARY"]
    ),
    "ImageType is missing in some slices": every(5, ImageType=None),
    "every slice has a SeriesInstanceUID of its own": fields(SeriesInstanceUID=lambda k: f"1.2.826.56.{k}"),
    "every slice has a series UID and a frame of reference of its own": fields(
        SeriesInstanceUID=lambda k: f"1.2.826.56.{k}",
        FrameOfReferenceUID=lambda k: f"1.2.826.57.{k}",
        SOPInstanceUID=lambda k: f"1.2.826.58.{k}",
    ),
    "the SeriesInstanceUID changes in the middle": fields(SeriesInstanceUID=lambda k: f"1.2.826.56.{k // 6}"),
    "every slice has the same SOPInstanceUID and instance number": fields(
        SOPInstanceUID="1.2.826.59", InstanceNumber=1
    ),
    "acquisition numbers and times count the slices": fields(
        AcquisitionNumber=lambda k: k + 1, AcquisitionTime=lambda k: f"1200{k:02}"
    ),
    "the series number is gone and every slice has a series UID": fields(
        SeriesInstanceUID=lambda k: f"1.2.826.56.{k}", SeriesNumber=None
    ),
    "the patient's name is written two ways": fields(
        PatientName=lambda k: ("Example^One", "EXAMPLE, ONE", "One Example")[k % 3]
    ),
    "some files lost name and birth date": every(3, PatientName=None),
    "slices are interpolated and thicker than their distance": fields(SliceThickness=2 * STEP),
    "two packages of slices were acquired one after the other": fields(
        AcquisitionNumber=lambda k: 1 + k % 2, InstanceNumber=lambda k: 1 + k // 2 + 6 * (k % 2)
    ),
}


def _jittered(edit: Edit, box: Box) -> Outcome:
    write(box.folder / "in", 0, edit)
    rng = random.Random(0)
    for file in sorted((box.folder / "in").iterdir()):  # names and folders say nothing
        target = box.folder / "in" / f"{rng.randrange(3)}" / f"{rng.randrange(10**9)}"
        target.parent.mkdir(exist_ok=True)
        file.rename(target)
    return embed(box, [[0]])


for _name, _edit in JITTERS.items():
    SITUATIONS(_name)(partial(_jittered, _edit))


def _copied(change: Callable[[Dataset, int], object], box: Box) -> Outcome:
    write(box.folder / "in")
    for k, file in enumerate(sorted((box.folder / "in").iterdir())):
        data = pydicom.dcmread(file)
        change(data, k)
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        data.save_as(file.with_suffix(".copy"))
    return embed(box, [[0]])


SITUATIONS("every file has a copy under a new SOPInstanceUID")(
    partial(_copied, lambda data, k: setattr(data, "SOPInstanceUID", f"1.2.826.60.{k}"))
)
SITUATIONS("every file has a losslessly compressed copy")(
    partial(_copied, lambda data, k: data.compress(RLELossless, generate_instance_uid=False))
)

PATIENTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "two patients share all UIDs": ({"PatientID": "A"}, {"PatientID": "B"}),
    "two patients share all UIDs and the PatientID, not the birth date": (
        {"PatientBirthDate": "19500101"},
        {"PatientBirthDate": "19610213"},
    ),
    "two patients share all UIDs, the PatientID and the birth date, not the name": (
        {"PatientName": "Example^One"},
        {"PatientName": "Sample^Two"},
    ),
    "two patients share all UIDs and are of different sex": ({"PatientSex": "F"}, {"PatientSex": "M"}),
    "a man without a PatientID shares all UIDs with a woman who has one": (
        {"PatientID": None, "PatientSex": "M"},
        {"PatientSex": "F"},
    ),
}


def _patients(one: dict[str, Any], other: dict[str, Any], box: Box) -> Outcome:
    write(box.folder / "in", 0, fields(**one))
    write(box.folder / "in", 1, fields(**other))
    return embed(box, [[0], [1]])


for _name, _people in PATIENTS.items():
    SITUATIONS(_name)(partial(_patients, *_people))


@SITUATIONS("two visits of one patient share the StudyInstanceUID")
def visits(box: Box) -> Outcome:
    """A year apart, in series of their own."""
    write(box.folder / "in", 0)
    write(box.folder / "in", 1, fields(StudyDate="20220304"), number=4)
    return embed(box, [[0], [1]])


@SITUATIONS("two patients share all UIDs, and some files do not say whose they are")
def nameless(box: Box) -> Outcome:
    """Both lose files."""
    write(box.folder / "in", 0, every(4, PatientID=None, PatientName=None))
    write(box.folder / "in", 1, fields(PatientID="B", PatientName="Sample^Two"))
    return embed(box, [[0], [1]], "do not state their patient")


def _kept(ids: tuple[str, str], box: Box) -> Outcome:
    from prima_features import read_embeddings

    for i, patient in enumerate(ids):
        own = {
            "StudyInstanceUID": f"1.2.826.61.{i}",
            "SpecificCharacterSet": "ISO_IR 192",
            "PatientID": patient,
        }
        write(box.folder / "in", i, fields(**own), number=3 + i)
    outcome = embed(box, [[0], [1]], options=("--keep-patient-id",))
    subjects = set(read_embeddings(box.folder / "out.h5").studies["subject"])
    return outcome if len(subjects) == 2 else Outcome("silently wrong", f"{len(subjects)} subject")


SITUATIONS("kept PatientIDs differ in a hyphen only")(partial(_kept, ("A-1", "A1")))
SITUATIONS("kept PatientIDs are names in another script")(partial(_kept, ("李雷", "韩梅")))


@SITUATIONS("one PatientID stands for everybody")
def anonymous(box: Box) -> Outcome:
    """Three studies with three birth dates: the subjects are one, and a warning says so."""
    for i in range(3):
        own = {"StudyInstanceUID": f"1.2.826.61.{i}", "PatientBirthDate": f"195{i}0101"}
        write(box.folder / "in", i, fields(PatientID="ANONYMOUS", **own), number=3 + i)
    ran = box.prima("inspect", box.folder / "in")
    return named(ran, "may be several people", codes=(0,))


def _two(
    change: Edit, words: tuple[str, ...], box: Box, *, shift: float = 0.0, numbers_run_on: bool = True
) -> Outcome:
    """Two scans in one series."""
    write(box.folder / "in", 0)

    def edit(data: Dataset, k: int) -> None:
        data.SOPInstanceUID = f"1.2.826.62.{k}"
        data.InstanceNumber = k + 1 + SLICES * numbers_run_on
        change(data, k)

    write(box.folder / "in", 1, edit, shift=shift)
    return embed(box, [[0, 1]], *words)


SITUATIONS("two echoes are one series")(partial(_two, fields(EchoTime=9.3, EchoNumbers=2), ()))
SITUATIONS("water and fat are one series")(
    partial(_two, fields(ImageType=["ORIGINAL", "PRIMARY", "M", "FAT"]), ())
)


@SITUATIONS("water and fat are one series and differ only in SeriesDescription")
def dixon(box: Box) -> Outcome:
    """They are embedded as from two series, each with its own name."""
    for folder in ("in", "clean"):
        for kind, name in enumerate(("AX DIXON WATER", "AX DIXON FAT")):
            own = fields(SeriesDescription=name, InstanceNumber=lambda k, kind=kind: k + 1 + SLICES * kind)
            same = fields(SeriesInstanceUID="1.2.826.66", SeriesNumber=3)

            def edit(data: Dataset, k: int, own: Edit = own, same: Edit = same, folder: str = folder) -> None:
                own(data, k)
                if folder == "in":
                    same(data, k)

            write(box.folder / folder, kind, edit, number=3 + kind)
        box.prima("embed", box.folder / folder, box.folder / f"{folder}.h5", *EMBED)
    return same_studies(box.folder / "in.h5", box.folder / "clean.h5")


SITUATIONS("two patients of one PatientID are one series in one place")(
    partial(_two, fields(FrameOfReferenceUID="1.2.826.63"), ("several scans or patients",))
)
SITUATIONS("two thick stacks lie between each other in one series")(
    partial(_two, fields(AcquisitionNumber=2), ("two interleaved or adjacent stacks",), shift=STEP / 2)
)
SITUATIONS("two stacks adjoin in one series, each numbered from 1")(
    partial(
        _two,
        fields(AcquisitionNumber=2),
        ("two interleaved or adjacent stacks",),
        shift=STEP * SLICES,
        numbers_run_on=False,
    )
)
SITUATIONS("two stacks lie side by side in one series")(
    partial(
        _two,
        lambda data, k: setattr(data, "ImagePositionPatient", [92.0, -103.0, -55.0 + k * STEP]),
        ("time series", "in-plane"),
    )
)
SITUATIONS("two scans lie askew between each other in one series")(
    partial(_two, fields(AcquisitionNumber=2), ("unevenly", "two interleaved or adjacent stacks"), shift=3.3)
)


def _overwritten(change: Edit, chosen: Callable[[int], bool], words: tuple[str, ...], box: Box) -> Outcome:
    """Files of one image were overwritten by those of another."""
    write(box.folder / "in", 0)
    other = write(
        box.folder / "other",
        1,
        lambda data, k: (setattr(data, "SOPInstanceUID", f"1.2.64.{k}"), change(data, k)),
    )
    for k, file in enumerate(sorted(other.iterdir())):
        if chosen(k):
            shutil.copy(file, box.folder / "in" / f"3-0-{k:03}.dcm")
    return embed(box, [], *words)


ECHO = fields(EchoTime=9.3, EchoNumbers=2)
SITUATIONS("the last slices are another echo's")(
    partial(_overwritten, ECHO, lambda k: k >= 7, ("others differ",))
)
SITUATIONS("every other slice is another echo's")(
    partial(_overwritten, ECHO, lambda k: k % 2 == 1, ("others differ",))
)
SITUATIONS("one slice is another echo's, by its number only")(
    partial(_overwritten, fields(EchoNumbers=2), lambda k: k == 4, ("others differ",))
)
SITUATIONS("two slices are of the phase image")(
    partial(
        _overwritten,
        fields(ImageType=["ORIGINAL", "PRIMARY", "P", "ND"]),
        lambda k: k in (3, 8),
        ("others differ",),
    )
)
SITUATIONS("some slices have another flip angle")(
    partial(_overwritten, fields(FlipAngle=40), lambda k: k > 8, ("acquired with different settings",))
)
SITUATIONS("some slices are diffusion-weighted")(
    partial(_overwritten, fields(DiffusionBValue=1000.0), lambda k: k < 5, ("b-value",))
)
SITUATIONS("some slices are from another date")(
    partial(_overwritten, fields(StudyDate="20220101"), lambda k: k < 2, ("several scans or patients",))
)


@SITUATIONS("the second echo lost its last slice")
def lost_edge(box: Box) -> Outcome:
    """The first echo is whole."""
    write(box.folder / "in", 0)
    write(
        box.folder / "in", 1, lambda data, k: (ECHO(data, k), setattr(data, "SOPInstanceUID", f"1.2.65.{k}"))
    )
    (box.folder / "in" / f"3-1-{SLICES - 1:03}.dcm").unlink()
    return embed(box, [[0]], "11 of the 12 slices")


def _repeats(
    edit: Callable[[int], Edit],
    box: Box,
    *,
    options: tuple[str, ...] = (),
    kinds: list[list[int]],
    words: tuple[str, ...] = (),
) -> Outcome:
    """Three volumes in the same places."""
    for volume in range(3):
        own = edit(volume)

        def number(data: Dataset, k: int, volume: int = volume, own: Edit = own) -> None:
            data.SOPInstanceUID = f"1.2.826.66.{volume}.{k}"
            data.InstanceNumber, data.AcquisitionNumber = SLICES * volume + k + 1, volume + 1
            own(data, k)

        write(box.folder / "in", volume, number)
    return embed(box, kinds, *words, options=options)


RUN = {"ScanningSequence": "EP", "SeriesDescription": "AX T1"}
SITUATIONS("each volume of a functional run is a series")(
    partial(
        _repeats,
        lambda volume: fields(SeriesInstanceUID=f"1.2.826.67.{volume}", SeriesNumber=5001 + volume, **RUN),
        kinds=[],
        words=("time series of 3 volumes",),
    )
)
SITUATIONS("the first volume of a run with a series for each volume")(
    partial(
        _repeats,
        lambda volume: fields(SeriesInstanceUID=f"1.2.826.67.{volume}", SeriesNumber=5001 + volume, **RUN),
        kinds=[[0]],
        options=("--time-series", "first"),
    )
)
SITUATIONS("each volume of a diffusion acquisition is a series")(
    partial(
        _repeats,
        lambda volume: fields(SeriesInstanceUID=f"1.2.826.67.{volume}", DiffusionBValue=700.0 * volume),
        kinds=[[0]],
    )
)
SITUATIONS("each place of a diffusion acquisition is a series")(
    partial(
        _repeats,
        lambda volume: fields(SeriesInstanceUID=lambda k: f"1.2.826.67.{k}", DiffusionBValue=700.0 * volume),
        kinds=[[0]],
    )
)
SITUATIONS("three repeats of an anatomical scan are three series")(
    partial(
        _repeats,
        lambda volume: fields(SeriesInstanceUID=f"1.2.826.67.{volume}", SeriesNumber=5 + volume),
        kinds=[[0, 1, 2]],
    )
)
SITUATIONS("nothing separates the volumes of a series")(
    partial(
        _repeats,
        lambda volume: fields(InstanceNumber=1, AcquisitionNumber=None),
        kinds=[[0]],
        options=("--time-series", "first"),
        words=("which belong together",),
    )
)


@SITUATIONS("the first volume of a time series lost its first slice")
def lost_first(box: Box) -> Outcome:
    """Volumes are numbered through; only instance numbers separate them."""
    for volume in range(3):
        own = fields(
            SOPInstanceUID=lambda k, volume=volume: f"1.2.826.68.{volume}.{k}",
            InstanceNumber=lambda k, volume=volume: SLICES * volume + k + 1,
        )
        write(box.folder / "in", volume, own)
    (box.folder / "in" / "3-0-000.dcm").unlink()
    return embed(box, [[1]], "lacks slices", "which belong together", options=("--time-series", "first"))


def private(group: int, creator: str, offset: int, vr: str, value: object) -> Edit:
    """An edit that adds a private element."""
    return lambda data, k: data.private_block(group, creator, create=True).add_new(offset, vr, value)


def _kinds(wrong: Edit, right: Edit, box: Box) -> Outcome:
    """A series of an image that is embedded and one that is not; only the first volume would be taken."""
    write(
        box.folder / "in",
        1,
        lambda data, k: (setattr(data, "SOPInstanceUID", f"1.2.826.69.{k}"), wrong(data, k)),
    )
    write(
        box.folder / "in",
        0,
        lambda data, k: (setattr(data, "InstanceNumber", SLICES + k + 1), right(data, k)),
    )
    return embed(box, [[0]], options=("--time-series", "first"))


def _ge(flag: int) -> Edit:
    mark = private(0x0043, "GEMS_PARM_01", 0x30, "SS", flag)
    sequence = private(0x0019, "GEMS_ACQU_01", 0x9C, "LO", "B0map")
    common = fields(Manufacturer="GE MEDICAL SYSTEMS", ImageType=["ORIGINAL", "PRIMARY", "OTHER"])
    return lambda data, k: (common(data, k), sequence(data, k), mark(data, k))


SITUATIONS("a field map of GE and its magnitude are one series")(partial(_kinds, _ge(0), _ge(2)))
SITUATIONS("a susceptibility-weighted phase of Philips and its magnitude are one series")(
    partial(
        _kinds,
        fields(ImageType=["ORIGINAL", "PRIMARY", "SW_P_FFE", "SW_P", "FFE"]),
        fields(ImageType=["ORIGINAL", "PRIMARY", "SW_M_FFE", "SW_M", "FFE"]),
    )
)
SITUATIONS("a field map in Hz of Philips and its magnitude are one series")(
    partial(_kinds, fields(ImageType=["ORIGINAL", "PRIMARY", "T1", "FIELD_MAP"]), fields())
)


@SITUATIONS("a sequence of GE stores its volumes upside down")
def upside_down(box: Box) -> Outcome:
    """`epi_pepolar` with reversed polarity."""
    common = fields(Manufacturer="GE MEDICAL SYSTEMS")
    name = private(0x0019, "GEMS_ACQU_01", 0x9C, "LO", "epi_pepolar")
    polarity = private(0x0019, "GEMS_ACQU_01", 0xB3, "DS", 1)
    write(box.folder / "in", 0, lambda data, k: (common(data, k), name(data, k), polarity(data, k)))
    return embed(box, [], "upside down")


@SITUATIONS("a mosaic lost the private header that orders its slices")
def mosaic(box: Box) -> Outcome:
    """Tiles of 4 x 3."""
    tiles = np.zeros((3 * 56, 4 * 48), "<u2")
    for k in range(SLICES):
        row, column = divmod(k, 4)
        tiles[56 * row : 56 * (row + 1), 48 * column : 48 * (column + 1)] = phantom(0)[:, :, k].T
    write(box.folder / "one")
    data = pydicom.dcmread(box.folder / "one" / "3-0-000.dcm")
    data.Manufacturer, data.ImageType = "SIEMENS", ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    data.Rows, data.Columns, data.PixelData = *tiles.shape, tiles.tobytes()
    private(0x0019, "SIEMENS MR HEADER", 0x0A, "US", SLICES)(data, 0)
    (box.folder / "in").mkdir()
    data.save_as(box.folder / "in" / "mosaic.dcm")
    return embed(box, [], "mosaic without its private header")
