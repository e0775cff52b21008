"""The metrics next to the baselines, and the learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.evaluation.intervals import Estimate
from prima_features.page.blocks import Block, Cell, Figure, Key, Prose, Row, Section, Table, section
from prima_features.page.digits import interval, number, p_value
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, svg
from prima_features.page.plots.curves import draw_learning
from prima_features.probes.evaluation import Evaluation, LearningPoint
from prima_features.probes.report.content import (
    PageContent,
    baseline,
    decimals,
    direction,
    in_sentence,
    metric,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def result(content: PageContent) -> Section | None:
    """The section."""
    found = content.evaluation
    blocks: list[Block | None] = [
        _metrics_table(found),
        Prose(_reading(found)),
        _permutation(found),
        _per_class(found) if found.per_class else None,
    ]
    return section("result", "Result", blocks)


def cell(estimate: Estimate, digits: int) -> Cell:
    """A number with its interval below."""
    return Cell(number(estimate.value, digits), interval(estimate, digits))


def _metrics_table(found: Evaluation) -> Table:
    task = found.task
    rivals = list(found.baselines)
    rows = []
    for name in task.metrics:
        digits = decimals(name, found)
        columns = [found.metrics[name], *(found.baselines[rival][name] for rival in rivals)]
        rows.append(
            (Cell(metric(name, task.unit), direction(name, task)), *(cell(one, digits) for one in columns))
        )
    strong = {task.metrics.index(task.primary)}
    if rivals:
        digits = decimals(task.primary, found)
        differences = [found.over_baselines[rival][task.primary] for rival in rivals]
        label = Cell("Probe minus baseline", metric(task.primary, task.unit))
        rows.append((label, Cell(""), *(cell(one, digits) for one in differences)))
    head = ("Metric", "Probe", *(baseline(rival, task) for rival in rivals))
    return Table("Metrics with 95% intervals", head, tuple(rows), frozenset(strong))


def _reading(found: Evaluation) -> str:
    task = found.task
    parts = [
        "Intervals are over subjects, by resampling (how is in the methods text). Numbers fixed by design, such as the "
        "prevalence, have none."
    ]
    if found.baselines:
        parts.append(
            "Baselines do not use the image"
            + (
                " and were fitted in the same folds."
                if found.splits
                else "; theirs come from the training set."
            )
        )
        parts.append(
            f"The last row is the difference in {in_sentence(task.primary)} on the same resamples; "
            + ("positive" if found.kind.higher_is_better else "negative")
            + " values favour the probe."
        )
    if task.kind == "multiclass":
        parts.append(
            "AUROC, AUPRC, prevalence, Brier score and calibration slope are means over the classes, each against the "
            "rest. The Hand-Till AUC is the mean over all pairs of classes and does not depend on their frequencies."
        )
    if task.labels:
        parts.append(
            "AUROC, AUPRC, prevalence, balanced accuracy, Brier score and calibration slope are means over the labels, "
            "each on the studies where it is known. Micro AUROC and AUPRC take all known labels together; they "
            "are above chance without information if some labels are more frequent than others."
        )
    if found.gap is not None:
        parts.append("All metrics are computed before bias correction.")
    return " ".join(parts)


def _permutation(found: Evaluation) -> Prose | None:
    test = found.permutation
    if test is None:
        return None
    digits = decimals(test.metric, found)
    article = "an" if test.metric == "auroc" else "a"
    return Prose(
        f"Permutation test: p = {p_value(test.p_value)} for {article} {in_sentence(test.metric)} of "
        f"{number(test.observed, digits)} against {test.n_permutations:,} permutations of the labels, which gave "
        f"{number(test.null_mean, digits)} on average (standard deviation {number(test.null_sd, digits)})."
    )


def _per_class(found: Evaluation) -> Table:
    names = list(next(iter(found.per_class.values())))
    rows = tuple(
        (Cell(label), *(cell(one[name], decimals(name, found)) for name in names))
        for label, one in found.per_class.items()
    )
    head = ("Class", *(metric(name) for name in names))
    return Table("Each class against the rest, with 95% intervals", head, rows)


def learning(content: PageContent) -> Section | None:
    """The section; None without a curve."""
    curve = content.curve
    if curve is None or not (curve.points or curve.left_out):
        return None
    drawn = Row((_figure(content, curve.points), _table(content, curve.points))) if curve.points else None
    sizes = "; ".join(f"{size:,.0f} {_whom(content)}: {why}" for size, why in curve.left_out)
    return section(
        "learning", "Learning curve", [drawn, Prose(f"Sizes left out: {sizes}.") if sizes else None]
    )


def _figure(content: PageContent, points: tuple[LearningPoint, ...]) -> Figure:
    found = content.evaluation
    primary = found.task.primary
    size = np.array([point.n_groups for point in points])
    estimates = [point.estimate for point in points]
    value, low, high = (
        np.array([getattr(one, name) for one in estimates]) for name in ("value", "ci_low", "ci_high")
    )
    dummy = found.baselines["dummy"][primary].value if "dummy" in found.baselines else None

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_learning(axes, size, value, low, high, dummy)
        axes.set_xlabel(f"Training {_whom(content)}")
        axes.set_ylabel(metric(primary, found.task.unit))

    alt = f"Line plot of the {in_sentence(primary)} by number of training {_whom(content)}."
    caption = f"{metric(primary)} on the same test studies, with 95% intervals."
    keys = [Key("probe", MAIN, "line")]
    if dummy is not None:
        keys.append(Key(baseline("dummy", found.task).lower(), MUTED, "line", REFERENCE))
    return Figure(svg("learning", alt, paint), caption, tuple(keys))


def _table(content: PageContent, points: tuple[LearningPoint, ...]) -> Table:
    primary = content.evaluation.task.primary
    digits = decimals(primary, content.evaluation)
    rows = tuple((Cell(f"{point.n_groups:,.0f}"), cell(point.estimate, digits)) for point in points)
    head = (f"Training {_whom(content)}", metric(primary, content.evaluation.task.unit))
    return Table("Mean number over the folds, and the metric with its 95% interval", head, rows)


def _whom(content: PageContent) -> str:
    return "groups" if content.is_grouped else "subjects"
