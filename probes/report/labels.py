"""Predictions of several labels: curves, a table of the labels, and decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Block, Cell, Figure, Key, Prose, Row, Table, p_cell
from prima_features.page.digits import brief, interval, number
from prima_features.page.plots.canvas import MUTED, REFERENCE, SQUARE, shortened, svg
from prima_features.page.plots.curves import (
    ClassScores,
    draw_decision_curve,
    draw_histogram,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
)
from prima_features.probes.evaluation.decisions import THRESHOLDS
from prima_features.probes.evaluation.labels import LabelResult
from prima_features.probes.report.content import PageContent, metric
from prima_features.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_LONGEST = 24
"""Letters of a label in a legend."""
_MOST_CURVES = 8
"""Labels whose curves a figure can show; the table has all."""
_METRICS = ("auroc", "auprc", "prevalence", "balanced_accuracy", "sensitivity", "specificity", "brier",
            "calibration_slope")  # fmt: skip


def label_blocks(content: PageContent) -> list[Block]:
    """ROC, precision-recall, reliability and decision curves, and the tables of the labels."""
    found, scores = content.evaluation.labels, _scores(content)
    blocks: list[Block] = []
    if scores:
        figures = [
            _roc(scores, found),
            _precision_recall(scores, found),
            _reliability(scores, found),
            _decision_curve(scores, found),
        ]
        blocks += [Row(tuple(figures)), *_not_drawn(content, scores)]
    return [*blocks, _counts(found), Prose(chance(content)), _metrics(found), _in_the_large(found)]


def _scores(content: PageContent) -> list[ClassScores]:
    """Labels with studies of both values, at most `_MOST_CURVES`; each on the studies where it is known."""
    table = content.counted
    made: list[ClassScores] = []
    for name in content.evaluation.labels:
        known = table[f"target_{name}"].notna().to_numpy()
        positive = table[f"target_{name}"][known].to_numpy(dtype=float) == 1
        if 0 < positive.sum() < len(positive):
            share = table[f"probability_{name}"][known].to_numpy(dtype=float)
            made.append(ClassScores(name, positive, share, len(made)))
    return made[:_MOST_CURVES]


def _not_drawn(content: PageContent, scores: list[ClassScores]) -> list[Block]:
    left = [name for name in content.evaluation.labels if name not in {one.name for one in scores}]
    return [Prose(f"Curves of {listed(left)} are not drawn.")] if left else []


def _keys(scores: list[ClassScores], found: dict[str, LabelResult], name: str, short: str) -> list[Key]:
    return [
        Key(
            f"{shortened(one.name, _LONGEST)}: {short} {brief(found[one.name].metrics[name], 3)}",
            one.colour,
            "line",
            one.dashes,
        )
        for one in scores
    ]


def _roc(scores: list[ClassScores], found: dict[str, LabelResult]) -> Figure:
    def paint(canvas: Canvas) -> None:
        draw_roc(canvas.add_subplot(), scores)

    keys = [*_keys(scores, found, "auroc", "AUROC"), Key("chance", MUTED, "line", REFERENCE)]
    picture = svg("labels-roc", f"ROC curves of {listed(one.name for one in scores)}.", paint, SQUARE)
    return Figure(picture, "ROC curves, one for each label.", tuple(keys))


def _precision_recall(scores: list[ClassScores], found: dict[str, LabelResult]) -> Figure:
    def paint(canvas: Canvas) -> None:
        draw_precision_recall(canvas.add_subplot(), scores)

    picture = svg(
        "labels-pr", f"Precision-recall curves of {listed(one.name for one in scores)}.", paint, SQUARE
    )
    caption = "Precision-recall curves, one for each label. Dashed: prevalence (chance level)."
    return Figure(picture, caption, tuple(_keys(scores, found, "auprc", "AUPRC")))


def _reliability(scores: list[ClassScores], found: dict[str, LabelResult]) -> Figure:
    def paint(canvas: Canvas) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        draw_reliability(upper, scores)
        draw_histogram(lower, scores)

    caption = (
        "Reliability: observed frequency of each label by its predicted probability, in bins of equal size with 95% "
        "Wilson intervals. Below: histogram of the predicted probabilities."
    )
    keys = [*_keys(scores, found, "calibration_slope", "slope"), Key("ideal", MUTED, "line", REFERENCE)]
    picture = svg("labels-reliability", "Reliability curves, one for each label.", paint, SQUARE)
    return Figure(picture, caption, tuple(keys))


def _decision_curve(scores: list[ClassScores], found: dict[str, LabelResult]) -> Figure:
    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for one in scores:
            (curve,) = found[one.name].decisions.curves.values()
            model = np.array([list(vars(each).values()) for each in curve.probe])
            draw_decision_curve(axes, one, np.array(THRESHOLDS), model, None)

    caption = (
        "Decision curves: net benefit of treating studies whose predicted probability of the label is the threshold or "
        "more, with 95% intervals. The line at 0 is treating no one."
    )
    keys = tuple(Key(shortened(one.name, _LONGEST), one.colour, "line", one.dashes) for one in scores)
    return Figure(
        svg("labels-decision", "Decision curves, one for each label.", paint, SQUARE), caption, keys
    )


def _counts(found: dict[str, LabelResult]) -> Table:
    rows = tuple(
        (
            Cell(name),
            Cell(f"{one.n_positive:,}"),
            Cell(f"{one.n - one.n_positive:,}"),
            Cell(f"{one.n_unknown:,}"),
            Cell(number(one.metrics["auroc"].value, 3), interval(one.metrics["auroc"], 3)),
            p_cell(one.p_value),
            p_cell(one.p_holm),
        )
        for name, one in found.items()
    )
    head = ("Label", "Present", "Absent", "Unknown", "AUROC", "p", "p, adjusted")
    return Table("Studies by label, and the test of each label against chance", head, rows)


def chance(content: PageContent) -> str:
    """How labels were tested against chance."""
    folds = content.evaluation.splits
    raised = (
        "; its variance is doubled because subjects tested in one fold train the probes of the others"
        if folds is not None and len(folds.folds) > 1
        else ""
    )
    within = " within the folds" if raised else ""
    return (
        f"Each label was tested against chance (AUROC 0.5, one-sided) by a rank-sum test{within} on one study per "
        f"subject{raised}. Adjusted p values are for all labels (Holm). A study in which a label is unknown does not "
        "count for that label."
    )


def _metrics(found: dict[str, LabelResult]) -> Table:
    rows = tuple(
        (
            Cell(name),
            *(Cell(number(one.metrics[key].value, 3), interval(one.metrics[key], 3)) for key in _METRICS),
        )
        for name, one in found.items()
    )
    caption = "Metrics of each label with 95% intervals; decisions by the threshold chosen in training"
    return Table(caption, ("Label", *(metric(key) for key in _METRICS)), rows)


def _in_the_large(found: dict[str, LabelResult]) -> Prose:
    each = "; ".join(
        f"{name} {brief(next(iter(one.decisions.in_the_large.values())), 2)}" for name, one in found.items()
    )
    return Prose(
        "Calibration in the large (log odds of the observed share beyond those predicted; 0 is ideal, above 0 the "
        f"probabilities are too low): {each}."
    )
