"""Enhanced multi-frame files: several echoes, orders, halves and copies; and series whose slices differ in geometry."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian

from situations.common import Box, Outcome, Situations, named
from situations.dicom import EMBED, SLICES, STEP, embed, fields, phantom, write

SITUATIONS = Situations("frames")

ENHANCED = "1.2.840.10008.5.1.4.1.1.4.1"
Frame = tuple[int, int]
"""Phantom and slice."""


def item(**elements: Any) -> Items:
    """A sequence of one item."""
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return Items([data])


def group(kind: int, k: int, own: dict[str, Any]) -> Dataset:
    """The functional groups of a frame; `own` states what its phantom differs in."""
    position = [-88.0, -103.0, -55.0 + k * STEP]
    found = item(
        PlanePositionSequence=item(ImagePositionPatient=position),
        PlaneOrientationSequence=item(ImageOrientationPatient=own.get("orientation", [1, 0, 0, 0, 1, 0])),
        FrameContentSequence=item(StackID="1", InStackPositionNumber=k + 1),
        PixelMeasuresSequence=item(PixelSpacing=[3.75, 3.75], SliceThickness=STEP),
    )[0]
    if "index" in own:
        found.FrameContentSequence[0].DimensionIndexValues = [1, k + 1, kind + 1]
    if "echo" in own:
        found.MREchoSequence = item(EffectiveEchoTime=own["echo"])
    if "b" in own:
        found.MRDiffusionSequence = item(DiffusionBValue=own["b"])
    if "inversion" in own:
        found.MRModifierSequence = item(InversionTimes=own["inversion"])
    if "flip" in own:
        found.MRTimingAndRelatedParametersSequence = item(FlipAngle=own["flip"], RepetitionTime=20.0)
    if "type" in own:
        found.MRImageFrameTypeSequence = item(FrameType=own["type"])
    if "unit" in own:
        scale = item(RescaleSlope=1, RescaleIntercept=0, RescaleType=own["unit"])
        found.PixelValueTransformationSequence = scale
    return found


def write_file(
    folder: Path,
    frames: Sequence[Frame],
    own: Sequence[dict[str, Any]],
    maker: str = "SIEMENS",
    number: int = 1,
) -> None:
    """One enhanced file of these frames."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = ENHANCED
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.75.{number}"
    data.StudyInstanceUID, data.SeriesInstanceUID = "1.2.826.55.1", "1.2.826.55.2.3"
    data.FrameOfReferenceUID, data.PatientID, data.PatientName = "1.2.826.55.3", "P-1", "Example^One"
    data.StudyDate, data.Modality, data.Manufacturer = "20210304", "MR", maker
    data.SeriesDescription, data.SeriesNumber, data.InstanceNumber = "AX T1", 3, number
    data.ImageType, data.NumberOfFrames = ["ORIGINAL", "PRIMARY", "M", "NONE"], len(frames)
    data.Rows, data.Columns, data.SamplesPerPixel = 56, 48, 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    if any("index" in one for one in own):
        pointers = (0x00209056, 0x00209057, 0x00209128)
        data.DimensionIndexSequence = Items([item(DimensionIndexPointer=pointer)[0] for pointer in pointers])
    data.PerFrameFunctionalGroupsSequence = Items([group(kind, k, own[kind]) for kind, k in frames])
    planes = [np.rint(phantom(kind)[:, :, k].T).astype("<u2") for kind, k in frames]
    data.PixelData = np.stack(planes).tobytes()
    folder.mkdir(parents=True, exist_ok=True)
    data.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def by_volume(n: int) -> list[Frame]:
    """Frames of `n` phantoms, one volume after the other."""
    return [(kind, k) for kind in range(n) for k in range(SLICES)]


def by_slice(n: int) -> list[Frame]:
    """All phantoms' frames of a place before those of the next."""
    return [(kind, k) for k in range(SLICES) for kind in range(n)]


def shuffled(n: int) -> list[Frame]:
    """In no order."""
    frames = by_volume(n)
    random.Random(3).shuffle(frames)
    return frames


