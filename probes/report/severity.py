"""Predictions of ordered classes by threshold, and of counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Block, Cell, Figure, Key, Prose, Row, Table
from prima_features.page.digits import brief, count, interval, number, p_text
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, SQUARE, line_style, svg
from prima_features.page.plots.curves import ClassScores, draw_histogram, draw_reliability, draw_roc
from prima_features.probes.evaluation.dispersion import Dispersion
from prima_features.probes.evaluation.thresholds import MIN_SIDE, Thresholds
from prima_features.probes.report.content import PageContent, target
from prima_features.wording import capital

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

_BINS = 10
_MIN_PER_BIN = 10
_SIGNIFICANT = 0.05


def ordinal_blocks(content: PageContent, confusions: Table) -> list[Block]:
    """ROC and reliability curves by threshold, their table with the check of proportional odds, and confusions."""
    found = content.evaluation.thresholds
    assert found is not None
    scores = _by_threshold(content.counted, content.evaluation.task.classes)
    return [
        Row((_roc(scores, found), _reliability(scores))),
        _thresholds(found),
        Prose(odds(found)),
        confusions,
    ]


def _by_threshold(table: pd.DataFrame, classes: tuple[str, ...]) -> list[ClassScores]:
    """Each threshold with studies on both sides."""
    place = table["target"].map({name: code for code, name in enumerate(classes)}).to_numpy()
    probability = table[[f"probability_{name}" for name in classes]].to_numpy(dtype=float)
    made = []
    for k in range(len(classes) - 1):
        above = place > k
        if above.any() and not above.all():
            share = np.clip(probability[:, k + 1 :].sum(axis=1), 0, 1)
            made.append(ClassScores(_above(classes[k + 1], k + 2 == len(classes)), above, share, k))
    return made


def _above(name: str, is_last: bool) -> str:
    return name if is_last else f"{name} or above"


def _roc(scores: list[ClassScores], found: Thresholds) -> Figure:
    def paint(canvas: Canvas) -> None:
        draw_roc(canvas.add_subplot(), scores)

    areas = [found.thresholds[name.removesuffix(" or above")].auroc for name in (one.name for one in scores)]
    keys = [
        Key(f"{one.name}: AUROC {brief(area, 3)}", one.colour, "line", one.dashes)
        for one, area in zip(scores, areas, strict=True)
    ]
    picture = svg("thresholds-roc", "ROC curves, one for each threshold.", paint, SQUARE)
    return Figure(picture, "ROC curves by threshold.", (*keys, Key("chance", MUTED, "line", REFERENCE)))


def _reliability(scores: list[ClassScores]) -> Figure:
    def paint(canvas: Canvas) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        draw_reliability(upper, scores)
        draw_histogram(lower, scores)

    caption = (
        "Reliability: observed frequency of a class above each threshold by its predicted probability, in bins of "
        "equal size with 95% Wilson intervals. Below: histogram of the predicted probabilities."
    )
    keys = [Key(one.name, one.colour, "line", one.dashes) for one in scores]
    picture = svg("thresholds-reliability", "Reliability curves, one for each threshold.", paint, SQUARE)
    return Figure(picture, caption, (*keys, Key("ideal", MUTED, "line", REFERENCE)))


def _thresholds(found: Thresholds) -> Table:
    last = list(found.thresholds)[-1]
    rows = tuple(
        (
            Cell(_above(name, name == last)),
            Cell(f"{one.n_above:,}"),
            *(Cell(number(each.value, 3), interval(each, 3)) for each in (one.auroc, one.slope)),
        )
        for name, one in found.thresholds.items()
    )
    caption = (
        "By threshold, with 95% intervals. The slope is that of a logistic regression on the predicted log odds: 1 is "
        "ideal"
    )
    return Table(caption, ("Classes", "Studies", "AUROC", "Slope"), rows)


def odds(found: Thresholds) -> str:
    """The check of proportional odds in sentences."""
    if not np.isfinite(found.p_value):
        return (
            f"Proportional odds were not tested: fewer than two thresholds have {MIN_SIDE} studies on each side, or a "
            "slope is not defined."
        )
    tested = count(found.n_tested, "threshold")
    text = (
        f"Proportional odds (the same slope at each threshold) were tested at {tested} with {MIN_SIDE} studies or more "
        f"on each side: p {p_text(found.p_value)}"
    )
    if found.p_value < _SIGNIFICANT:
        return (
            f"{text}. The slopes differ: the model's single slope fits some thresholds better than others, so read "
            "AUROC and slope of each threshold."
        )
    return f"{text}. A difference between the slopes is not shown."


def count_blocks(content: PageContent, agreement: Figure) -> list[Block]:
    """Predicted against observed counts, calibration, and the dispersion."""
    found = content.evaluation.dispersion
    assert found is not None
    return [Row((agreement, _calibration(content))), Prose(dispersed(found))]


def _calibration(content: PageContent) -> Figure:
    table = content.counted
    y, predicted = (table[name].to_numpy(dtype=float) for name in ("target", "prediction"))
    mean, observed, error = _bins(y, predicted)

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        top = 1.05 * max(float((observed + error).max()), float(mean.max()))
        axes.plot([0, top], [0, top], color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
        axes.errorbar(mean, observed, yerr=error, color=MAIN, marker="o", markersize=4, linewidth=1)
        axes.set_xlim(0, top)
        axes.set_ylim(0, top)
        axes.set_aspect("equal")
        axes.set_xlabel("Mean predicted count")
        axes.set_ylabel("Mean observed count")

    what = target(content.evaluation.task)
    caption = (
        f"Calibration of {what}: mean observed by mean predicted count in groups of equal size, with 95% normal "
        "intervals of the mean."
    )
    picture = svg("count-calibration", f"Mean observed against mean predicted {what}.", paint, SQUARE)
    return Figure(picture, capital(caption), (Key("ideal", MUTED, "line", REFERENCE),))


def _bins(y: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean predicted and observed count of groups of equal size, and the half width of the interval."""
    n_bins = int(np.clip(len(y) // _MIN_PER_BIN, 1, _BINS))
    parts = np.array_split(np.argsort(predicted, kind="stable"), n_bins)
    mean = np.array([predicted[rows].mean() for rows in parts])
    observed = np.array([y[rows].mean() for rows in parts])
    error = np.array(
        [1.96 * y[rows].std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else 0 for rows in parts]
    )
    return mean, observed, error


def dispersed(found: Dispersion) -> str:
    """The dispersion in sentences."""
    text = (
        f"The variance of the counts around the predictions is {brief(found.pearson, 2)} times that of Poisson counts "
        "(mean squared Pearson residual); errors of the predicted means add to it"
    )
    if found.p_value < _SIGNIFICANT:
        return (
            f"{text}. They are overdispersed: a negative binomial distribution with variance mean + "
            f"{found.negative_binomial:.2g} \u00d7 mean squared fits better (p {p_text(found.p_value)})."
        )
    return f"{text}. Overdispersion is not shown (p {p_text(found.p_value)})."
