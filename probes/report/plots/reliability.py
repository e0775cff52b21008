"""Whether probabilities mean what they say: observed shares by predicted probability."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.probes.report.plots.curves import ClassScores
from prima_features.probes.report.plots.palette import MUTED, OTHER, REFERENCE, line_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROWS_PER_BIN = 15
_MOST_BINS = 10
_BARS = 20


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