ORDERS: dict[str, Callable[[int], list[Frame]]] = {
    "one after the other": by_volume,
    "slice by slice": by_slice,
    "in no order": shuffled,
}
SETS: dict[str, tuple[dict[str, Any], ...]] = {
    "three echoes": ({"echo": 5.0}, {"echo": 10.0}, {"echo": 15.0}),
    "two inversion times": ({"inversion": 700.0}, {"inversion": 2500.0}),
    "two flip angles": ({"flip": 4.0}, {"flip": 20.0}),
    "water and fat": tuple({"type": ["DERIVED", "PRIMARY", "DIXON", word]} for word in ("WATER", "FAT")),
}


def _set(own: Sequence[dict[str, Any]], order: Callable[[int], list[Frame]], box: Box) -> Outcome:
    write_file(box.folder / "in", order(len(own)), own)
    return embed(box, [list(range(len(own)))])


for _name, _own in SETS.items():
    for _order, _frames in ORDERS.items():
        SITUATIONS(f"an enhanced file of {_name}, {_order}")(partial(_set, _own, _frames))


def _one_of(
    frames: Sequence[Frame],
    own: Sequence[dict[str, Any]],
    kinds: list[list[int]],
    words: tuple[str, ...],
    box: Box,
) -> Outcome:
    write_file(box.folder / "in", frames, own, "Philips Medical Systems")
    return embed(box, kinds, *words)


