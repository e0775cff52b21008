"""What holds for all files of one volume, and for every mixture of two: searched for by hypothesis."""

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.dicom.acquisitions import find_acquisitions
from prima_features.studies.dicom.header import Header
from prima_features.studies.dicom.series import find_series
from prima_features.studies.study import DicomSlices, Failure, Series
from prima_features.volumes.dicom import read_slices

pytest.importorskip("hypothesis")
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

PLANES = ([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [0.8, 0.6, 0, -0.6, 0.8, 0])
ECHO = 2.985
seeds = st.integers(0, 2**32 - 1)


def headers_of(
    name: str,
    n_slices: int,
    orientation: Sequence[float],
    step: float = 3.0,
    shift: float = 0.0,
    **fields: Any,
) -> list[Header]:
    """One volume, its slices in ascending order; file names are `name` and the number of the slice."""
    normal = np.cross(orientation[:3], orientation[3:])
    normal *= np.sign(normal[np.abs(normal).argmax()])
    common = Header(
        file=Path(), sop_class="1.2.840.10008.5.1.4.1.1.4", sop_uid="", study_uid="1.2", series_uid="1.2.3",
        patient_id="A", patient_name="", birth_date="", sex="", study_date="20190101", frame_of_reference="1.2.9",
        modality="MR", study_description="", description="T1", protocol="", series_number=3, instance_number=None,
        acquisition=1, temporal_position=None, time="", image_type=("ORIGINAL", "PRIMARY", "M", "ND"), component="",
        contrast="", sequence="GR", rows=64, columns=64, is_colour=False, n_frames=1, pixel_spacing=(0.9375, 0.9375),
        thickness=step, slice_spacing=None, orientation=tuple(orientation), position=(), echo_time=ECHO,
        echo_number=1, repetition_time=2000.0, inversion_time=900.0, flip_angle=9.0, b_value=None,
    )  # fmt: skip
    return [
        replace(
            common,
            **{
                "file": Path(f"{name}/{i}"),
                "sop_uid": f"1.2.3.{name}.{i}",
                "instance_number": i + 1,
                "position": tuple((-80 + normal * (i * step + shift)).tolist()),
            }
            | fields,
        )
        for i in range(n_slices)
    ]


def find(
    headers: Sequence[Header], options: DicomOptions = DicomOptions()
) -> tuple[list[Series], list[Failure]]:
    series: list[Series] = []
    left_out: list[Failure] = []
    for acquisition in find_acquisitions(headers, options.slice_tolerance):
        found, rest = find_series(acquisition, options, "study")
        series += found
        left_out += rest
    return series, left_out


def jitter(header: Header, rng: random.Random, what: Sequence[str]) -> Header:
    """What scanners, archives and anonymisers do to one file without a change to the image."""
    changes: dict[str, Callable[[], Any]] = {
        "echo_time": lambda: rng.choice((ECHO, 2.98, 2.986, None)),
        "echo_number": lambda: rng.choice((1, None, 0)),
        "pixel_spacing": lambda: rng.choice(((0.9375, 0.9375), (0.938, 0.938), (0.94, 0.94), ())),
        "orientation": lambda: tuple(part + rng.uniform(-5e-5, 5e-5) for part in header.orientation),
        "position": lambda: tuple(part + rng.uniform(-0.01, 0.01) for part in header.position),
        "image_type": lambda: rng.choice(
            (header.image_type, ("DERIVED", "SECONDARY", "M", "ND"), ("DERIVED", "SECONDARY"), ())
        ),
        "instance_number": lambda: rng.choice((1, None, 5, 900)),
        "sop_uid": lambda: "1.2.3",
        "time": lambda: str(rng.randrange(10**5, 10**6)),
        "component": lambda: rng.choice(("", "MAGNITUDE")),
        "repetition_time": lambda: rng.choice((2000.0, 1999.5, 2001.0, None)),
        "flip_angle": lambda: rng.choice((9.0, 8.99, None)),
        "thickness": lambda: rng.choice((header.thickness, None)),
        "patient_name": lambda: rng.choice(("", "X")),
        "description": lambda: rng.choice(("T1", "t1", " T1  ")),
    }
    return replace(header, **{field: changes[field]() for field in what})


FIELDS = (
    *(
        "echo_time",
        "echo_number",
        "pixel_spacing",
        "orientation",
        "position",
        "image_type",
        "instance_number",
    ),
    *(
        "sop_uid",
        "time",
        "component",
        "repetition_time",
        "flip_angle",
        "thickness",
        "patient_name",
        "description",
    ),
)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    seed=seeds,
    n_slices=st.integers(5, 40),
    plane=st.sampled_from(PLANES),
    step=st.sampled_from((0.7, 1.0, 3.0, 6.6)),
    what=st.sets(st.sampled_from(FIELDS)),
    uids=st.sampled_from(("one", "each file", "each file and frame of reference")),
)
def test_the_files_of_one_volume_are_one_series_whatever_jitters(
    seed: int, n_slices: int, plane: Sequence[float], step: float, what: set[str], uids: str
) -> None:
    rng = random.Random(seed)
    volume = headers_of("a", n_slices, plane, step)
    files = [header.file for header in volume]
    chosen = sorted(what)
    changed = [jitter(header, rng, chosen) if rng.random() < 0.5 else header for header in volume]
    if uids != "one":
        changed = [replace(header, series_uid=f"1.2.{i}") for i, header in enumerate(changed)]
    if "frame" in uids:
        changed = [replace(header, frame_of_reference=f"1.2.{i}") for i, header in enumerate(changed)]
    rng.shuffle(changed)
    series, left_out = find(changed)
    assert not left_out
    (one,) = series
    assert list(one.files) == files


