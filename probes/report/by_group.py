"""Results by group, and what the site has to do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prima_features.page.blocks import Cell, Figure, Folded, Key, Listing, Prose, Section, Table, section
from prima_features.page.digits import count, decimals_for, number, p_value
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, svg
from prima_features.page.plots.forest import ForestRow, chance_in_reach, draw_forest, forest_size
from prima_features.probes.evaluation import Evaluation
from prima_features.probes.evaluation.scored import GroupMetrics
from prima_features.probes.report.content import (
    VARIABLES,
    PageContent,
    association,
    decimals,
    decodability,
    in_sentence,
    level,
    metric,
)
from prima_features.probes.report.result import cell
from prima_features.wording import listed, verb

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def by_site(content: PageContent) -> Section | None:
    """The section; None if no site is known."""
    found = content.evaluation
    if set(found.label_by_site.table) <= {""}:
        return None
    return section("sites", "Sites", [_association(found), _decodability(found), _table(found)])


_WITHIN = {"site": "Within sites", "subject": "Within subjects"}


def leakage(content: PageContent) -> Section | None:
    """What is left with permuted labels; None if it was not checked."""
    found = content.evaluation.leakage
    if found is None:
        return None
    primary = content.evaluation.task.primary
    digits = decimals(primary, content.evaluation)
    rows = tuple(
        (
            Cell(_WITHIN[within]),
            Cell(number(one.mean, digits), f"{number(one.low, digits)} to {number(one.high, digits)}"),
            Cell(number(one.observed, digits)),
            Cell(number(one.chance, digits)),
            Cell("" if one.share != one.share else f"{100 * one.share:.0f}%"),
            Cell(p_value(one.p_value)),
        )
        for within, one in found.shuffled.items()
    )
    head = ("Labels permuted", "Mean and range", "True labels", "Constant", "Share of the gain left", "p")
    caption = f"{metric(primary, content.evaluation.task.unit)}, with permuted labels"
    reasons = [
        f"{_WITHIN[within]}: not permuted, because {why}." for within, why in found.not_possible.items()
    ]
    if found.n_twins is None:
        reasons.append("There are too many studies to look for one scan under two names.")
    else:
        reasons.append(
            f"{count(found.n_twins, 'pair')} of studies of different subjects {verb(found.n_twins, 'has', 'have')} "
            "nearly the same features, as one scan under two names would."
        )
    meaning = Prose(
        "Within sites, what is left of the result comes from differences between sites; within subjects, from who the "
        "subject is. Nothing should be left of a result that comes from the image."
    )
    blocks = [meaning, Table(caption, head, rows) if rows else None, Listing(tuple(reasons))]
    return section("leakage", "Leakage check", blocks)


def _association(found: Evaluation) -> Prose | None:
    text = association(found)
    return Prose(text) if text else None


def _decodability(found: Evaluation) -> Prose | None:
    text = decodability(found)
    return Prose(text) if text else None


def _table(found: Evaluation) -> Table:
    table = found.label_by_site.table
    unit = f", {found.task.unit}" if found.task.unit else ""
    if found.task.classes:
        head = ("Site", *found.task.classes, "All")
        return Table(f"Studies by site and class{unit}", head, _counts(table, found.task.classes))
    if found.task.labels:
        head = ("Site", "n", *found.task.labels)
        return Table(
            "Studies by site, and those with each label", head, _with_labels(table, found.task.labels)
        )
    if found.task.kind == "survival":
        head = ("Site", "n", "Events", f"Median time{unit}", f"Longest{unit}")
        return Table("Events and follow-up by site", head, _follow_up(table))
    return Table(f"Target by site{unit}", ("Site", "n", "Mean", "SD", "Min", "Max"), _numbers(table))


def _counts(table: dict[str, dict[str, float]], classes: tuple[str, ...]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            Cell(site or "unknown"),
            *(Cell(f"{own[name]:,.0f}", shade=own[name] / (sum(own.values()) or 1)) for name in classes),
            Cell(f"{sum(own.values()):,.0f}"),
        )
        for site, own in table.items()
    )


def _with_labels(table: dict[str, dict[str, float]], labels: tuple[str, ...]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            Cell(site or "unknown"),
            Cell(f"{own['n']:,.0f}"),
            *(Cell(f"{own[name]:,.0f}", shade=own[name] / (own["n"] or 1)) for name in labels),
        )
        for site, own in table.items()
    )


def _follow_up(table: dict[str, dict[str, float]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            Cell(site or "unknown"),
            Cell(f"{own['n']:,.0f}"),
            Cell(f"{own['events']:,.0f}", shade=own["events"] / (own["n"] or 1)),
            *(Cell(f"{own[name]:,.4g}") for name in ("median_time", "max_time")),
        )
        for site, own in table.items()
    )


def _numbers(table: dict[str, dict[str, float]]) -> tuple[tuple[Cell, ...], ...]:
    digits = min(decimals_for(max(abs(own["max"]) for own in table.values())), 6)
    ends = (
        0
        if all(float(own[name]).is_integer() for own in table.values() for name in ("min", "max"))
        else digits
    )
    return tuple(
        (
            Cell(site or "unknown"),
            Cell(f"{own['n']:,.0f}"),
            *(Cell(number(own[name], digits)) for name in ("mean", "sd")),
            *(Cell(number(own[name], ends)) for name in ("min", "max")),
        )
        for site, own in table.items()
    )


_COMPARED = (
    "mean_error",
    "balanced_accuracy",
    "sensitivity",
    "specificity",
    "brier",
    "in_the_large",
    "calibration_slope",
    "slope",
    "uno_c",
    "ibs",
    "mean_shift",
    "ordinal_c",
    "class_error",
    "calibration_ratio",
)
"""Beside the primary metric; others depend on the level's own spread or prevalence."""

