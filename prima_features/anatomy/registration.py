"""Affine registration of a skull-stripped scan to MNI152, by SimpleITK.

Rigid from the centres of both brains, then 12 parameters; mutual information (Mattes, 32 bins) of seeded random samples
in and around the template's brain; coarse to fine, at 2 mm in the end. One thread, so results are reproducible.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from prima_features.anatomy.template import template
from prima_features.errors import SeriesError
from prima_features.volumes.resampling import Grid, resample

VERSION = 1
"""To be raised with each change that changes results: it is part of the cache's keys."""
REGISTERED = f"SimpleITK {VERSION}"
"""`Anatomy.to_mni_from` of a scan that was registered here."""
_STEP = 2.0
"""mm between the samples of the scan that is registered."""
_SHRINK, _SAMPLES = (4, 2, 1), (1.0, 0.5, 0.2)
"""By level: factor relative to the template's 2 mm, and fraction of the voxels that are sampled."""
_RIGID_LEVELS = 2
_AROUND = 3
"""Voxels around the template's brain that are sampled."""
_BINS, _SEED = 32, 1
_STEP_LENGTH, _LEAST_STEP, _MOST_STEPS = 1.0, 1e-3, 100
"""mm and mm, of the optimiser, and its iterations at each level."""
_WINDOW, _DARKEST = (1.0, 99.0), 0.05
"""Percentiles of the brain that become the darkest and the brightest value, 1; the background is 0."""
_FEWEST = 1000


def register(values: np.ndarray, affine: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Register a scan to MNI152.

    Args:
        values: (i, j, k) float32.
        affine: (4, 4), voxel indices to mm in RAS.
        mask: (i, j, k) bool, True in the brain: a whole head would be fitted to the template's brain.

    Returns:
        (4, 4) float64, from the scan to MNI152, mm in RAS.

    Raises:
        SeriesError: the registration failed.
    """
    brain, grid = _reduced(values, affine, mask)
    moving, (fixed, around) = _image(brain, grid), _fixed()
    middle = _centre(*template())
    try:
        transform: sitk.Transform = sitk.Euler3DTransform()
        transform.SetCenter(middle.tolist())  # type: ignore[attr-defined]
        transform.SetTranslation((_centre(brain, grid) - middle).tolist())  # type: ignore[attr-defined]
        _optimise(fixed, around, moving, transform, _RIGID_LEVELS)
        rotation = sitk.Euler3DTransform(transform)
        general = sitk.AffineTransform(3)
        general.SetCenter(rotation.GetCenter())
        general.SetMatrix(rotation.GetMatrix())
        general.SetTranslation(rotation.GetTranslation())
        _optimise(fixed, around, moving, general, len(_SHRINK))
        from_mni = np.eye(4)
        from_mni[:3, :3] = np.reshape(general.GetMatrix(), (3, 3))
        from_mni[:3, 3] = general.TransformPoint((0.0, 0.0, 0.0))
        return np.linalg.inv(from_mni)
    except (RuntimeError, np.linalg.LinAlgError) as error:
        raise SeriesError(
            "it cannot be registered to MNI152",
            hint="check its brain mask, or give a transform; --encoder-option registration=none leaves it out",
        ) from error


def _reduced(values: np.ndarray, affine: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, Grid]:
    """The brain with values from 0.05 to 1 and a background of 0, at 2 mm along R, A and S."""
    if mask.sum() < _FEWEST:
        raise SeriesError("its brain mask is too small to register", hint="give another mask, or a transform")
    low, high = np.percentile(values[mask], _WINDOW)
    scaled = np.clip((values - low) / max(high - low, 1e-12), 0, 1) * (1 - _DARKEST) + _DARKEST
    scaled = np.where(mask, scaled, 0).astype(np.float32)
    # Means over blocks first, since interpolation alone would skip voxels.
    sides = np.linalg.norm(affine[:3, :3], axis=0)
    block = np.clip(np.floor(_STEP / sides + 1e-3), 1, scaled.shape).astype(int)
    n = np.array(scaled.shape) // block
    cut = scaled[tuple(slice(0, size) for size in n * block)]
    means = cut.reshape(n[0], block[0], n[1], block[1], n[2], block[2]).mean(axis=(1, 3, 5))
    step = np.diag([*block, 1.0])
    step[:3, 3] = (block - 1) / 2
    forward = affine @ step
    points = np.argwhere(means > 0) @ forward[:3, :3].T + forward[:3, 3]
    first, last = points.min(0) - 3 * _STEP, points.max(0) + 3 * _STEP
    x, y, z = np.ceil((last - first) / _STEP).astype(int).tolist()
    target = np.diag([_STEP, _STEP, _STEP, 1.0])
    target[:3, 3] = first
    grid = Grid((x + 1, y + 1, z + 1), target)
    return resample(means, forward, grid), grid


def _image(values: np.ndarray, grid: Grid) -> sitk.Image:
    """An image in whose coordinates x, y, z are R, A, S, unlike ITK's own."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(), np.float32))
    image.SetSpacing(np.diag(grid.affine)[:3].tolist())
    image.SetOrigin(grid.affine[:3, 3].tolist())
    return image


@cache
def _fixed() -> tuple[sitk.Image, sitk.Image]:
    """The template, and where it is sampled."""
    values, grid = template()
    around = ndimage.binary_dilation(values > 0, iterations=_AROUND)
    return _image(values, grid), sitk.Cast(_image(around, grid), sitk.sitkUInt8)


def _centre(values: np.ndarray, grid: Grid) -> np.ndarray:
    """(3,) mm, of the voxels above 0."""
    return np.argwhere(values > 0).mean(0) @ grid.affine[:3, :3].T + grid.affine[:3, 3]


def _optimise(
    fixed: sitk.Image, around: sitk.Image, moving: sitk.Image, transform: sitk.Transform, levels: int
) -> None:
    """Change a transform until the mutual information no longer increases."""
    method = sitk.ImageRegistrationMethod()
    # Sums over several work units would be added in any order, even in one thread.
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricFixedMask(around)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentagePerLevel(_SAMPLES[:levels], _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        _STEP_LENGTH, _LEAST_STEP, _MOST_STEPS, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(_SHRINK[:levels])
    method.SetSmoothingSigmasPerLevel([0.0 if factor == 1 else float(factor) for factor in _SHRINK[:levels]])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
