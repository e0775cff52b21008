"""From a scan to a stack of axial slices. Imports no torch.

Source: the baseline of the BrainDINO paper, as the benchmark MedARC-AI/brainmarks-smri describes it.
"""

from __future__ import annotations

from dataclasses import dataclass

import nibabel as nib
import numpy as np

from prima_features.anatomy.find import Anatomy, AnatomyOptions, find_anatomy
from prima_features.encoders.base import Prepared
from prima_features.encoders.brain_volume import record
from prima_features.encoders.picture import draw_series
from prima_features.encoders.resize import resize
from prima_features.errors import SeriesError
from prima_features.studies.study import Series
from prima_features.volumes import ReadOptions, read_series
from prima_features.volumes.resampling import stored_values
from prima_features.volumes.volume import Acquired, to_lps

SLICES, SIDE = 128, 224
_CLIP = (1.0, 99.0)
"""Percentiles of the voxels above 0."""
_FEWEST = 10
"""With fewer voxels above 0, all voxels count."""
_LEAST_SD = 1e-6
WHOLE_HEAD = "whole-head"
"""Flag: no brain mask was known, so the slices show skull and scalp."""


@dataclass(frozen=True)
class SlicesPreparer:
    """Reads a series and makes a stack of slices; an `encoders.base.Preparer`."""

    slices: int = SLICES
    """Every (128 / slices)-th of 128."""
    tokens_per_slice: int = 196
    anatomy: AnatomyOptions = AnatomyOptions()
    """How to find a brain mask."""

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series.

        Raises:
            SeriesError: it cannot be read or cannot be used.
        """
        acquired = read_series(series, options)
        anatomy = find_anatomy(series, *stored_values(acquired), self.anatomy)
        return self.from_acquired(acquired, anatomy, picture)

    def from_acquired(self, acquired: Acquired, anatomy: Anatomy, picture: bool = False) -> Prepared:
        """Prepare a series that has been read."""
        values, affine = stored_values(acquired)
        if anatomy.mask is not None:
            values = values * anatomy.mask
        ras = nib.apply_orientation(values, nib.io_orientation(affine))
        lps = to_lps(acquired.image)
        z, y, x = lps.values.shape
        brain, doubts = record(anatomy, affine)
        flags = () if anatomy.mask is not None else (WHOLE_HEAD,)
        return Prepared(
            arrays=stack(standardised(ras), self.slices),
            weight=self.slices,
            n_tokens=self.slices * self.tokens_per_slice,
            plane=lps.plane,
            shape=(z, y, x),
            spacing=lps.spacing,
            slice_axis_known_by=acquired.slice_axis_known_by,
            flags=(*acquired.flags, *flags, *doubts),
            picture=draw_series(acquired, lps, anatomy.mask) if picture else None,
            brain=brain,
        )


def standardised(values: np.ndarray) -> np.ndarray:
    """Clip to percentiles of the voxels above 0, and z-score by their mean and standard deviation after clipping.

    Clipping lifts a background of 0 to the 1st percentile, so it takes part in mean and standard deviation, and is
    negative afterwards. The mean and standard deviation of ImageNet are not used.

    Args:
        values: float32.

    Raises:
        SeriesError: nothing is left to scale.
    """
    inside = values > 0
    if inside.sum() < _FEWEST:
        inside = np.ones_like(inside)
    clipped = np.clip(values, *np.percentile(values[inside], _CLIP).astype(np.float32))
    inside = clipped > 0 if (clipped > 0).any() else np.ones_like(inside)
    mean, sd = clipped[inside].mean(dtype=np.float64), clipped[inside].std(dtype=np.float64)
    if clipped.min() == clipped.max():
        raise SeriesError("its voxels are all equal once the brightest and darkest percent are clipped")
    return ((clipped - mean) / max(sd, _LEAST_SD)).astype(np.float32)


def stack(values: np.ndarray, slices: int = SLICES) -> np.ndarray:
    """Slices (slices, 224, 224) float32 of a volume (x, y, z) towards Right, Anterior, Superior.

    Rows are x and columns are y. Interpolation is linear, with corners not aligned and without smoothing.
    """
    volume = values.transpose(2, 0, 1)
    along = resize(volume, (SLICES, *volume.shape[1:]), "linear")[:: SLICES // slices]
    return resize(along, (slices, SIDE, SIDE), "linear")
