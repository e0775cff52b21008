"""ROC, precision-recall and calibration curves, one per class, and learning curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.plots.canvas import COLOURS, DASHES, MAIN, MUTED, OTHER, REFERENCE, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS_PER_BIN = 15
_MOST_BINS = 10
_BARS = 20


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


def draw_decision_curve(
    axes: Axes,
    one: ClassScores,
    thresholds: np.ndarray,
    model: np.ndarray,
    everyone: np.ndarray | None = None,
) -> None:
    """Net benefit against the threshold: (T, 3) value and interval of the model, (T,) of treating everyone."""
    axes.axhline(0, color=MUTED, linewidth=1)
    if everyone is not None:
        axes.plot(thresholds, everyone, color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    axes.fill_between(thresholds, model[:, 1], model[:, 2], color=one.colour, alpha=0.12, linewidth=0)
    axes.plot(thresholds, model[:, 0], color=one.colour, linestyle=line_style(one.dashes))
    top = max(float(np.nanmax(model)), axes.get_ylim()[1] if everyone is None else 0.0)
    axes.set_ylim(-0.25 * top if top > 0 else -0.05, 1.1 * top if top > 0 else 0.05)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Threshold probability")
    axes.set_ylabel("Net benefit")


def _frame_unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))


@dataclass(frozen=True)
class ReliabilityBins:
    """Rows in bins of equal numbers, by their probability."""

    predicted: np.ndarray
    """(b,) mean probability."""
    observed: np.ndarray
    """(b,) share of rows that are of the class."""
    low: np.ndarray
    """(b,) lower end of the share's 95% Wilson interval."""
    high: np.ndarray


def reliability_bins(positive: np.ndarray, probability: np.ndarray) -> ReliabilityBins:
    """At most 10 bins of 15 rows or more, of (N,) truth and probabilities. Ties are not cut."""
    from scipy.stats import binomtest

    n_bins = int(np.clip(len(positive) // _ROWS_PER_BIN, 1, _MOST_BINS))
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, n_bins + 1)[1:-1]))
    place = np.digitize(probability, edges)
    rows = []
    for code in np.unique(place):
        inside = place == code
        share = binomtest(int(positive[inside].sum()), int(inside.sum())).proportion_ci(method="wilson")
        rows.append((probability[inside].mean(), positive[inside].mean(), share.low, share.high))
    return ReliabilityBins(*np.array(rows).T)


def draw_reliability(axes: Axes, classes: list[ClassScores]) -> None:
    """Observed share against mean probability of each bin, with the line on which they are the same."""
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    for one in classes:
        bins = reliability_bins(one.positive, one.probability)
        below, above = bins.observed - bins.low, bins.high - bins.observed
        axes.errorbar(
            bins.predicted,
            bins.observed,
            yerr=np.maximum([below, above], 0),
            color=one.colour,
            linestyle=line_style(one.dashes),
            linewidth=1.2,
            elinewidth=0.8,
            ecolor=(one.colour, 0.5),
            marker="o",
            markersize=4.5,
        )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.set_ylabel("Observed share")


def draw_histogram(axes: Axes, classes: list[ClassScores]) -> None:
    """How many rows have each probability: of one class in two shades by truth, of more as outlines."""
    edges = np.linspace(0, 1, _BARS + 1).tolist()
    if len(classes) == 1:
        (one,) = classes
        parts = [one.probability[~one.positive], one.probability[one.positive]]
        axes.hist(parts, bins=edges, stacked=True, color=[OTHER, one.colour], rwidth=0.92)
    else:
        for one in classes:
            axes.hist(
                one.probability,
                bins=edges,
                histtype="step",
                color=one.colour,
                linestyle=line_style(one.dashes),
            )
    axes.set_ylabel("Studies")
    axes.locator_params(axis="y", nbins=3, integer=True)
    axes.set_xlabel("Predicted probability")


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
