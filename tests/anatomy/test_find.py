"""Order of preference, the cache, and quality."""

import logging
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from prima_features.anatomy import cache, find
from prima_features.anatomy.find import Anatomy, AnatomyOptions, find_anatomy
from prima_features.anatomy.quality import BRAIN_VOLUME, MISPLACED, MNI_OVERLAP, MNI_SCALE, assess
from prima_features.anatomy.registration import REGISTERED
from prima_features.anatomy.stripped import STRIPPED
from prima_features.anatomy.template import template
from prima_features.anatomy.tools import Program
from prima_features.errors import SeriesError
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes.sharing import reading_once

SERIES = Series("T1w", NiftiImage(Path("x.nii")))
TEMPLATE, GRID = template()
MASK = TEMPLATE > 0
HEAD = TEMPLATE + np.float32(10)
"""Not skull-stripped: no voxel is 0."""
AUTO = AnatomyOptions(mask_tool="auto", registration="auto")


class Counted:
    """Stands for the programs and the registration."""

    def __init__(self) -> None:
        self.masks = self.registrations = 0
        self.version = "1"

    def find_program(self, tool: str, name: str) -> Program | None:
        if tool == "none":
            return None
        return Program("tool", Path(__file__), lambda program, folder: ([], ""))

    def run_program(self, program: Program, values: np.ndarray, affine: np.ndarray) -> np.ndarray:
        self.masks += 1
        return MASK

    def register(self, values: np.ndarray, affine: np.ndarray, mask: np.ndarray) -> np.ndarray:
        self.registrations += 1
        return np.diag([1.1, 1.1, 1.1, 1.0])


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Counted:
    made = Counted()
    for name in ("find_program", "run_program", "register"):
        monkeypatch.setattr(find, name, getattr(made, name))
    monkeypatch.setenv("PRIMA_CACHE", str(tmp_path / "cache"))
    cache._recent.clear()
    return made


def found(series: Series = SERIES, options: AnatomyOptions = AUTO, values: np.ndarray = HEAD) -> Anatomy:
    return find_anatomy(series, values, GRID.affine, options)


def test_files_come_first(counted: Counted, tmp_path: Path) -> None:
    half = MASK & (np.arange(MASK.shape[0]) < 50)[:, None, None]
    nib.save(nib.Nifti1Image(half.astype(np.uint8), GRID.affine), tmp_path / "mask.nii.gz")
    (tmp_path / "affine.txt").write_text("1 0 0 5\n0 1 0 0\n0 0 1 0\n0 0 0 1\n")
    series = replace(
        SERIES, mask=tmp_path / "mask.nii.gz", to_mni=tmp_path / "affine.txt", anatomy_from="manifest"
    )
    anatomy = found(series, replace(AUTO, space="mni"), TEMPLATE)
    np.testing.assert_array_equal(anatomy.mask, half)
    assert anatomy.to_mni is not None and anatomy.to_mni[0, 3] == 5
    assert (anatomy.mask_from, anatomy.to_mni_from) == ("manifest", "manifest")
    assert counted.masks == counted.registrations == 0


