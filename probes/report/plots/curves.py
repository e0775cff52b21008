"""ROC and precision-recall curves, one a class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.probes.report.plots.palette import COLOURS, DASHES, MUTED, REFERENCE, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ClassScores:
    """The probability of one class, for all N rows that count."""

    name: str
    positive: np.ndarray
    """(N,) whether the row is of the class."""
    probability: np.ndarray
    """(N,)."""
    place: int = 0
    """Which colour and dashes it has."""

    @property
    def colour(self) -> str:
        """Its colour in all figures."""
        return COLOURS[self.place % len(COLOURS)]

    @property
    def dashes(self) -> str:
        """Its dashes in all figures."""
        return DASHES[self.place % len(DASHES)]


def draw_roc(axes: Axes, classes: list[ClassScores]) -> None:
    """Sensitivity against 1 less specificity, with the line of chance."""
    from sklearn.metrics import roc_curve

    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    for one in classes:
        alarms, hits, _ = roc_curve(one.positive, one.probability)
        axes.plot(alarms, hits, color=one.colour, linestyle=line_style(one.dashes))
    _frame_unit_square(axes)
    axes.set_xlabel("1 \u2212 specificity")
    axes.set_ylabel("Sensitivity")


def draw_operating_point(axes: Axes, positive: np.ndarray, called: np.ndarray) -> None:
    """Where the rule chosen in training lies: (N,) truth and decision of the positive class."""
    axes.plot(
        called[~positive].mean(),
        called[positive].mean(),
        marker="o",
        markersize=7,
        markerfacecolor="white",
        markeredgecolor=COLOURS[0],
        markeredgewidth=1.8,
    )


def draw_precision_recall(axes: Axes, classes: list[ClassScores]) -> None:
    """Precision against recall in steps, with each class's prevalence, which is chance."""
    from sklearn.metrics import precision_recall_curve

    for one in classes:
        precision, recall, _ = precision_recall_curve(one.positive, one.probability)
        colour = MUTED if len(classes) == 1 else one.colour
        axes.axhline(one.positive.mean(), color=colour, linewidth=1, linestyle=line_style(REFERENCE))
        axes.plot(
            recall, precision, color=one.colour, linestyle=line_style(one.dashes), drawstyle="steps-post"
        )
    _frame_unit_square(axes)
    axes.set_xlabel("Recall (sensitivity)")
    axes.set_ylabel("Precision")


def _frame_unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
