"""Which volumes are flagged as something other than a whole head."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from prima_features.encoders.prima.prepare import read_volume
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import Volume
from prima_features.volumes.brain_check import check_brain

Edit = Callable[[np.ndarray], None]


@pytest.fixture(scope="module")
def head(scans: Path) -> Volume:
    """A whole head: axial T2w, 60 slices of 2 mm."""
    return read_volume(Series("T2w", NiftiImage(scans / "nifti" / "T2w_axial_2mm.nii.gz")))


def phantom(kind: str, noise: float = 15.0) -> Volume:
    """A phantom of 30 slices of 5 mm, 240 mm wide."""
    z, y, x = np.ogrid[-1:1:30j, -1:1:256j, -1:1:256j]
    shape = {
        "ball": x**2 + y**2 + z**2 < 0.7,
        "bottle": (x**2 + y**2 < 0.5) & (np.abs(z) < 0.9),
        "marble": x**2 + y**2 + (z / 1.6) ** 2 < 0.04,
    }[kind.removesuffix(" under a surface coil").removesuffix(" with inserts")]
    values = 600.0 * shape
    if kind.endswith("coil"):
        values = values * (1 + 0.3 * x + 0.2 * y - 0.2 * (x**2 + y**2))
    if kind.endswith("inserts"):
        for i in range(6):
            values = np.where(
                shape & ((x - 0.4 * np.cos(i)) ** 2 + (y - 0.4 * np.sin(i)) ** 2 < 0.02), 100 * i, values
            )
    noisy = np.abs(values + np.random.default_rng(0).normal(0, noise, values.shape))
    return Volume(noisy.astype(np.int16), (5.0, 0.94, 0.94), 0)


PHANTOMS = ("ball", "bottle", "ball under a surface coil", "bottle with inserts")


@pytest.mark.parametrize("kind", PHANTOMS)
def test_a_phantom_is_phantom_like(kind: str) -> None:
    assert check_brain(phantom(kind)) == ("phantom-like",)


def test_a_small_object_is_not_head_sized() -> None:
    assert "not-head-sized" in check_brain(phantom("marble"))


def test_a_whole_head_has_no_flag_whatever_the_scale_and_the_noise(head: Volume) -> None:
    assert check_brain(head) == ()
    for factor in (1e-4, 1e3):
        assert check_brain(replace(head, values=head.values * np.float32(factor))) == ()
    noise = np.abs(np.random.default_rng(0).normal(0, 60, head.values.shape))
    assert check_brain(replace(head, values=np.hypot(head.values, noise))) == ()


def blank(*rows: int) -> Edit:
    def edit(values: np.ndarray) -> None:
        values[list(rows)] = 0

    return edit


def strip(values: np.ndarray) -> None:
    """A smooth brain of two tissues in a background of zeros."""
    z, y, x = (np.linspace(-1, 1, n) for n in values.shape)
    radius = (z[:, None, None] / 0.9) ** 2 + (y[:, None] / 0.6) ** 2 + (x / 0.5) ** 2
    tissue = gaussian_filter(np.random.default_rng(0).normal(size=values.shape), (1, 6, 6))
    values[:] = np.where(radius < 1, 500 + 200 * (tissue > 0), 0)


def deface(values: np.ndarray) -> None:
    values[:30, :90] = 0


EDITS: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "a slice that was lost": (blank(30), ("blank-slices",)),
    "half of all slices": (blank(*range(30, 60)), ("blank-slices",)),
    "a few at the end": (blank(58, 59), ()),
    "noise": (
        lambda v: np.copyto(v, np.random.default_rng(0).integers(0, 900, v.shape)),
        ("cropped", "noise-like"),
    ),
    "a hot voxel": (lambda v: v.__setitem__((5, 5, 5), 1e9), ("outlier-voxels",)),
    "skull stripped": (strip, ("skull-stripped",)),
    "defaced": (deface, ("defaced",)),
}


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_head_is_flagged(head: Volume, name: str) -> None:
    edit, flags = EDITS[name]
    values = head.values.astype(np.float32)
    edit(values)
    assert check_brain(replace(head, values=values)) == flags


def test_a_part_of_a_head_is_cropped(head: Volume) -> None:
    assert check_brain(replace(head, values=head.values[20:30])) == ("few-slices", "cropped")
    assert check_brain(replace(head, values=head.values[10:40])) == ("cropped",)
    inner = np.repeat(np.repeat(head.values[:, 64:192, 64:192], 2, axis=1), 2, axis=2)
    assert "cropped" in check_brain(Volume(inner, (2.0, 0.44, 0.44), 0))


def test_a_stripped_brain_is_known_by_its_voxels_and_a_diffusion_map_by_its_name(scans: Path) -> None:
    volume = read_volume(Series("FLAIR", NiftiImage(scans / "nifti" / "FLAIR.nii.gz")))
    assert check_brain(volume, "FLAIR") == ("skull-stripped",)
    for name in ("AX_ADC", "dwi_b1000", "ep2d_diff_TRACEW", "DTI_FA"):
        assert check_brain(volume, name) == ()


@pytest.mark.parametrize("values", [np.zeros((20, 256, 256)), np.full((20, 256, 256), -5)])
def test_odd_values_break_nothing(values: np.ndarray) -> None:
    for kind in (np.float32, np.int16):
        assert "blank-slices" in check_brain(Volume(values.astype(kind), (5.0, 1.0, 1.0), 0))
