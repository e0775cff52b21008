"""Points in two dimensions, coloured by a name or by a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.probes.report.plots.canvas import MANY_POINTS
from prima_features.probes.report.plots.palette import COLOURS, OTHER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCALE = "viridis"


def leading(names: np.ndarray) -> list[str]:
    """The commonest of (n,) names that get a colour of their own, the most frequent first; `` never does."""
    found, counts = np.unique(names[names != ""], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [str(name) for name in found[order][: len(COLOURS)]]


def draw_by_name(axes: Axes, points: np.ndarray, names: np.ndarray, coloured: list[str]) -> None:
    """Points (n, 2) in the colours of their (n,) names, all others in grey."""
    place = {name: i for i, name in enumerate(coloured)}
    colours = np.array([COLOURS[place[name]] if name in place else OTHER for name in names.tolist()])
    _draw(axes, points, c=colours)


def draw_by_number(axes: Axes, points: np.ndarray, values: np.ndarray) -> None:
    """Points (n, 2) coloured by (n,) numbers, from low to high as `number_colours`."""
    _draw(axes, points, c=values, cmap=_SCALE)


def number_colours(n: int = 12) -> tuple[str, ...]:
    """Hexadecimal colours from the lowest number to the highest."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return tuple(to_hex(colour) for colour in colormaps[_SCALE](np.linspace(0, 1, n)))


def _draw(axes: Axes, points: np.ndarray, c: np.ndarray, **style: Any) -> None:
    # In a random order, so that no group lies on all others.
    order = np.random.default_rng(0).permutation(len(points))
    axes.scatter(
        points[order, 0],
        points[order, 1],
        c=c[order],
        s=14 if len(points) < 500 else 7,
        alpha=0.7,
        linewidths=0,
        rasterized=len(points) > MANY_POINTS,
        **style,
    )
    axes.set_aspect("equal", adjustable="datalim")
