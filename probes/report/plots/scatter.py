"""Predicted against true numbers, and the gap between them by age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.probes.report.plots.canvas import MANY_POINTS
from prima_features.probes.report.plots.palette import MAIN, MUTED, REFERENCE, SECOND, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    """Points that stay legible where they lie on each other."""
    axes.scatter(
        x,
        y,
        s=14 if len(x) < 500 else 7,
        color=colour,
        alpha=0.6 if len(x) < 500 else 0.35,
        linewidths=0,
        rasterized=len(x) > MANY_POINTS,
    )
