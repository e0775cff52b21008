"""Predicted classes: curves, calibration and the confusion matrix."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Block, Cell, Figure, Key, Row, Table
from prima_features.page.digits import brief, percent
from prima_features.page.plots.canvas import MUTED, OTHER, REFERENCE, SQUARE, shortened, svg
from prima_features.page.plots.curves import (
    ClassScores,
    draw_histogram,
    draw_operating_point,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
)
from prima_features.probes.report.content import ReportContent
from prima_features.wording import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def repeats_note(content: ReportContent) -> str:
    """What to know where several repeats were averaged; starts with a space, empty otherwise."""
    splits = content.evaluation.splits
    if splits is None or splits.n_repeats == 1:
        return ""
    return " Curves use each study's mean over the repeats; the table gives the mean of the repeats' metrics."


def classes_note(content: ReportContent) -> str:
    """What to know of decided classes where there are several repeats; starts with a space, empty otherwise."""
    splits = content.evaluation.splits
    return "" if splits is None or splits.n_repeats == 1 else " Classes are from the first repeat."


_MOST_BESIDE = 4
"""Classes whose table of confusions has room beside a figure."""
_LONGEST = 24
"""Letters of a class in a legend."""


def class_blocks(content: ReportContent) -> list[Block]:
    """ROC, precision-recall, reliability and the table of confusions."""
    scores = class_scores(content)
    both = [one for one in scores if 0 < one.positive.sum() < len(one.positive)]
    figures = [_roc(content, both), _precision_recall(content, both)] if both else []
    figures.append(_reliability(content, scores))
    confusions = _confusions(content)
    if len(content.evaluation.task.classes) > _MOST_BESIDE:
        return [Row(tuple(figures)), confusions]
    return [Row((*figures, confusions))]


def class_scores(content: ReportContent) -> list[ClassScores]:
    """The positive class of two, or each of more."""
    table, task = content.counted, content.evaluation.task
    shown = [task.positive] if task.positive else task.classes
    target = table["target"].to_numpy(dtype=str)
    return [
        ClassScores(name, target == name, table[f"probability_{name}"].to_numpy(dtype=float), place)
        for place, name in enumerate(shown)
    ]


def _roc(content: ReportContent, scores: list[ClassScores]) -> Figure:
    found = content.evaluation
    table = content.counted

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_roc(axes, scores)
        if found.task.positive:
            called = table["predicted"].to_numpy(dtype=str) == found.task.positive
            draw_operating_point(axes, scores[0].positive, called)

    caption = f"ROC curve{'' if found.task.positive else 's, each class against the rest'}."
    keys = [*_class_keys(content, scores, "auroc"), Key("chance", MUTED, "line", REFERENCE)]
    if found.task.positive:
        caption += " The ring marks the threshold chosen in training."
    picture = svg("roc", f"ROC curve of {listed(one.name for one in scores)}.", paint, SQUARE)
    return Figure(picture, caption + repeats_note(content), tuple(keys))


def _precision_recall(content: ReportContent, scores: list[ClassScores]) -> Figure:
    def paint(canvas: Canvas) -> None:
        draw_precision_recall(canvas.add_subplot(), scores)

    caption = "Precision-recall curve. Dashed: prevalence (chance level)."
    picture = svg("pr", f"Precision-recall curve of {listed(one.name for one in scores)}.", paint, SQUARE)
    keys = _class_keys(content, scores, "auprc")
    if content.evaluation.task.positive:
        keys.append(Key(f"prevalence {scores[0].positive.mean():.3f}", MUTED, "line", REFERENCE))
    return Figure(picture, caption + repeats_note(content), tuple(keys))


def _reliability(content: ReportContent, scores: list[ClassScores]) -> Figure:
    def paint(canvas: Canvas) -> None:
        upper, lower = canvas.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        draw_reliability(upper, scores)
        draw_histogram(lower, scores)

    caption = (
        "Reliability: observed frequency of the class by predicted probability, in bins of equal size with 95% Wilson "
        "intervals. Below: histogram of the predicted probabilities."
    )
    alt = f"Reliability curve and histogram of the probability of {listed(one.name for one in scores)}."
    keys = _class_keys(content, scores, "calibration_slope")
    if positive := content.evaluation.task.positive:
        negative = content.evaluation.task.classes[0]
        keys += [Key(f"{positive} (histogram)", scores[0].colour), Key(f"{negative} (histogram)", OTHER)]
    picture = svg("reliability", alt, paint, SQUARE)
    return Figure(picture, caption, (*keys, Key("ideal", MUTED, "line", REFERENCE)))


def _class_keys(content: ReportContent, scores: list[ClassScores], metric: str) -> list[Key]:
    found = content.evaluation
    name = {"auroc": "AUROC", "auprc": "AUPRC", "calibration_slope": "slope"}[metric]
    estimates = [found.per_class[one.name] if found.per_class else found.metrics for one in scores]
    return [
        Key(
            f"{shortened(one.name, _LONGEST)}: {name} {brief(own[metric], 3)}", one.colour, "line", one.dashes
        )
        for one, own in zip(scores, estimates, strict=True)
    ]


def _confusions(content: ReportContent) -> Table:
    table, classes = content.counted, content.evaluation.task.classes
    target, said = (table[name].to_numpy(dtype=str) for name in ("target", "predicted"))
    rows = tuple(_confusion_row(name, said[target == name], classes) for name in classes)
    caption = "Confusion matrix: studies, and percentages of each true class." + classes_note(content)
    return Table(caption, ("True class", *(f"predicted {name}" for name in classes)), rows)


def _confusion_row(name: str, said: np.ndarray, classes: tuple[str, ...]) -> tuple[Cell, ...]:
    counts = [int((said == other).sum()) for other in classes]
    share = partial(percent, total=len(said))
    cells = [Cell(f"{n:,}", share(n), shade=n / len(said) if len(said) else 0) for n in counts]
    return Cell(name, f"n = {len(said):,}"), *cells
