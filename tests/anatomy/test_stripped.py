"""Scans that were already skull-stripped."""

from pathlib import Path

import numpy as np
import pytest
from brains import synthetic_head as synthetic
from brains import turned
from scipy import ndimage

from prima_features.anatomy.quality import litres
from prima_features.anatomy.stripped import STRIPPED, stripped_mask
from prima_features.studies.study import NiftiImage
from prima_features.volumes.nifti import read_nifti
from prima_features.volumes.resampling import Grid, resample, stored_values


def oblique(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Resampled after a turn of 17 degrees, with zeros in the corners."""
    return resample(values, affine, Grid(values.shape, affine), turned(17, (0, 0, 0), (1, 1, 1)))  # type: ignore[arg-type]


SEQUENCES = ("T1w", "T2w", "FLAIR", "DWI")


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_stripped_brains_are_recognised(sequence: str) -> None:
    one = synthetic(sequence)
    stripped = one.values * one.brain
    mask = stripped_mask(stripped, one.affine)
    assert mask is not None
    np.testing.assert_array_equal(mask, stripped != 0)
    assert 1.0 < litres(mask, one.affine) < 2.0
    assert stripped_mask(oblique(stripped.astype(np.float32), one.affine), one.affine) is not None
    brightest = (1000.0 / stripped.max()) * stripped
    assert stripped_mask(brightest, one.affine) is not None
    edges = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(int(edge[0]), int(edge[-1]) + 1) for edge in edges)
    assert stripped_mask(stripped[box], one.affine) is not None


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_whole_heads_are_not_stripped_whatever_surrounds_them(sequence: str) -> None:
    one = synthetic(sequence)
    masked = one.values * one.head
    n = masked.shape[2]
    heads = {
        "as acquired": one.values,
        "background set to 0": masked,
        "oblique": oblique(one.values, one.affine),
        "oblique, background set to 0": oblique(masked, one.affine),
        "lower half": masked[:, :, : n // 2],
        "upper half": masked[:, :, n // 2 :],
        "middle third": masked[:, :, n // 3 : 2 * n // 3],
        "defaced": np.where(np.arange(masked.shape[1])[:, None] < masked.shape[1] // 4, 0, masked),
    }
    for what, values in heads.items():
        assert stripped_mask(values, one.affine) is None, what


def test_real_scans_are_told_apart(scans: Path) -> None:
    found = {}
    for name in ("FLAIR", "orientations/SLA", "T2w_axial_2mm", "avg152T1_2mm", "dwi_b0_3mm"):
        acquired = read_nifti(NiftiImage(scans / "nifti" / f"{name}.nii.gz"))
        mask = stripped_mask(*stored_values(acquired))
        found[name] = "" if mask is None else STRIPPED
        if name == "T2w_axial_2mm":
            values, affine = stored_values(acquired)
            outline = ndimage.binary_fill_holes(values > 0.08 * np.percentile(values, 99))
            assert stripped_mask(values * outline, affine) is None
            tight = ndimage.binary_opening(outline, iterations=3)  # no larger than a generous brain mask
            assert stripped_mask(values * tight, affine) is None
    stripped = {name for name, known_from in found.items() if known_from == STRIPPED}
    assert stripped == {"FLAIR", "orientations/SLA"}


@pytest.mark.parametrize(("region", "is_stripped"), [("brain", True), ("head", False)])
def test_scores_below_0_are_understood(region: str, is_stripped: bool) -> None:
    one = synthetic("T1w")
    inside = getattr(one, region) & (one.values != 0)
    values = one.values[inside]
    scores = np.where(inside, (one.values - values.mean()) / values.std(), 0)
    assert (stripped_mask(scores, one.affine) is not None) == is_stripped