OTHERS: tuple[dict[str, Any], ...] = (
    {"echo_time": 7.38, "echo_number": 2},
    {"echo_time": 4.1},
    {"echo_number": 2},
    {"image_type": ("ORIGINAL", "PRIMARY", "P", "ND"), "component": "PHASE"},
    {"image_type": ("ORIGINAL", "PRIMARY", "M", "ND", "WATER")},
    {"image_type": ("DERIVED", "SECONDARY", "M", "ND")},
    {"flip_angle": 20.0},
    {"inversion_time": 2500.0},
    {"acquisition": 2},
    {"temporal_position": 2},
    {"b_value": 1000.0},
    {"frame_of_reference": "1.2.10"},
    {"study_date": "20200101"},
    {"series_uid": "1.2.4"},
    {},
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    seed=seeds,
    n_slices=st.integers(5, 24),
    other=st.sampled_from(OTHERS),
    shift=st.sampled_from((0.0, 0.0, 1.5, 1.3, 1000.0)),
    lost=st.sampled_from(("nothing", "one", "some", "overwritten", "overwritten at an end")),
    numbering=st.sampled_from(("on", "again", "by place", "none")),
    option=st.sampled_from(("skip", "first", "mean")),
)
def test_a_mixture_of_two_volumes_is_two_or_a_failure(
    seed: int, n_slices: int, other: dict[str, Any], shift: float, lost: str, numbering: str, option: Any
) -> None:
    """No image has slices of both, and none lacks slices."""
    assume(not shift or "overwritten" not in lost)
    # Nothing distinguishes these from the overlapping slices of one interpolated volume.
    assume(other or shift != 1.5 or numbering in ("on", "again"))
    rng = random.Random(seed)
    one = headers_of("a", n_slices, PLANES[0], thickness=6.0 if shift else 3.0)
    two = headers_of("b", n_slices, PLANES[0], shift=shift, **{"thickness": 6.0 if shift else 3.0} | other)
    numbers = {
        "on": lambda i: (i + 1, n_slices + i + 1),
        "again": lambda i: (i + 1, i + 1),
        "by place": lambda i: (2 * i + 1, 2 * i + 2),
        "none": lambda i: (None, None),
    }[numbering]
    one = [replace(header, instance_number=numbers(i)[0]) for i, header in enumerate(one)]
    two = [replace(header, instance_number=numbers(i)[1]) for i, header in enumerate(two)]
    kept = {header.file for header in one + two}
    inner = range(1, n_slices - 1)
    if lost == "one":
        kept -= {rng.choice((one, two))[rng.choice(inner)].file}
    elif lost == "some":
        kept -= {rng.choice((one, two))[i].file for i in inner if rng.random() < 0.3}
    elif lost == "overwritten":
        kept -= {rng.choice((one, two))[i].file for i in range(n_slices)}
    elif lost == "overwritten at an end":
        cut = rng.choice(inner)
        kept -= {header.file for header in one[cut:] + two[:cut]}
    mixed = [header for header in one + two if header.file in kept]
    assume(len({header.file.parent for header in mixed}) == 2)
    rng.shuffle(mixed)
    if (
        not set(other) - {"acquisition", "image_type", "temporal_position", "series_uid"}
        and "overwritten" in lost
    ):
        assume(shift == 1000.0 or "WATER" in str(other) or "PHASE" in str(other))  # else nothing differs
    series, left_out = find(mixed, DicomOptions(time_series=option))
    for found in series:
        assert isinstance(found.image, DicomSlices)
        for stack in found.image.stacks:
            assert len({file.parent for file in stack}) == 1
            assert len(stack) == n_slices
    if sum(len(found.image.stacks) for found in series if isinstance(found.image, DicomSlices)) < 2:
        assert left_out or option == "first" or "b_value" in other


def write_volume(folder: Path, n_slices: int) -> None:
    rng = np.random.default_rng(0)
    for i in range(n_slices):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{i}"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.PatientID = "1.2", "1.2.3", "A"
        data.Modality, data.SeriesDescription, data.SeriesNumber, data.InstanceNumber = "MR", "T1", 1, i + 1
        data.ImageOrientationPatient, data.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3 * i]
        data.PixelSpacing, data.SliceThickness, data.EchoTime = [1, 1], 3, ECHO
        data.Rows = data.Columns = 8
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.PixelData = rng.integers(0, 4000, (8, 8)).astype("<u2").tobytes()
        folder.mkdir(parents=True, exist_ok=True)
        data.save_as(folder / f"{i:03}.dcm", enforce_file_format=True)


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=seeds, copies=st.integers(0, 2))
def test_names_folders_and_copies_change_no_bit(tmp_path: Path, seed: int, copies: int) -> None:
    rng = random.Random(seed)
    shutil.rmtree(tmp_path)
    write_volume(tmp_path / "clean", 6)
    for file in sorted((tmp_path / "clean").iterdir()):
        for _ in range(1 + rng.randint(0, copies)):
            target = (
                tmp_path
                / "untidy"
                / str(rng.randrange(3))
                / f"{rng.randrange(10**9)}.{rng.choice(('', 'txt', '7'))}"
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            data = pydicom.dcmread(file)
            if rng.random() < 0.3:
                data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = (
                    f"1.9.{rng.randrange(10**9)}"
                )
            data.EchoTime = rng.choice((ECHO, 2.986))
            data.save_as(target)
    found = find_dicom(tmp_path / "untidy")
    ((one,), (clean,)) = (find_dicom(tmp_path / name).studies[0].series for name in ("untidy", "clean"))
    assert not [item for item in found.left_out if item.defect]
    voxels = [sitk.GetArrayFromImage(read_slices(series.image)) for series in (one, clean)]
    assert np.array_equal(*voxels)
