"""All metrics with their intervals, beside what can be had without the image."""

from __future__ import annotations

from prima_features.evaluation.intervals import Estimate
from prima_features.page.blocks import Block, Cell, Prose, Section, Table, section
from prima_features.page.digits import interval, number, p_value
from prima_features.probes.evaluation import Evaluation
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.words import baseline, decimals, direction, in_sentence, metric


def result(content: ReportContent) -> Section | None:
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
        "Intervals are from a bootstrap over subjects. Numbers fixed by design, such as the prevalence, have none."
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
            + ("negative" if task.primary == "mae" else "positive")
            + " values favour the probe."
        )
    if task.kind == "multiclass":
        parts.append(
            "AUROC, AUPRC, prevalence, Brier score and calibration slope are means over the classes."
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