def test_masks_of_files_and_programs_are_compared_with_the_scan(
    counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shifted = np.roll(MASK, 10, axis=1)
    nib.save(nib.Nifti1Image(shifted.astype(np.uint8), GRID.affine), tmp_path / "mask.nii.gz")
    assert found().doubts == found(values=TEMPLATE).doubts == ()
    assert found(replace(SERIES, mask=tmp_path / "mask.nii.gz")).doubts == (MISPLACED,)
    monkeypatch.setattr(find, "run_program", lambda program, values, affine: shifted)
    assert found(values=HEAD + 1).doubts == (MISPLACED,)


def test_a_stripped_scan_needs_no_program(counted: Counted) -> None:
    anatomy = found(values=TEMPLATE)
    assert (anatomy.mask_from, anatomy.to_mni_from) == (STRIPPED, REGISTERED)
    assert (counted.masks, counted.registrations) == (0, 1)


def test_a_whole_head_is_masked_and_then_registered(counted: Counted) -> None:
    anatomy = found()
    assert (anatomy.mask_from, anatomy.to_mni_from) == ("tool", REGISTERED)
    assert (counted.masks, counted.registrations) == (1, 1)


def test_a_whole_head_without_a_mask_is_never_registered(counted: Counted) -> None:
    assert found(options=replace(AUTO, mask_tool="none")).to_mni is None
    assert counted.registrations == 0


def test_images_in_mni_space_are_not_registered(counted: Counted) -> None:
    anatomy = found(options=replace(AUTO, space="mni"))
    assert anatomy.to_mni is not None and (anatomy.to_mni == np.eye(4)).all()
    assert counted.registrations == 0
    assert found(options=AnatomyOptions(mask_tool="auto")).to_mni is None


def test_each_scan_is_computed_once_over_encoders_and_runs(counted: Counted, tmp_path: Path) -> None:
    first = found()
    found()  # another encoder of the run
    cache._recent.clear()  # another run
    again = found()
    assert (counted.masks, counted.registrations) == (1, 1)
    np.testing.assert_array_equal(again.mask, first.mask)
    np.testing.assert_array_equal(again.to_mni, first.to_mni)
    folder = tmp_path / "cache" / "anatomy"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) == 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_runs_at_the_same_time_compute_each_scan_once(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads with nothing in common but the folder stand for the processes."""
    monkeypatch.setattr(cache, "_RECENT", 0)
    calls = []

    def compute() -> np.ndarray:
        calls.append(1)
        time.sleep(0.5)
        return np.eye(4)

    def ask(_: int) -> np.ndarray:
        return cache.cached("x", [HEAD], (4, 4), np.float64, compute)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(ask, range(4)))
    assert len(calls) == 1
    assert all((one == np.eye(4)).all() for one in results)
    folder = cache.cache_folder()
    assert folder is not None and list(folder.iterdir()) and not list(folder.glob("*.lock"))


def test_other_voxels_positions_and_programs_are_computed_anew(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    found()
    found(values=HEAD + np.float32(1))
    find_anatomy(SERIES, HEAD, np.diag([2.0, 2, 2, 1]), AUTO)
    monkeypatch.setattr(Program, "version", "another version")
    found()
    assert counted.masks == 4
    assert counted.registrations == 3  # the mask of the other version is the same


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign"])
def test_damaged_entries_are_computed_again(damage: str, counted: Counted, tmp_path: Path) -> None:
    expected = found()
    for file in (tmp_path / "cache" / "anatomy").iterdir():
        content = file.read_bytes()
        changed = {
            "cut": content[:-5],
            "changed": content[:-1] + bytes([content[-1] ^ 1]),
            "empty": b"",
            "foreign": b"from another program" * 10,
        }
        file.write_bytes(changed[damage])
    for times in (2, 2):  # and stored again
        cache._recent.clear()
        np.testing.assert_array_equal(found().mask, expected.mask)
        assert (counted.masks, counted.registrations) == (times, times)


def test_an_entry_of_another_shape_is_not_used(counted: Counted) -> None:
    for shape in ((4, 4), (3, 3), (2, 8)):
        made = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
        result = cache.cached("x", [np.zeros(1)], shape, np.float64, lambda made=made: made)  # type: ignore[misc]
        cache._recent.clear()
        if shape != (2, 8):
            np.testing.assert_array_equal(result, made)


def test_a_cache_that_cannot_be_written_gives_one_warning(
    counted: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setattr(cache, "_has_warned", False)
    with caplog.at_level(logging.WARNING):
        found()
        found(values=HEAD + np.float32(1))
    assert [record.message.split(",")[0] for record in caplog.records] == [
        "Brain masks and registrations are not cached"
    ]
    found()  # kept in memory
    assert counted.masks == 2


def test_without_a_home_folder_nothing_is_kept_but_the_run_continues(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a container that runs as an unknown user."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("PRIMA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", home)
    monkeypatch.setattr(cache, "_has_warned", False)
    assert cache.cache_folder() is None
    assert found().mask is not None and counted.masks == 1
    assert "set PRIMA_CACHE" in caplog.text


def test_the_cache_is_in_the_folder_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PRIMA_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder() == tmp_path / "prima-features" / "anatomy"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.cache_folder() == Path.home() / ".cache" / "prima-features" / "anatomy"
    monkeypatch.setenv("PRIMA_CACHE", str(tmp_path / "p"))
    assert cache.cache_folder() == tmp_path / "p" / "anatomy"


def test_errors_are_not_cached(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> np.ndarray:
        raise SeriesError("failed")

    with monkeypatch.context() as patch:
        patch.setattr(find, "run_program", fail)
        with pytest.raises(SeriesError, match="failed"):
            found()
    assert found().mask is not None


def test_the_template_fits_itself_and_bounds_are_flagged() -> None:
    quality = assess(MASK, GRID.affine, np.eye(4))
    assert (quality.litres, quality.scale, quality.dice) == (pytest.approx(1.9, abs=0.01), 1.0, 1.0)
    assert not quality.flags
    assert assess(None, GRID.affine, None).flags == ()
    turned = np.diag([1.0, -1.0, 1.0, 1.0])
    assert assess(MASK, GRID.affine, turned).flags == (MNI_OVERLAP,)
    small = np.diag([0.5, 0.5, 0.5, 1.0])
    assert assess(MASK, small @ GRID.affine, np.linalg.inv(small)).flags == (BRAIN_VOLUME, MNI_SCALE)


def test_a_matrix_of_another_kind_is_flagged_by_the_overlap() -> None:
    """FSL's FLIRT matrices look the same, but their millimetres start at a corner of each image."""
    shift = np.eye(4)
    shift[:3, 3] = (-90, 126, 72)
    assert MNI_OVERLAP in assess(MASK, GRID.affine, shift).flags


def test_encoders_that_read_a_scan_together_share_what_is_found(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("_with_mask", "cached"):
        original = getattr(find, name)

        def called(*arguments: object, name: str = name, original: object = original) -> object:
            calls.append(name)
            return original(*arguments)  # type: ignore[operator]

        monkeypatch.setattr(find, name, called)
    with reading_once():
        one, other = found(), found()
        assert calls == ["_with_mask", "cached", "cached"]
        assert one.mask is other.mask
        with pytest.raises(ValueError, match="read-only"):
            other.mask[0] = False  # type: ignore[index]
        found(options=replace(AUTO, mask_tool="none"))
        assert calls.count("_with_mask") == 2


def test_a_mask_program_that_fails_runs_once_for_all_encoders(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []

    def fail(*arguments: object) -> np.ndarray:
        runs.append(1)
        raise SeriesError("failed")

    monkeypatch.setattr(find, "run_program", fail)
    with reading_once():
        for _ in range(3):
            with pytest.raises(SeriesError, match="failed"):
                found()
    assert len(runs) == 1
