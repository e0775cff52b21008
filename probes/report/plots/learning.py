"""How a metric grows with the number of training subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.probes.report.plots.palette import MAIN, MUTED, REFERENCE, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_learning(
    axes: Axes, size: np.ndarray, value: np.ndarray, low: np.ndarray, high: np.ndarray, baseline: float | None
) -> None:
    """A metric (P,) with the ends of its intervals by size of the training set (P,), and a baseline's number."""
    axes.fill_between(size, low, high, color=MAIN, alpha=0.15, linewidth=0)
    axes.plot(size, value, color=MAIN, marker="o", markersize=5)
    if baseline is not None and np.isfinite(baseline):
        axes.axhline(baseline, color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    axes.set_xlim(0, 1.05 * size.max())
    axes.grid(axis="y")
