"""audit.html: the audit as one page that opens offline. No study or subject is named in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.clinical.audit.groups import ByVariable, Gap
from prima_features.clinical.audit.measure import Measured
from prima_features.clinical.audit.reporting import reporting_section
from prima_features.clinical.audit.result import Audit
from prima_features.evaluation.intervals import Estimate
from prima_features.page import template
from prima_features.page.blocks import (
    Block,
    Cell,
    Figure,
    Folded,
    Key,
    Listing,
    Prose,
    Section,
    Table,
    estimate_cell,
    label,
    section,
)
from prima_features.page.digits import brief, interval, number, p_text
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, SQUARE, line_style, svg
from prima_features.page.plots.forest import ForestRow, chance_in_reach, draw_forest, forest_size
from prima_features.wording import RESEARCH_ONLY, count, listed, sentence, verb

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_OPERATING = {
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "balanced_accuracy": "Balanced accuracy",
}
_GAPS = {"tpr": "TPR", "fpr": "FPR", "auroc": "AUROC"}
_MACRO = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "specificity_at": "Specificity at the chosen sensitivity",
} | _OPERATING
_MOST_CURVES = 12
_SIGNIFICANT = 0.05


def page(found: Audit) -> str:
    """The page as HTML."""
    made = [_result(found), _names(found), _operating(found), _calibration(found), _groups(found)]
    made += [*(part.section() for part in found.parts.values()), _data(found), reporting_section(found)]
    scores = found.cohort.scores
    return template("prima_features.clinical.audit", "page.html.jinja").render(
        title=found.files["scores"],
        description=_description(found),
        main_result=_main_result(found),
        research_only=RESEARCH_ONLY,
        warnings=[sentence(text) for text in (scores.caveat, *found.cohort.notes) if text],
        sections=[one for one in made if one is not None],
    )


def _description(found: Audit) -> str:
    names, n = len(found.cohort.names), len(found.cohort.subject)
    subjects = len(set(found.cohort.subject.tolist()))
    truth = found.files["labels"] or "the scores"
    return f"{count(n, 'study')} of {count(subjects, 'subject')}, {count(names, 'name')}; truth from {truth}"


def _main_result(found: Audit) -> str:
    one = found.macro["auroc"]
    if one.n_names == 1:
        name = next(n for n, own in zip(found.cohort.names, found.overall, strict=True) if not own.reason)
        return f"AUROC of {name}: {brief(one.estimate, 3)}."
    return (
        f"Mean AUROC over {one.n_names} names: {number(100 * one.estimate.value, 1)} ± {number(100 * one.sd, 1)} "
        f"(standard deviation over names); 95% interval of the mean {interval(_times(one.estimate, 100), 1)}."
    )


def _times(one: Estimate, factor: float) -> Estimate:
    return Estimate(one.value * factor, one.ci_low * factor, one.ci_high * factor)


def _result(found: Audit) -> Section | None:
    rows = tuple(
        (
            Cell(_MACRO[metric]),
            estimate_cell(one.estimate),
            Cell(number(one.sd, 3)),
            Cell(f"{one.n_names:,}"),
        )
        for metric, one in found.macro.items()
    )
    at = f"{100 * found.options.sensitivity:g}%"
    table = Table("Means over names", ("Metric", "Mean", "SD over names", "Names"), rows)
    missing = [name for name, one in zip(found.cohort.names, found.overall, strict=True) if one.reason]
    said = (
        f"Intervals (95%) resample subjects. The interval of a mean is that of these names in other "
        f"subjects; the standard "
        f"deviation describes how names differ. The chosen sensitivity is {at}."
    )
    left = (
        f"{count(len(missing), 'name')} {verb(len(missing), 'has', 'have')} too few labels and "
        f"{verb(len(missing), 'is', 'are')} left out of the means: "
        f"{', '.join(map(label, missing))}."
    )
    return section("result", "Means over names", [table, Prose(said), Prose(left) if missing else None])


def _names(found: Audit) -> Section | None:
    pairs = [
        (name, one) for name, one in zip(found.cohort.names, found.overall, strict=True) if not one.reason
    ]
    pairs.sort(key=lambda pair: -pair[1].estimates["auroc"].value)
    rows = [ForestRow(label(name), one.estimates["auroc"], one.positives) for name, one in pairs]
    mean = found.macro["auroc"].estimate
    chance = chance_in_reach(rows, mean, 0.5)

    def paint(canvas: Canvas) -> None:
        draw_forest(canvas, rows, mean, "AUROC", 3, chance)

    keys = [Key("mean over names, with its interval", MAIN, "line")]
    if chance is not None:
        keys.append(Key("chance", MUTED, "line", REFERENCE))
    picture = svg("names", "Forest plot of the AUROC of each name.", paint, forest_size(rows))
    figure = Figure(
        picture, "AUROC of each name with 95% intervals; n counts studies with a positive label.", tuple(keys)
    )
    return section("names", "By name", [figure])


def _operating(found: Audit) -> Section | None:
    at = f"{100 * found.options.sensitivity:g}%"
    head = ("Name", "Studies", "Positive", "AUPRC", *_OPERATING.values(), f"Specificity at sensitivity {at}")
    rows = tuple(
        (
            Cell(label(name), _threshold(found, i)),
            Cell(f"{one.n:,}"),
            Cell(f"{one.positives:,}"),
            *(_metric_cells(one)),
        )
        for i, (name, one) in enumerate(zip(found.cohort.names, found.overall, strict=True))
    )
    caption = "At the stored threshold, with 95% intervals"
    said = (
        "PPV, NPV and AUPRC hold for the share of positives in this cohort. The threshold of the last "
        "column is chosen in "
        "this cohort (audit.json has it), which flatters its specificity a little; the interval takes "
        "the choice into account."
    )
    return section("operating", "Operating points", [Table(caption, head, rows), Prose(said)])


def _threshold(found: Audit, i: int) -> str:
    threshold = found.cohort.scores.thresholds[i]
    return "decisions of the table" if threshold is None else f"present at {number(threshold, 2)} or more"


def _metric_cells(one: Measured) -> list[Cell]:
    metrics = ("auprc", *_OPERATING, "specificity_at")
    if one.reason:
        return [Cell("-", one.reason), *(Cell("") for _ in metrics[1:])]
    return [estimate_cell(one.estimates[metric]) for metric in metrics]


def _calibration(found: Audit) -> Section | None:
    is_probability = found.cohort.scores.kind == "probability"
    pairs = [
        (name, one)
        for name, one in zip(found.cohort.names, found.calibration, strict=True)
        if one is not None
    ]
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    if is_probability:
        head = ("Name", "Observed", "Expected", "In the large", "Slope", "Brier score", "Calibration error")
        rows = tuple(
            (
                Cell(label(name)),
                Cell(number(one.observed, 3)),
                Cell(number(one.expected, 3)),
                estimate_cell(one.intercept, 2),
                estimate_cell(one.slope, 2),
                estimate_cell(one.brier, 4),
                Cell(number(one.ece, 3)),
            )
            for name, one in pairs
        )
        said = (
            "Ideal are 0 in the large (log odds of the observed share beyond those predicted) and a "
            "slope of 1 (below 1: "
            "predictions too extreme). The calibration error is the mean distance of observed and "
            "predicted shares over tenths."
        )
    else:
        head = ("Name", "Observed", "Intercept", "Slope")
        rows = tuple(
            (
                Cell(label(name)),
                Cell(number(one.observed, 3)),
                estimate_cell(one.intercept, 2),
                estimate_cell(one.slope, 2),
            )
            for name, one in pairs
        )
        said = (
            "The scores are no probabilities. The table has the logistic regression of the label on the "
            "score: "
            "its sigmoid would be the probability in this cohort. --calibrate stores such a curve and "
            "checks it by cross-fitting."
        )
    return section(
        "calibration",
        "Calibration",
        [
            _bins_figure(found),
            Prose(said),
            Folded("Calibration of each name", Table("Calibration", head, rows)),
        ],
    )


def _bins_figure(found: Audit) -> Figure | None:
    """Observed share by tenth of the score, of all names in one panel."""
    pairs = [one for one in found.calibration if one is not None]
    is_probability = found.cohort.scores.kind == "probability"

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        if is_probability:
            axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
        alpha = 1.0 if len(pairs) <= _MOST_CURVES else 0.4
        for one in pairs:
            bins = np.array(one.bins)
            axes.plot(bins[:, 0], bins[:, 1], color=MAIN, marker="o", markersize=3, linewidth=1, alpha=alpha)
        axes.set_ylim(-0.02, 1.02)
        axes.set_xlabel("Mean probability of the bin" if is_probability else "Mean score of the bin")
        axes.set_ylabel("Observed share")

    picture = svg("calibration", "Observed share of positives by score, one line per name.", paint, SQUARE)
    caption = "Observed share of positives in bins of equal numbers of studies, one line per name."
    keys = (Key("ideal", MUTED, "line", REFERENCE),) if is_probability else ()
    return Figure(picture, caption, keys)


def _groups(found: Audit) -> Section | None:
    if not found.groups:
        text = "No attributes were compared: give a table with sex, age, site and the like by --attributes."
        return section("groups", "Groups", [Prose(text)])
    blocks: list[Block | None] = [_macro_forest(found), _macro_table(found)]
    blocks.append(
        Prose(
            "Gaps are the largest minus the smallest value over the groups, with a 95% interval that starts at 0 "
            "unless this range alone shows that groups differ. p is of the hypothesis that all groups have one value "
            "(Wald's test on log odds). It uses all groups and can be small with an interval that "
            "starts at 0; Holm's correction is over names. TPR is the sensitivity, FPR 1 minus the specificity."
        )
    )
    for one in found.groups.values():
        blocks.append(_gap_block(found, one))
    blocks.append(_small(found))
    if found.left_out:
        blocks.append(
            Listing(tuple(f"{name} is not compared: {why}." for name, why in found.left_out.items()))
        )
    return section("groups", "Groups", blocks)


def _macro_forest(found: Audit) -> Figure | None:
    rows = []
    for one in found.groups.values():
        if not one.macro:
            continue
        rows.append(ForestRow(f"{one.variable} ({count(len(one.macro_names), 'name')})"))
        rows += [
            ForestRow(level, means["auroc"].estimate, max(own.n for own in one.levels[level]))
            for level, means in one.macro.items()
        ]
    if not rows:
        return None
    mean = found.macro["auroc"].estimate

    def paint(canvas: Canvas) -> None:
        draw_forest(canvas, rows, mean, "Mean AUROC", 3, None)

    picture = svg("groups", "Forest plot of the mean AUROC by group.", paint, forest_size(rows))
    caption = (
        "Mean AUROC over the names that have enough labels in every group of the variable, with 95% "
        "intervals; n counts "
        "studies. The line is the mean over all names in all studies."
    )
    return Figure(picture, caption, (Key("all studies", MAIN, "line"),))


def _macro_table(found: Audit) -> Table | None:
    shown = [one for one in found.groups.values() if one.macro_gaps]
    if not shown:
        return None
    keys = {"sensitivity": "TPR", "specificity": "Specificity", "auroc": "AUROC"}
    rows = tuple(
        (
            Cell(one.variable, f"{len(one.macro)} groups"),
            *(_gap_cell(one.macro_gaps[key], one.macro_gaps[key].p) for key in keys),
        )
        for one in shown
    )
    return Table("Largest gap of the means over names", ("Variable", *keys.values()), rows)


def _gap_cell(gap: Gap, p: float) -> Cell:
    return Cell(number(gap.estimate.value, 3), f"{interval(gap.estimate, 3)}; p {p_text(p)}")


def _gap_block(found: Audit, one: ByVariable) -> Block | None:
    rows: list[tuple[Cell, ...]] = []
    strong: set[int] = set()
    for name, gaps in zip(found.cohort.names, one.gaps, strict=True):
        if not gaps:
            continue
        cells = [
            Cell(
                number(gap.estimate.value, 3),
                f"{interval(gap.estimate, 3)}; {gap.lowest} to {gap.highest}; p (Holm) {p_text(gap.p_holm)}",
            )
            for gap in gaps.values()
        ]
        if min(gap.p_holm for gap in gaps.values()) < _SIGNIFICANT:
            strong.add(len(rows))
        rows.append((Cell(label(name)), *cells))
    if not rows:
        return Prose(f"{one.variable}: fewer than two groups have enough labels of any name.")
    unknown = f"; {count(one.n_unknown, 'study')} without a value" if one.n_unknown else ""
    n = f"{len(strong)} of {count(len(rows), 'name')}" if strong else "no name"
    significant = f"{n} with a gap after Holm's correction"
    table = Table(
        f"Gaps by {one.variable}; bold: p (Holm) below {_SIGNIFICANT:g}",
        ("Name", *_GAPS.values()),
        tuple(rows),
        frozenset(strong),
    )
    return Folded(f"{one.variable}: {significant}{unknown}", table)


def _small(found: Audit) -> Folded | None:
    rows: list[tuple[Cell, ...]] = []
    for one in found.groups.values():
        for level, measured in one.levels.items():
            reasons: dict[str, list[str]] = {}
            for name, own in zip(found.cohort.names, measured, strict=True):
                if own.reason:
                    reasons.setdefault(own.reason, []).append(name)
            for reason, names in reasons.items():
                rows.append(
                    (
                        Cell(level, one.variable),
                        Cell(f"{max(own.n for own in measured):,}"),
                        Cell(listed(map(label, names)), reason),
                    )
                )
    if not rows:
        return None
    head = ("Group", "Studies", "Names and reason")
    table = Table("Groups without metrics", head, tuple(rows), text_columns=frozenset({0, 2}))
    return Folded("Groups that are too small for some names", table)


def _data(found: Audit) -> Section | None:
    unmatched = found.cohort.unmatched["table"].value_counts()
    lines = [
        f"{count(int(unmatched.get('scores', 0)), 'study')} with scores without a label row",
        f"{count(int(unmatched.get('labels', 0)), 'label row')} without scores",
    ]
    if found.files["attributes"]:
        lines.append(f"{count(int(unmatched.get('attributes', 0)), 'attribute row')} without scores")
    lines = [f"{one}." for one in lines]
    missing = [
        f"{name}: {one.n:,} of {len(found.cohort.subject):,} studies have a label and a score."
        for name, one in zip(found.cohort.names, found.overall, strict=True)
        if one.n < len(found.cohort.subject)
    ]
    rows = tuple((Cell(label(text.partition(": ")[0])), Cell(text.partition(": ")[2])) for text in missing)
    table = Table(
        "Names with unknown labels or missing scores",
        ("Name", "Studies"),
        rows,
        text_columns=frozenset({0, 1}),
    )
    said = "Unknown labels are not counted as negative. Ids of rows without a partner are in unmatched.tsv."
    return section(
        "data",
        "Data",
        [Listing(tuple(lines)), Prose(said), Folded("Names with unknown labels", table) if missing else None],
    )
