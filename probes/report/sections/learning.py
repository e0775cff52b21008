"""What more training subjects would bring."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Cell, Figure, Key, Row, Section, Table, section
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, svg
from prima_features.page.plots.curves import draw_learning
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.sections.result import cell
from prima_features.probes.report.words import baseline, decimals, in_sentence, metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def learning(content: ReportContent) -> Section | None:
    """The section; None without a curve."""
    if not content.curve:
        return None
    return section("learning", "Learning curve", [Row((_figure(content), _table(content)))])


def _figure(content: ReportContent) -> Figure:
    found = content.evaluation
    primary = found.task.primary
    size = np.array([point.n_groups for point in content.curve])
    estimates = [point.estimate for point in content.curve]
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


def _table(content: ReportContent) -> Table:
    primary = content.evaluation.task.primary
    digits = decimals(primary, content.evaluation)
    rows = tuple((Cell(f"{point.n_groups:,.0f}"), cell(point.estimate, digits)) for point in content.curve)
    head = (f"Training {_whom(content)}", metric(primary, content.evaluation.task.unit))
    return Table("Mean number over the folds, and the metric with its 95% interval", head, rows)


def _whom(content: ReportContent) -> str:
    return "groups" if content.is_grouped else "subjects"
