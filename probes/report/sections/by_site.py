"""How much of the site is in the labels and in the features."""

from __future__ import annotations

from prima_features.page.blocks import Cell, Prose, Section, Table, section
from prima_features.page.digits import decimals_for, number
from prima_features.probes.evaluation import Evaluation
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.sentences import association, decodability


def by_site(content: ReportContent) -> Section | None:
    """The section; None where no site is known."""
    found = content.evaluation
    if set(found.label_by_site.table) <= {""}:
        return None
    return section("sites", "Sites", [_association(found), _decodability(found), _table(found)])


def _association(found: Evaluation) -> Prose | None:
    text = association(found)
    return Prose(text) if text else None


def _decodability(found: Evaluation) -> Prose | None:
    text = decodability(found)
    return Prose(text) if text else None


def _table(found: Evaluation) -> Table:
    table = found.label_by_site.table
    rows = _counts(table, found.task.classes) if found.task.classes else _numbers(table)
    head = (
        ("Site", *found.task.classes, "All")
        if found.task.classes
        else ("Site", "n", "Mean", "SD", "Min", "Max")
    )
    what = "Studies by site and class" if found.task.classes else "Target by site"
    unit = f", {found.task.unit}" if found.task.unit else ""
    return Table(f"{what}{unit}", head, rows)


def _counts(table: dict[str, dict[str, float]], classes: tuple[str, ...]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(
        (
            Cell(site or "unknown"),
            *(Cell(f"{own[name]:,.0f}", shade=own[name] / (sum(own.values()) or 1)) for name in classes),
            Cell(f"{sum(own.values()):,.0f}"),
        )
        for site, own in table.items()
    )


def _numbers(table: dict[str, dict[str, float]]) -> tuple[tuple[Cell, ...], ...]:
    digits = min(decimals_for(max(abs(own["max"]) for own in table.values())), 6)
    return tuple(
        (
            Cell(site or "unknown"),
            Cell(f"{own['n']:,.0f}"),
            *(Cell(number(own[name], digits)) for name in ("mean", "sd", "min", "max")),
        )
        for site, own in table.items()
    )