_FEW = 4
"""Levels left out that are given in a list; more are given in a table."""


def by_group(content: PageContent) -> Section | None:
    """The section."""
    groups = content.evaluation.groups
    if not groups:
        return None
    shown = [one for one in groups.values() if one.levels]
    blocks = [
        _forest(content, shown) if shown else None,
        _gaps(content, shown) if any(one.gaps for one in shown) else None,
        _left_out(groups),
        _all_metrics(content, shown) if shown else None,
    ]
    return section("groups", "By group", blocks)


def _forest(content: PageContent, shown: list[GroupMetrics]) -> Figure:
    found = content.evaluation
    primary = found.task.primary
    rows = []
    for group in shown:
        rows.append(ForestRow(VARIABLES[group.variable]))
        rows += [
            ForestRow(level(group.variable, name), one[primary], group.n[name])
            for name, one in group.levels.items()
        ]
    overall = found.metrics[primary]
    chance = None if found.kind.chance is None else chance_in_reach(rows, overall, found.kind.chance)

    def paint(canvas: Canvas) -> None:
        draw_forest(canvas, rows, overall, metric(primary, found.task.unit), decimals(primary, found), chance)

    by = listed(VARIABLES[one.variable].partition(",")[0].lower() for one in shown)
    picture = svg("groups", f"Forest plot of the {in_sentence(primary)} by {by}.", paint, forest_size(rows))
    keys = [Key("all, with their interval", MAIN, "line")]
    if chance is not None:
        keys.append(Key("chance", MUTED, "line", REFERENCE))
    return Figure(picture, f"{metric(primary)} by {by}, with 95% intervals; n counts studies.", tuple(keys))


def _gaps(content: PageContent, shown: list[GroupMetrics]) -> Table:
    found = content.evaluation
    pairs = [one for one in shown if one.gaps]
    names = [name for name in (found.task.primary, *_COMPARED) if name in pairs[0].gaps]
    rows = tuple(
        (
            Cell(VARIABLES[one.variable], f"{len(one.levels)} levels"),
            *(cell(one.gaps[name], decimals(name, found)) for name in names),
        )
        for one in pairs
    )
    caption = (
        "Largest difference between two levels, with 95% intervals that allow for the choice among all pairs of "
        "levels. An interval that starts at 0 does not show a difference."
    )
    head = ("Variable", *(metric(name, found.task.unit) for name in names))
    return Table(caption, head, rows)


def _left_out(groups: dict[str, GroupMetrics]) -> Listing | Folded | None:
    reasons = [
        (VARIABLES[name].partition(",")[0], level(name, which), why)
        for name, one in groups.items()
        for which, why in one.left_out.items()
    ]
    if not reasons:
        return None
    if len(reasons) <= _FEW:
        return Listing(tuple(f"{name} {which} is not shown: {why}." for name, which, why in reasons))
    rows = tuple((Cell(which, name), Cell(why)) for name, which, why in reasons)
    table = Table("Levels not shown", ("Level", "Reason"), rows, text_columns=frozenset({0, 1}))
    return Folded(f"{len(reasons)} levels are not shown", table)


def _all_metrics(content: PageContent, shown: list[GroupMetrics]) -> Folded:
    found = content.evaluation
    names = list(next(iter(shown[0].levels.values())))
    rows = tuple(
        (
            Cell(level(group.variable, which), VARIABLES[group.variable].partition(",")[0]),
            Cell(f"{group.n[which]:,}"),
            *(cell(own[name], decimals(name, found)) for name in names),
        )
        for group in shown
        for which, own in group.levels.items()
    )
    head = ("Level", "n", *(metric(name, found.task.unit) for name in names))
    return Folded("All metrics by group", Table("All metrics by group, with 95% intervals", head, rows))
