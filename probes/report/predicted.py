"""The section of predictions: of numbers, of classes, and of each site that was left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Block, Cell, Figure, Key, Prose, Row, Section, Table, section
from prima_features.page.digits import brief, percent
from prima_features.page.plots.canvas import MAIN, MUTED, OTHER, REFERENCE, SECOND, SQUARE, shortened, svg
from prima_features.page.plots.curves import (
    ClassScores,
    draw_decision_curve,
    draw_histogram,
    draw_operating_point,
    draw_precision_recall,
    draw_reliability,
    draw_roc,
)
from prima_features.page.plots.forest import ForestRow, chance_in_reach, draw_forest, forest_size
from prima_features.page.plots.points import Limits, draw_agreement, draw_gap, limits_of
from prima_features.probes.evaluation import Estimate, Evaluation
from prima_features.probes.evaluation.decisions import THRESHOLDS
from prima_features.probes.evaluation.record import FoldScores
from prima_features.probes.evaluation.scored import BrainAgeGap
from prima_features.probes.kinds import KindName
from prima_features.probes.report.content import PageContent, decimals, in_sentence, metric, variable
from prima_features.probes.report.labels import label_blocks
from prima_features.probes.report.severity import count_blocks, ordinal_blocks
from prima_features.probes.report.survival import survival_blocks
from prima_features.wording import capital, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_MOST_IN_ROW = 4
"""Classes whose confusion matrix fits next to a figure."""
_LONGEST = 24
"""Letters of a class in a legend."""


def _one(content: PageContent) -> Key:
    """The legend of a point: a study, or a change between two."""
    return Key(f"one {content.evaluation.noun}", MAIN)


def left_out_sites(content: PageContent) -> Figure | None:
    """A forest plot, the best site first; None for other schemes."""
    found = content.evaluation
    if found.splits is None or found.splits.scheme.kind != "leave-site-out" or found.fold_scores is None:
        return None
    primary = found.task.primary
    rows = _rows(found, found.fold_scores)

    overall = found.metrics[primary]
    chance = None if found.kind.chance is None else chance_in_reach(rows, overall, found.kind.chance)

    def paint(canvas: Canvas) -> None:
        draw_forest(canvas, rows, overall, metric(primary, found.task.unit), decimals(primary, found), chance)

    name = in_sentence(primary)
    picture = svg("left-out-sites", f"Forest plot of the {name} by left-out site.", paint, forest_size(rows))
    caption = f"{metric(primary)} of each site by a probe fitted on all other sites, the best first."
    if any(not np.isfinite(row.estimate.ci_low) for row in rows if row.estimate):
        caption += " Sites with too few subjects have no interval."
    keys = [Key("all sites, with their interval", MAIN, "line")]
    if chance is not None:
        keys.append(Key("chance", MUTED, "line", REFERENCE))
    return Figure(picture, caption, tuple(keys))


def _rows(found: Evaluation, scores: FoldScores) -> list[ForestRow]:
    by_site = found.groups["site"].levels if "site" in found.groups else {}
    primary, sign = found.task.primary, -1 if found.kind.higher_is_better else 1
    estimates = [
        by_site[name][primary] if name in by_site else Estimate(float(value))
        for name, value in zip(scores.names, scores.values, strict=True)
    ]
    order = np.argsort([np.nan_to_num(sign * one.value, nan=np.inf) for one in estimates], kind="stable")
    return [ForestRow(scores.names[i], estimates[i], int(scores.n_test[i])) for i in order]


def number_blocks(content: PageContent) -> list[Block]:
    """Predicted against true numbers, and for ages the gap."""
    table, task = content.counted, content.evaluation.task
    truth = table["target"].to_numpy(dtype=float)
    shown = {"": table["prediction"].to_numpy(dtype=float)}
    if task.is_age and content.evaluation.recipe.bias_correction != "none":
        shown["corrected"] = table["prediction_corrected"].to_numpy(dtype=float)
    limits = limits_of(truth, *shown.values())
    agreement = [_agreement(content, name, truth, values, limits) for name, values in shown.items()]
    report = content.evaluation.gap
    if report is None:
        return [Row(tuple(agreement))]
    gap_limits = limits_of(*(values - truth for values in shown.values()), np.zeros(1))
    gaps = [_gap(report, name, truth, values - truth, gap_limits) for name, values in shown.items()]
    return [Row((*agreement, *gaps))]


def agreement(content: PageContent) -> Figure:
    """Predicted against true numbers."""
    truth, values = (content.counted[name].to_numpy(dtype=float) for name in ("target", "prediction"))
    return _agreement(content, "", truth, values, limits_of(truth, values))


def _agreement(
    content: PageContent, name: str, truth: np.ndarray, values: np.ndarray, limits: Limits
) -> Figure:
    task = content.evaluation.task
    unit = f", {task.unit}" if task.unit else ""

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_agreement(axes, truth, values, limits)
        axes.set_xlabel(f"True {variable(task)}{unit}")
        axes.set_ylabel(f"{'Corrected predicted' if name else 'Predicted'} {variable(task)}{unit}")

    what = f"{'corrected ' if name else ''}predicted against true {variable(task)}"
    caption = f"{capital(what)}." + repeats_note(content)
    if name:
        caption = f"{capital(what)}: for the gap only, not a measure of accuracy."
    picture = svg(
        f"agreement{name}", f"Scatter plot of {what}, a point a {content.evaluation.noun}.", paint, SQUARE
    )
    return Figure(picture, caption, (_one(content), Key("predicted equals true", MUTED, "line", REFERENCE)))


def _gap(report: BrainAgeGap, name: str, age: np.ndarray, gap: np.ndarray, limits: Limits) -> Figure:
    correlation = report.corrected_age_correlation if name else report.raw_age_correlation
    mean = report.corrected_mean if name else report.raw_mean

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_gap(axes, age, gap, limits)
        axes.set_ylabel("Corrected gap, years" if name else "Gap (predicted minus true), years")

    what = f"{'corrected ' if name else ''}brain-age gap by age"
    caption = (
        f"{capital(what)}: correlation with age {brief(correlation, 2)}, mean gap {brief(mean, 2)} years."
    )
    picture = svg(f"gap{name}", f"Scatter plot of the {what}, a point a study.", paint)
    keys = (
        Key("one study", MAIN),
        Key("least squares", SECOND, "line"),
        Key("no gap", MUTED, "line", REFERENCE),
    )
    return Figure(picture, caption, keys)


def repeats_note(content: PageContent) -> str:
    """What to know if several repeats were averaged; starts with a space, empty otherwise."""
    splits = content.evaluation.splits
    if splits is None or splits.n_repeats == 1:
        return ""
    return " Curves use each study's mean over the repeats; the table gives the mean of the repeats' metrics."


def classes_note(content: PageContent) -> str:
    """What to know of decided classes if there are several repeats; starts with a space, empty otherwise."""
    splits = content.evaluation.splits
    return "" if splits is None or splits.n_repeats == 1 else " Classes are from the first repeat."


def class_blocks(content: PageContent) -> list[Block]:
    """ROC, precision-recall, reliability and the table of confusions."""
    scores = class_scores(content)
    both = [one for one in scores if 0 < one.positive.sum() < len(one.positive)]
    figures = [_roc(content, both), _precision_recall(content, both)] if both else []
    figures.append(_reliability(content, scores))
    confusions = _confusions(content)
    further = [one for one in (_decision_curve(content, scores), _in_the_large(content)) if one]
    if len(content.evaluation.task.classes) > _MOST_IN_ROW:
        return [Row(tuple(figures)), confusions, *further]
    return [Row((*figures, confusions)), *further]


def class_scores(content: PageContent) -> list[ClassScores]:
    """The positive class of two, or each of more."""
    table, task = content.counted, content.evaluation.task
    shown = [task.positive] if task.positive else task.classes
    target = table["target"].to_numpy(dtype=str)
    return [
        ClassScores(name, target == name, table[f"probability_{name}"].to_numpy(dtype=float), place)
        for place, name in enumerate(shown)
    ]


def _roc(content: PageContent, scores: list[ClassScores]) -> Figure:
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


def _precision_recall(content: PageContent, scores: list[ClassScores]) -> Figure:
    def paint(canvas: Canvas) -> None:
        draw_precision_recall(canvas.add_subplot(), scores)

    caption = "Precision-recall curve. Dashed: prevalence (chance level)."
    picture = svg("pr", f"Precision-recall curve of {listed(one.name for one in scores)}.", paint, SQUARE)
    keys = _class_keys(content, scores, "auprc")
    if content.evaluation.task.positive:
        keys.append(Key(f"prevalence {scores[0].positive.mean():.3f}", MUTED, "line", REFERENCE))
    return Figure(picture, caption + repeats_note(content), tuple(keys))


def _reliability(content: PageContent, scores: list[ClassScores]) -> Figure:
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


def _decision_curve(content: PageContent, scores: list[ClassScores]) -> Figure | None:
    """Of the positive class, or of each of more; None if the evaluation has no curves."""
    found = content.evaluation.decisions
    if found is None:
        return None
    is_one = len(scores) == 1

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for one in scores:
            curve = found.curves[one.name]
            model = np.array([list(vars(each).values()) for each in curve.probe])
            everyone = np.array(curve.everyone) if is_one else None
            draw_decision_curve(axes, one, np.array(THRESHOLDS), model, everyone)

    caption = (
        "Decision curve: net benefit of treating studies with a predicted probability of the threshold or more, with "
        "95% intervals, at the share of the class in this cohort. At a threshold of 0.2 one missed case "
        "weighs as much as four needless treatments. The line at 0 is treating no one."
    )
    keys = [Key(shortened(one.name, _LONGEST), one.colour, "line", one.dashes) for one in scores]
    if is_one:
        keys.append(Key("treat everyone", MUTED, "line", REFERENCE))
    alt = f"Decision curve of {listed(one.name for one in scores)}."
    return Figure(svg("decision", alt, paint, SQUARE), caption, tuple(keys))


def _in_the_large(content: PageContent) -> Prose | None:
    found = content.evaluation.decisions
    if found is None:
        return None
    each = "; ".join(f"{name} {brief(one, 2)}" for name, one in found.in_the_large.items())
    return Prose(
        f"Calibration in the large (log odds of the observed share beyond those predicted; 0 is ideal, above 0 the "
        f"probabilities are too low): {each}."
    )


def _class_keys(content: PageContent, scores: list[ClassScores], metric: str) -> list[Key]:
    found = content.evaluation
    name = {"auroc": "AUROC", "auprc": "AUPRC", "calibration_slope": "slope"}[metric]
    estimates = [found.per_class[one.name] if found.per_class else found.metrics for one in scores]
    return [
        Key(
            f"{shortened(one.name, _LONGEST)}: {name} {brief(own[metric], 3)}", one.colour, "line", one.dashes
        )
        for one, own in zip(scores, estimates, strict=True)
    ]


def _confusions(content: PageContent) -> Table:
    table, classes = content.counted, content.evaluation.task.classes
    target, said = (table[name].to_numpy(dtype=str) for name in ("target", "predicted"))
    found = content.evaluation.decisions
    intervals = found.confusion if found else {}
    rows = tuple(
        _confusion_row(name, said[target == name], classes, intervals.get(name, {})) for name in classes
    )
    caption = (
        "Confusion matrix: studies, and percentages of each true class"
        + (" with 95% intervals over subjects." if intervals else ".")
        + classes_note(content)
    )
    return Table(caption, ("True class", *(f"predicted {name}" for name in classes)), rows)


def _confusion_row(
    name: str, said: np.ndarray, classes: tuple[str, ...], intervals: dict[str, Estimate]
) -> tuple[Cell, ...]:
    cells = []
    for other in classes:
        n = int((said == other).sum())
        detail = percent(n, len(said))
        if other in intervals and np.isfinite(intervals[other].ci_low):
            low, high = (100 * end for end in (intervals[other].ci_low, intervals[other].ci_high))
            detail += f" ({low:.0f} to {high:.0f})"
        cells.append(Cell(f"{n:,}", detail, shade=n / len(said) if len(said) else 0))
    return Cell(name, f"n = {len(said):,}"), *cells


BLOCKS: dict[KindName, Callable[[PageContent], list[Block]]] = {
    "number": number_blocks,
    "classes": class_blocks,
    "survival": survival_blocks,
    "ordinal": lambda content: ordinal_blocks(content, _confusions(content)),
    "labels": label_blocks,
    "count": lambda content: count_blocks(content, agreement(content)),
}
"""By kind of target."""


def predicted(content: PageContent) -> Section | None:
    """The section."""
    blocks = BLOCKS[content.evaluation.task.kind_name](content)
    return section("predictions", "Predictions", [*blocks, left_out_sites(content)])
