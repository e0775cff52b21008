"""Dixon imaging in one series: water, fat, in and out of phase are an image each, with its own voxels and name."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from prima_features.studies.dicom import DicomOptions, find_dicom
from prima_features.studies.dicom.rules import TimeSeries
from prima_features.studies.study import DicomSlices, Found
from prima_features.volumes.dicom import read_slices

N_SLICES = 6
WriteStack = Callable[..., list[Path]]
Elements = dict[str, object]

PHILIPS: list[Elements] = [
    {"ImageType": ["DERIVED", "PRIMARY", w, w, "DERIVED"]} for w in ("W", "F", "IP", "OP")
]
SIEMENS: list[Elements] = [
    {"ImageType": ["DERIVED", "PRIMARY", "M", "DIXON", word]}
    for word in ("WATER", "FAT", "IN_PHASE", "OPP_PHASE")
]
LETTERS: list[Elements] = [{"ImageType": ["ORIGINAL", "PRIMARY", word, "ND"]} for word in ("M", "W", "F")]
NAMED: list[Elements] = [
    {"SeriesDescription": f"t1_vibe_dixon_{word}"} for word in ("in", "opp", "W", "F", "FF", "T2star")
]


def write_images(folder: Path, write_stack: WriteStack, kinds: Sequence[Elements], slicewise: bool) -> None:
    """One series; slice k of image i has the grey value 100 (i + 1) + k."""
    for i, elements in enumerate(kinds):
        for k in range(N_SLICES):
            number = 1 + (k * len(kinds) + i if slicewise else i * N_SLICES + k)
            own = {"ImagePositionPatient": [0, 0, 3 * k], "value": 100 * (i + 1) + k, "first": number}
            write_stack(folder, 1, **own | elements)  # type: ignore[arg-type]


def voxels(found: Found) -> dict[int, str]:
    """Name of each series by the hundreds of its grey values, after a check that it is one image from feet to head."""
    names = {}
    for study in found.studies:
        for series in study.series:
            assert isinstance(series.image, DicomSlices)
            grey = np.unique(sitk.GetArrayFromImage(read_slices(series.image)))
            first = int(grey[0]) // 100 * 100
            assert grey.tolist() == list(range(first, first + N_SLICES))
            names[first // 100] = series.name
    return names


@pytest.mark.parametrize("slicewise", [False, True])
@pytest.mark.parametrize("time_series", ["skip", "first", "mean"])
@pytest.mark.parametrize(
    "kinds", [PHILIPS, SIEMENS, LETTERS, NAMED], ids=["Philips", "Siemens", "letters", "named"]
)
def test_each_image_has_its_own_voxels_and_name(
    kinds: Sequence[Elements],
    time_series: TimeSeries,
    slicewise: bool,
    tmp_path: Path,
    write_stack: WriteStack,
) -> None:
    write_images(tmp_path, write_stack, kinds, slicewise)
    found = find_dicom(tmp_path, DicomOptions(time_series=time_series))
    names = [str(elements.get("SeriesDescription", "AX_FLAIR")) for elements in kinds]
    assert voxels(found) == dict(enumerate(names, 1))
    assert not found.left_out


@pytest.mark.parametrize(
    "kinds",
    [
        [{}] * 4,
        [{"TemporalPositionIdentifier": i + 1} for i in range(4)],
        [{"SeriesDescription": f"dyn {9 + i}"} for i in range(4)],
        [{"SeriesDescription": name} for name in ("T1 ", "t1", "T1", "T1")],
        [{"SeriesDescription": "water"}, {"SeriesDescription": "fat"}] * 2,
    ],
    ids=["plain", "numbered", "numbered names", "names alike", "two of each"],
)
def test_a_time_series_stays_one(kinds: Sequence[Elements], tmp_path: Path, write_stack: WriteStack) -> None:
    write_images(tmp_path, write_stack, kinds, slicewise=False)
    found = find_dicom(tmp_path)
    (left_out,) = found.left_out
    assert left_out.error == "it is a time series of 4 volumes"
    assert not found.studies


@pytest.mark.parametrize("kinds", [PHILIPS, NAMED], ids=["Philips", "named"])
def test_an_image_that_lacks_a_slice_is_a_defect(
    kinds: Sequence[Elements], tmp_path: Path, write_stack: WriteStack
) -> None:
    write_images(tmp_path, write_stack, kinds, slicewise=False)
    (tmp_path / "IM0008").unlink()
    found = find_dicom(tmp_path)
    assert sorted(voxels(found)) == [1, *range(3, len(kinds) + 1)]
    (left_out,) = found.left_out
    assert left_out.error.startswith("it has 5 of the 6 slices of its volume")
    assert left_out.defect


def test_water_overwritten_by_fat_is_no_volume(tmp_path: Path, write_stack: WriteStack) -> None:
    write_images(tmp_path, write_stack, PHILIPS[:2], slicewise=False)
    for k in range(N_SLICES):
        (tmp_path / f"IM{k + N_SLICES * (k < 4):04d}").unlink()
    found = find_dicom(tmp_path)
    assert not found.studies
    assert all(left_out.defect and "slices of its volume" in left_out.error for left_out in found.left_out)
