"""Whether a volume looks like a whole head: flags, not failures.

Thresholds come from the measurements in docs/what-can-go-wrong.md.
"""

import re
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_closing, binary_erosion, binary_fill_holes, distance_transform_edt, label

from prima_features.volumes.volume import Volume

_COARSE, _FINE = 4, 2
"""Sampling step within a slice: for sizes, and for textures, which are measured in a few slices."""
_FEW_SLICES = 12
_SHORTEST = 80.0
"""mm; a head measures at least 110 along each axis, and an axial stack of 20 slices of 4 mm covers most of a brain."""
_HEAD = (110.0, 350.0)
"""mm, the longest side of a whole head, or of a brain alone."""
_LEAST_VOLUME = 0.4
"""Least litres of foreground in a whole head, or in a brain alone (0.9 to 2.3)."""
_CUT = 0.5
"""Foreground at both ends of an in-plane axis, relative to the largest cross-section."""
_BLANK_AREA, _BLANK_SHARE = 0.002, 0.3
_UNIFORM, _BARE = 0.09, 0.2
"""Largest spread of a phantom's interior around a quadratic surface, relative to its median, and largest `ring`. Heads
with a ring below 0.2 have a spread of at least 0.117; phantoms have 0.02 to 0.07, and no ring."""
_CORRELATED = 0.2
"""Correlation of samples 4 to 5 mm apart. Heads 0.7 to 0.97, noise 0."""
_STRIPPED_BACKGROUND, _STRIPPED_RING, _STRIPPED_VOLUME = 0.8, 0.05, 2.6
_ZEROED_FACE, _ZEROED_REST = 0.9, 0.6
_OUTLIER = 50.0
"""Maximum relative to the 99.9th percentile. Heads 1 to 6."""
_MAPS = re.compile(
    r"(?<![a-z])([a-z]?adc|fa|trace\w*|dwi|dti|diff\w*|dki|b_?\d{2,4}|bold|epi|ep2d|asl|cbf)(?![a-z])"
)
"""Names of images without a scalp: diffusion, and maps computed from it."""


@dataclass(frozen=True)
class Appearance:
    """Measurements of a volume in LPS."""

    n_slices: int
    field: np.ndarray
    """(3,) mm along (z, y, x)."""
    extent: np.ndarray
    """(3,) mm, of the foreground."""
    litres: float
    """Of foreground."""
    ends: np.ndarray
    """(3, 2) cross-section of the foreground at the first and last sample of each axis, relative to the largest."""
    entropy: float
    """Bits, of the foreground in 64 bins. For the table in the documentation; no flag depends on it."""
    blank: np.ndarray
    """(slices,) bool."""
    background: float
    """Fraction of the background that equals its median."""
    correlation: float
    uniformity: float
    """See `_UNIFORM`."""
    ring: float
    """Fraction of dark samples 3 to 15 mm below the outline: air, bone and cerebrospinal fluid under the scalp."""
    zeroed: tuple[float, float]
    """Fraction of the background that equals the lowest value: in front of and below the brain, and elsewhere."""
    outlier: float


def check_brain(volume: Volume, name: str = "") -> tuple[str, ...]:
    """Flags of a volume that does not look like a whole head.

    `few-slices`, `cropped` (a slab below 80 mm, or a head that is cut at both sides of its slices), `blank-slices`
    (between others, or more than 30%), `noise-like`, `phantom-like`, `not-head-sized`, `skull-stripped`, `defaced` (the
    face is filled with one value) and `outlier-voxels`.

    Args:
        volume: resampled, in LPS.
        name: of the series. Diffusion images and their maps have no scalp, and are never called skull-stripped.
    """
    found = measure(volume)
    flags = []
    is_cropped = _is_cropped(found, volume.slice_axis)
    if found.n_slices < _FEW_SLICES:
        flags.append("few-slices")
    if is_cropped:
        flags.append("cropped")
    inside = np.flatnonzero(~found.blank)
    if not inside.size or found.blank[inside[0] : inside[-1]].any() or found.blank.mean() > _BLANK_SHARE:
        flags.append("blank-slices")
    if found.correlation < _CORRELATED:
        return (*flags, "noise-like")
    if found.uniformity < _UNIFORM and found.ring < _BARE:
        flags.append("phantom-like")
    low, high = _HEAD
    if not is_cropped and (not low <= found.extent.max() <= high or found.litres < _LEAST_VOLUME):
        flags.append("not-head-sized")
    if found.outlier > _OUTLIER:
        flags.append("outlier-voxels")
    if not flags and not _MAPS.search(name.lower()):
        if (
            found.background > _STRIPPED_BACKGROUND
            and found.ring < _STRIPPED_RING
            and found.litres < _STRIPPED_VOLUME
        ):
            flags.append("skull-stripped")
        elif found.zeroed[0] > _ZEROED_FACE and found.zeroed[1] < _ZEROED_REST:
            flags.append("defaced")
    return tuple(flags)