_B = ({"b": 0.0}, {"b": 1000.0}, {"b": 500.0})
SITUATIONS("an enhanced diffusion file, slice by slice")(partial(_one_of, by_slice(3), _B, [[0]], ()))
SITUATIONS("an enhanced diffusion file whose b=0 volume lost a frame")(
    partial(_one_of, [one for one in by_volume(3) if one != (0, 5)], _B, [[0]], ("lowest b-value",))
)
SITUATIONS("an enhanced file whose second echo lost a frame")(
    partial(
        _one_of,
        [one for one in by_slice(2) if one != (1, 5)],
        SETS["three echoes"],
        [[0, 1]],
        ("slices of its volume",),
    )
)
SITUATIONS("an enhanced file of magnitude and phase, which only their units tell")(
    partial(_one_of, by_slice(2), ({"unit": "normalized"}, {"unit": "milliradials"}), [[0]], ())
)
SITUATIONS("the rows run the other way in half of the frames")(
    partial(
        _one_of,
        [(int(k >= SLICES // 2), k) for k in range(SLICES)],
        ({}, {"orientation": [-1, 0, 0, 0, -1, 0]}),
        [[0]],
        ("form one volume",),
    )
)
SITUATIONS("an enhanced file lost a frame in the middle")(
    partial(_one_of, [one for one in by_volume(1) if one != (0, 6)], ({},), [[0]], ("missing",))
)


@SITUATIONS("a volume is spread over two enhanced files")
def halves(box: Box) -> Outcome:
    """Files are split by size."""
    write_file(box.folder / "in", by_volume(1)[:6], ({},), number=1)
    write_file(box.folder / "in", by_volume(1)[6:], ({},), number=2)
    return embed(box, [[0]])


@SITUATIONS("an enhanced file was sent again under a new SOPInstanceUID")
def again(box: Box) -> Outcome:
    """The pixels are the same."""
    for number in (1, 2):
        write_file(box.folder / "in", by_volume(1), ({},), number=number)
    return embed(box, [[0]])


def _edited(which: Callable[[int], bool], change: dict[str, Any], box: Box) -> Outcome:
    edit = fields(**change)
    write(box.folder / "in", 0, lambda data, k: edit(data, k) if which(k) else None)
    return embed(box, [[0]], "form one volume")


for _name, _which in {"half": lambda k: k >= 6, "every other": lambda k: k % 2 == 1}.items():
    SITUATIONS(f"the rows run the other way in {_name} of the slices")(
        partial(_edited, _which, {"ImageOrientationPatient": [-1, 0, 0, 0, 1, 0]})
    )
    SITUATIONS(f"the pixel size is edited in {_name} of the slices")(
        partial(_edited, _which, {"PixelSpacing": [3.6, 3.6]})
    )


def _phase(change: dict[str, Any], box: Box) -> Outcome:
    common = {"ImageType": ["ORIGINAL", "PRIMARY"], "SeriesInstanceUID": "1.2.826.55.2.3", "SeriesNumber": 3}
    write(box.folder / "in", 0, fields(**common), number=4)
    number = {"InstanceNumber": lambda k: SLICES + k + 1}
    write(box.folder / "in", 1, fields(**common, **number, **change), number=5)
    return embed(box, [[0]])


for _unit in ("rad", "milliradials", "cm/s", "Hz"):
    SITUATIONS(f"magnitude in one series with an image in {_unit}")(partial(_phase, {"RescaleType": _unit}))


def _flagged(flag: str, make: Callable[[Path], object], box: Box) -> Outcome:
    make(box.folder / "in")
    ran = box.prima("embed", box.folder / "in", box.folder / "out.h5", *EMBED)
    return named(ran, flag, codes=(0,))


def _tilted(folder: Path) -> None:
    write(folder, 0, fields(ImagePositionPatient=lambda k: [-88.0, -103.0 + 2.0 * k, -55.0 + k * STEP]))


def _twice(folder: Path) -> None:
    write(folder, 0)
    write(folder, 0, number=4)


def _mask(folder: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        data.PixelData = (np.frombuffer(data.PixelData, "<u2") > 200).astype("<u2").tobytes()

    write(folder, 0, edit)


def _without_b(folder: Path) -> None:
    for kind in (0, 1):
        common = fields(
            SeriesInstanceUID="1.2.826.55.2.3",
            SeriesNumber=3,
            SeriesDescription="ep2d_diff",
            InstanceNumber=lambda k, first=1 + SLICES * kind: first + k,
        )
        write(folder, kind, common, number=4 + kind)


SITUATIONS("slices are stacked at an angle, as under a tilted gantry")(partial(_flagged, "sheared", _tilted))
SITUATIONS("a series was sent again under new UIDs")(partial(_flagged, "copy", _twice))
SITUATIONS("a brain mask was exported as an MR series")(partial(_flagged, "mask-like", _mask))


def _padded(folder: Path) -> None:
    def edit(data: Dataset, k: int) -> None:
        values = np.frombuffer(data.PixelData, "<u2").astype("<i2")
        data.PixelRepresentation, data.PixelPaddingValue = 1, -2000
        data.PixelData = np.where(values == 0, -2000, values).astype("<i2").tobytes()

    write(folder, 0, edit)


SITUATIONS("the background is filled with PixelPaddingValue -2000")(
    partial(_flagged, "negative-background", _padded)
)
SITUATIONS("diffusion lost all of its b-values")(partial(_flagged, "b-value-unknown", _without_b))


def _renumbered(creator: str, place: tuple[int, int], block: int, box: Box) -> Outcome:
    group, offset = place

    def numbered(b: int, first: int) -> Callable[[Dataset, int], None]:
        def edit(data: Dataset, k: int) -> None:
            data.SeriesInstanceUID, data.SeriesNumber = "1.2.826.55.2.3", 3
            data.SeriesDescription, data.InstanceNumber = "AX T1", first + k
            data.add_new((group, block), "LO", creator)
            data.add_new((group, block << 8 | offset), "IS", b)

        return edit

    write(box.folder / "in", 1, numbered(1000, 1), number=4)
    write(box.folder / "in", 0, numbered(0, SLICES + 1), number=5)
    return embed(box, [[0]])


for _creator, _place in {"SIEMENS MR HEADER": (0x19, 0x0C), "GEMS_PARM_01": (0x43, 0x39)}.items():
    SITUATIONS(f"an archive renumbered the private block {_creator}")(
        partial(_renumbered, _creator, _place, 0x12)
    )


def _modality(modality: str | None, box: Box) -> Outcome:
    edit = fields(Modality=modality)
    write(box.folder / "in", 0, lambda data, k: edit(data, k) if k >= 6 else None)
    return embed(box, [[0]], "different modalities")


SITUATIONS("the modality is missing in half of the slices")(partial(_modality, None))
SITUATIONS("the modality was edited in half of the slices")(partial(_modality, "OT"))
