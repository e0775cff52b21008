"""Scatter plots: predicted against true values, the age gap, and points in two dimensions coloured by a variable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.page.plots.canvas import (
    COLOURS,
    MAIN,
    MANY_POINTS,
    MUTED,
    OTHER,
    REFERENCE,
    SECOND,
    line_style,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCALE = "viridis"
Limits = tuple[float, float]


def limits_of(*values: np.ndarray) -> Limits:
    """Axis limits that hold all finite numbers, with a margin."""
    joined = np.concatenate([np.ravel(one) for one in values])
    joined = joined[np.isfinite(joined)]
    low, high = (float(joined.min()), float(joined.max())) if len(joined) else (0.0, 1.0)
    margin = 0.04 * (high - low) or 1.0
    return low - margin, high + margin


def draw_agreement(axes: Axes, truth: np.ndarray, predicted: np.ndarray, limits: Limits) -> None:
    """Predicted (N,) against true (N,) numbers, with the line on which they are the same."""
    axes.plot(limits, limits, color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    draw_cloud(axes, truth, predicted, MAIN)
    axes.set_xlim(limits)
    axes.set_ylim(limits)
    axes.set_aspect("equal")
    axes.locator_params(nbins=7)


def draw_gap(axes: Axes, age: np.ndarray, gap: np.ndarray, limits: Limits) -> None:
    """The gap (N,) by age (N,), both in years, with the line of least squares through it."""
    axes.axhline(0, color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    draw_cloud(axes, age, gap, MAIN)
    if np.ptp(age) > 0:
        slope, intercept = np.polyfit(age, gap, 1)
        ends = np.array([age.min(), age.max()])
        axes.plot(ends, slope * ends + intercept, color=SECOND, linewidth=2)
    axes.set_xlim(limits_of(age))
    axes.set_ylim(limits)
    axes.set_xlabel("True age, years")


def draw_cloud(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Points that stay legible where they overlap."""
    axes.scatter(
        x,
        y,
        s=14 if len(x) < 500 else 7,
        color=colour,
        alpha=0.6 if len(x) < 500 else 0.35,
        linewidths=0,
        rasterized=len(x) > MANY_POINTS,
    )


def leading(names: np.ndarray) -> list[str]:
    """The commonest of (n,) names that get a colour of their own, the most frequent first; `` never does."""
    found, counts = np.unique(names[names != ""], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [str(name) for name in found[order][: len(COLOURS)]]


def draw_by_name(axes: Axes, points: np.ndarray, names: np.ndarray, coloured: list[str]) -> None:
    """Points (n, 2) in the colours of their (n,) names, all others in grey."""
    place = {name: i for i, name in enumerate(coloured)}
    colours = np.array([COLOURS[place[name]] if name in place else OTHER for name in names.tolist()])
    _draw_points(axes, points, c=colours)


def draw_by_number(axes: Axes, points: np.ndarray, values: np.ndarray) -> None:
    """Points (n, 2) coloured by (n,) numbers, from low to high as `number_colours`."""
    _draw_points(axes, points, c=values, cmap=_SCALE)


def number_colours(n: int = 12) -> tuple[str, ...]:
    """Hexadecimal colours from the lowest number to the highest."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return tuple(to_hex(colour) for colour in colormaps[_SCALE](np.linspace(0, 1, n)))


def _draw_points(axes: Axes, points: np.ndarray, c: np.ndarray, **style: Any) -> None:
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
