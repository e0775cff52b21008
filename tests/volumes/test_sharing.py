"""Several encoders read a series: it is read once, and none can change what the others get."""

import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import ReadOptions, read, read_series
from prima_features.volumes.sharing import reading_once, shared


@pytest.fixture
def series(tmp_path: Path) -> Series:
    values = np.random.default_rng(0).integers(0, 500, (16, 16, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), tmp_path / "T1w.nii.gz")
    return Series("T1w", NiftiImage(tmp_path / "T1w.nii.gz"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Series]:
    """The series that are read from disk."""
    found: list[Series] = []
    original = read._read_image

    def counted(series: Series, *rest: object) -> object:
        found.append(series)
        return original(series, *rest)

    monkeypatch.setattr(read, "_read_image", counted)
    return found


def refuse_more_than(most: int) -> Callable[[int], None]:
    def check(n: int) -> None:
        if n > most:
            raise SeriesError(f"{n} slices, more than {most}")

    return check


def test_a_series_is_read_once_within_the_block_and_again_after_it(
    series: Series, reads: list[Series]
) -> None:
    with reading_once():
        one, other = read_series(series), read_series(series)
    assert len(reads) == 1
    np.testing.assert_array_equal(sitk.GetArrayFromImage(one.image), sitk.GetArrayFromImage(other.image))
    with reading_once():
        read_series(series)
    read_series(series)
    assert len(reads) == 3


def test_other_options_read_it_again(series: Series, reads: list[Series]) -> None:
    with reading_once():
        read_series(series)
        read_series(series, ReadOptions(nan="zero"))
    assert len(reads) == 2


def test_a_changed_image_changes_no_other(series: Series) -> None:
    with reading_once():
        one = read_series(series)
        before = sitk.GetArrayFromImage(one.image)
        one.image[0, 0, 0] = 7777
        one.image.SetOrigin((1.0, 2.0, 3.0))
        one.grid.affine[:] = 0
        other = read_series(series)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(other.image), before)
    assert other.image.GetOrigin() != (1.0, 2.0, 3.0)
    assert abs(other.grid.affine).sum() > 0


def test_a_limit_of_one_encoder_refuses_the_series_for_it_alone(series: Series, reads: list[Series]) -> None:
    with reading_once():
        with pytest.raises(SeriesError, match="more than 4"):
            read_series(series, check_slices=refuse_more_than(4))
        read_series(series, check_slices=refuse_more_than(8))
        with pytest.raises(SeriesError, match="more than 5"):
            read_series(series, check_slices=refuse_more_than(5))
        read_series(series)
    assert len(reads) == 2  # the first ended before any voxel was read


def test_a_damaged_file_is_read_once_and_fails_for_all(tmp_path: Path, reads: list[Series]) -> None:
    (tmp_path / "bad.nii").write_bytes(b"")
    series = Series("T1w", NiftiImage(tmp_path / "bad.nii"))
    with reading_once():
        for _ in range(2):
            with pytest.raises(SeriesError, match="the file is empty"):
                read_series(series)
    assert len(reads) == 1


def test_voxels_that_are_refused_say_so_after_an_encoders_limit(
    tmp_path: Path, series: Series, reads: list[Series]
) -> None:
    nib.save(nib.Nifti1Image(np.ones((16, 16, 8), np.int16), np.eye(4)), tmp_path / "flat.nii")
    flat = Series("T1w", NiftiImage(tmp_path / "flat.nii"))
    with reading_once():
        with pytest.raises(SeriesError, match="constant"):
            read_series(flat)
        with pytest.raises(SeriesError, match="more than 4"):  # as if it were read alone
            read_series(flat, check_slices=refuse_more_than(4))
    assert len(reads) == 1


def test_a_result_is_computed_once_within_the_block() -> None:
    computed: list[int] = []

    def compute() -> int:
        computed.append(1)
        return len(computed)

    with reading_once():
        assert [shared("a", compute), shared("a", compute), shared("b", compute)] == [1, 1, 2]
    assert shared("a", compute) == 3


def test_the_time_that_sharing_saves_is_known() -> None:
    with reading_once() as results:
        shared("a", lambda: time.sleep(0.05))
        assert results.saved == 0
        for _ in range(2):
            shared("a", lambda: None)
        assert results.saved >= 2 * 0.05