def measure(volume: Volume) -> Appearance:
    """Measure a volume (see `Appearance`)."""
    axis = volume.slice_axis
    coarse = _thinned(volume, _COARSE)
    sizes = np.array([s * (1 if i == axis else _COARSE) for i, s in enumerate(volume.spacing)])
    top, most = np.percentile(_sample(coarse), [99.5, 99.9])
    threshold = _threshold(coarse, axis, float(top))
    mask = coarse > threshold
    profiles = [mask.sum(axis=tuple(b for b in range(3) if b != a)) for a in range(3)]
    areas = [max(int(profile.max()), 1) for profile in profiles]
    rows = [np.flatnonzero(profile > 0.05 * area) for profile, area in zip(profiles, areas, strict=True)]
    extent = [(r[-1] - r[0] + 1) * s if r.size else 0.0 for r, s in zip(rows, sizes, strict=True)]
    background, inside = _sample(coarse[~mask]), _sample(coarse[mask])
    along = np.moveaxis(coarse, axis, 0)
    along = along[:: max(1, len(along) // 16)]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.corrcoef(along[:, :-1].ravel(), along[:, 1:].ravel())[0, 1]
    uniformity, ring = _textures(volume, profiles[axis], threshold)
    return Appearance(
        n_slices=volume.values.shape[axis],
        field=np.array(coarse.shape) * sizes,
        extent=np.array(extent),
        litres=float(mask.sum() * np.prod(sizes) / 1e6),
        ends=np.array([[p[0] / a, p[-1] / a] for p, a in zip(profiles, areas, strict=True)]),
        entropy=_entropy(inside, threshold, float(top)),
        blank=profiles[axis] < _BLANK_AREA * mask.size / mask.shape[axis],
        background=float((background == np.median(background)).mean()) if background.size else 0.0,
        correlation=float(correlation) if np.isfinite(correlation) else 1.0,
        uniformity=uniformity,
        ring=ring,
        zeroed=_zeroed(coarse, mask, rows),
        outlier=float(volume.values.max()) / max(float(most), 1e-30),
    )


def _is_cropped(found: Appearance, slice_axis: int) -> bool:
    in_plane = [a for a in range(3) if a != slice_axis]
    return bool((found.field < _SHORTEST).any() or (found.ends[in_plane].min(axis=1) > _CUT).any())


def _thinned(volume: Volume, step: int) -> np.ndarray:
    """Every `step`-th sample of each slice, as float32."""
    where = tuple(slice(None) if a == volume.slice_axis else slice(None, None, step) for a in range(3))
    return volume.values[where].astype(np.float32)


def _sample(values: np.ndarray) -> np.ndarray:
    """Some 50,000 of the values, evenly spread, for percentiles."""
    return values.ravel()[:: max(1, values.size // 50_000)]


def _threshold(coarse: np.ndarray, slice_axis: int, top: float) -> float:
    """A value above the noise of air, which is at the borders of a slice unless an image is cropped."""
    borders = np.moveaxis(coarse, slice_axis, 0)
    edge = np.concatenate([borders[:, [0, -1]].ravel(), borders[:, :, [0, -1]].ravel()])
    return min(max(2.5 * float(np.median(edge)), 0.12 * top), 0.3 * top)


def _entropy(inside: np.ndarray, low: float, high: float) -> float:
    if not inside.size or high <= low:
        return 0.0
    share = np.histogram(np.minimum(inside, high), 64, (low, high))[0] / inside.size
    share = share[share > 0]
    return float(-(share * np.log2(share)).sum())


def _textures(volume: Volume, profile: np.ndarray, threshold: float) -> tuple[float, float]:
    """`uniformity` and `ring`, in about four of the third of the slices with the most foreground."""
    largest = np.argsort(profile)[::-1][: max(3, len(profile) // 3)]
    chosen = np.sort(largest[:: max(1, len(largest) // 4)])
    sizes = [_FINE * s for a, s in enumerate(volume.spacing) if a != volume.slice_axis]
    slices = np.moveaxis(volume.values, volume.slice_axis, 0)
    values, places, dark, n = [], [], 0, 0
    for number in chosen:
        plane = slices[number, ::_FINE, ::_FINE].astype(np.float32)
        mask = plane > threshold
        interior = binary_erosion(mask, iterations=3)
        values.append(plane[interior])
        places.append(np.column_stack([np.full(interior.sum(), number), np.argwhere(interior)]))
        outline = _largest(binary_fill_holes(binary_closing(mask, iterations=2)))
        if outline.sum() < 50:
            continue
        depth = distance_transform_edt(np.pad(outline, 1), sampling=sizes)[1:-1, 1:-1]
        band = (depth > 3) & (depth < 15)
        core = plane[depth > 20]
        dark += int((plane[band] < 0.4 * np.median(core if core.size else plane[outline])).sum())
        n += int(band.sum())
    return _spread(np.concatenate(values), np.concatenate(places)), dark / n if n else 1.0


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, n = label(mask)
    return parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1 if n > 1 else mask


def _spread(values: np.ndarray, places: np.ndarray) -> float:
    """Robust spread around a quadratic surface (a coil's sensitivity), relative to the median; 1 if too few."""
    if len(values) < 200:
        return 1.0
    step = max(1, len(values) // 4000)
    values, places = values[::step], places[::step].astype(float)
    c = places - places.mean(axis=0)
    c /= np.maximum(np.abs(c).max(axis=0), 1)
    z, y, x = c.T
    terms = np.column_stack([np.ones(len(c)), c, c**2, z * y, z * x, y * x])
    weight = np.ones(len(values))
    for _ in range(4):  # least absolute deviations, so that inserts of a phantom do not count
        fit = np.linalg.lstsq(terms * weight[:, None], values * weight, rcond=None)[0]
        rest = np.abs(values - terms @ fit)
        weight = 1 / np.sqrt(np.maximum(rest, 0.1 * np.median(rest) + 1e-12))
    return float(1.48 * np.median(rest) / max(abs(float(np.median(values))), 1e-30))


def _zeroed(coarse: np.ndarray, mask: np.ndarray, rows: list[np.ndarray]) -> tuple[float, float]:
    """See `Appearance.zeroed`."""
    if any(r.size < 8 for r in rows[:2]):
        return 0.0, 1.0
    (bottom, top), (front, back) = ((r[0], r[-1]) for r in rows[:2])
    z, y = np.arange(mask.shape[0])[:, None, None], np.arange(mask.shape[1])[None, :, None]
    x = np.arange(mask.shape[2])[None, None, :]
    left, right = (rows[2][0], rows[2][-1]) if rows[2].size else (0, mask.shape[2] - 1)
    face = (z >= bottom) & (z < bottom + (top - bottom) // 3)
    face = face & (y <= front + (back - front) // 5) & (y >= front - 4) & (x >= left) & (x <= right)
    air, lowest = ~mask, coarse == coarse.min()
    return tuple(
        float(lowest[region].mean()) if region.any() else default
        for region, default in ((face & air, 0.0), (air & ~face, 1.0))
    )  # type: ignore[return-value]
