"""Locations of lesions: names with MNI coordinates, and points under the skull."""

from __future__ import annotations

import numpy as np

from prima_features.synthetic.atlas import load_atlas
from prima_features.synthetic.atlas.load import COARSE

Point = tuple[float, float, float]

LOBES: dict[str, Point] = {
    "frontal lobe": (32, 32, 26),
    "temporal lobe": (46, -18, -16),
    "parietal lobe": (34, -48, 42),
    "occipital lobe": (26, -80, 10),
}
"""Middles on the right side, mm."""
DEEP: dict[str, Point] = {"basal ganglia": (25, 2, 4), "thalamus": (12, -18, 8)}
_MIDDLE = (0.0, -18.0, 12.0)
_SCATTER = 6.0


def draw_side(rng: np.random.Generator) -> int:
    """-1 for left, 1 for right."""
    return int(rng.choice((-1, 1)))


def draw_place(rng: np.random.Generator, places: dict[str, Point]) -> tuple[str, Point]:
    """A name, and a point near its middle on one side."""
    name = str(rng.choice(list(places)))
    x, y, z = np.array(places[name]) + rng.uniform(-_SCATTER, _SCATTER, 3)
    return name, (float(max(x, 6)) * draw_side(rng), float(y), float(z))


def under_skull(direction: Point, depth: float) -> Point:
    """The point `depth` mm under the skull in a direction from the middle of the head."""
    atlas = load_atlas()
    unit = np.array(direction) / np.linalg.norm(direction)
    steps = np.arange(20.0, 110.0)
    points = np.array(_MIDDLE) + steps[:, None] * unit
    step = atlas.spacing * COARSE
    first = np.array(atlas.origin) + atlas.spacing * (COARSE - 1) / 2
    at = np.round((points - first) / step).astype(int)
    limits = np.array(atlas.skull_depth.shape) - 1
    depths = atlas.skull_depth.numpy()[tuple(np.clip(at, 0, limits).T)]
    last = int(np.flatnonzero(depths > 0).max())
    x, y, z = np.array(_MIDDLE) + (steps[last] - depth) * unit
    return float(x), float(y), float(z)


def lobe_at(point: Point) -> str:
    """The nearest lobe."""
    x, y, z = point
    return min(LOBES, key=lambda name: float(np.linalg.norm(np.array(LOBES[name]) - (abs(x), y, z))))


def draw_seed(rng: np.random.Generator) -> int:
    """For the unevenness of a lesion's edge."""
    return int(rng.integers(2**31))


def draw_radii(rng: np.random.Generator, radius: float, spread: float = 0.2) -> Point:
    """Half axes of a body of about one radius."""
    x, y, z = radius * rng.uniform(1 - spread, 1 + spread, 3)
    return float(x), float(y), float(z)
