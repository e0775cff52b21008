"""Forest plots: one value with its interval per row, for groups or sites."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.evaluation.intervals import Estimate
from prima_features.page.digits import brief
from prima_features.page.plots.canvas import INK, MAIN, MUTED, REFERENCE, line_style, shortened, width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONGEST = 34
_ROW, _TOP, _BOTTOM = 0.25, 0.3, 0.55
"""Inches: a row, and what is above and below the rows."""
_LETTER = 0.078
"""Inches that a letter needs."""
_WIDTH = 8.8
_RIGHT = 2.75
_REACH = 1.5


@dataclass(frozen=True)
class ForestRow:
    """A level with its number, or the heading of those that follow."""

    label: str
    estimate: Estimate | None = None
    """None for a heading."""
    n: int = 0


def forest_size(rows: list[ForestRow]) -> tuple[float, float]:
    """Width and height in inches."""
    return _WIDTH, _TOP + _ROW * len(rows) + _BOTTOM


def chance_in_reach(rows: list[ForestRow], overall: Estimate, chance: float) -> float | None:
    """Chance, or None if it is so far off that the axis would hold little but the way there."""
    low, high = _x_limits(rows, overall, None)
    return chance if low - _REACH * (high - low) <= chance else None


def draw_forest(
    figure: Figure, rows: list[ForestRow], overall: Estimate, axis: str, decimals: int, chance: float | None
) -> None:
    """Draw the rows with the overall number as a line, and chance if there is one.

    Args:
        figure: of `forest_size`.
        rows: from top to bottom.
        overall: of all rows together.
        axis: name of the number.
        decimals: digits after the point.
        chance: where to draw a dashed line, if anywhere.
    """
    figure.set_layout_engine("none")
    labels = [shortened(row.label, _LONGEST) for row in rows]
    left = max(1.0, 0.35 + _LETTER * max(width(label) for label in labels))
    _, height = forest_size(rows)
    span = (_WIDTH - left - _RIGHT) / _WIDTH
    axes = figure.add_axes((left / _WIDTH, _BOTTOM / height, span, _ROW * len(rows) / height))
    axes.axvspan(*_band(overall), color=MAIN, alpha=0.08, linewidth=0)
    axes.axvline(overall.value, color=MAIN, linewidth=1)
    if chance is not None:
        axes.axvline(chance, color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        _draw_row(axes, place, row, label, decimals, left)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(_x_limits(rows, overall, chance))
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(axis)
    _text(axes, 0.55, -0.85, "n", ha="right", color=MUTED)
    _text(axes, 0.8, -0.85, "Value (95% interval)", color=MUTED)


def _draw_row(axes: Axes, place: int, row: ForestRow, label: str, decimals: int, left: float) -> None:
    if row.estimate is None:
        _text(axes, 0.15 - left, place, label, side="left", weight="bold")
        return
    one = row.estimate
    _text(axes, 0.3 - left, place, label, side="left")
    _text(axes, 0.55, place, f"{row.n:,}", ha="right")
    _text(axes, 0.8, place, brief(one, decimals))
    if np.isfinite(one.value):
        axes.plot(_band(one), [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
        axes.plot(one.value, place, marker="s", color=MAIN, markersize=5)


def _text(axes: Axes, inches: float, place: float, text: str, side: str = "right", **style: Any) -> None:
    """Text some inches right of an edge of the axes, at the height of a row."""
    axes.annotate(
        text,
        (0.0 if side == "left" else 1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(72 * inches, 0),
        textcoords="offset points",
        va="center",
        annotation_clip=False,
        **style,
    )


def _band(estimate: Estimate) -> tuple[float, float]:
    low, high = estimate.ci_low, estimate.ci_high
    return (low, high) if np.isfinite(low) and np.isfinite(high) else (estimate.value, estimate.value)


def _x_limits(rows: list[ForestRow], overall: Estimate, chance: float | None) -> tuple[float, float]:
    ends = [_band(row.estimate) for row in rows if row.estimate is not None] + [_band(overall)]
    values = np.array([*np.ravel(ends), overall.value if chance is None else chance])
    values = values[np.isfinite(values)]
    margin = 0.05 * np.ptp(values) or 0.05 * abs(values[0]) or 1.0
    return float(values.min() - margin), float(values.max() + margin)
