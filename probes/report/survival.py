"""Predictions of survival: Kaplan-Meier curves by predicted risk, and calibration at the horizons."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.evaluation.survival import Times
from prima_features.page.blocks import Block, Cell, Figure, Key, Prose, Row, Table
from prima_features.page.digits import count, interval, number, p_text
from prima_features.page.plots.canvas import COLOURS, DASHES, MUTED, REFERENCE, SQUARE, line_style, svg
from prima_features.probes.evaluation.risk_groups import RiskGroups
from prima_features.probes.report.content import PageContent
from prima_features.wording import capital, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_MIN_PER_BIN = 20
_MOST_BINS = 5


def survival_blocks(content: PageContent) -> list[Block]:
    """Kaplan-Meier curves with numbers at risk, the log-rank test, and calibration."""
    found = content.evaluation.risk_groups
    assert found is not None
    figures = [_curves(content, found)]
    if content.evaluation.task.horizons:
        figures.append(_calibration(content))
    return [Row(tuple(figures)), _at_risk(content, found), *_log_rank(found)]


def _curves(content: PageContent, found: RiskGroups) -> Figure:
    unit = content.evaluation.task.unit
    places = {name: i for i, name in enumerate(found.groups)}

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for name, group in found.groups.items():
            times, values = group.curve
            style = {"color": COLOURS[places[name]], "linestyle": line_style(DASHES[places[name]])}
            axes.step((0, *times), (1, *values), where="post", **style)
        _unit_height(axes)
        axes.set_xlabel(f"Time, {unit}")
        axes.set_ylabel("Probability without event")

    picture = svg("kaplan-meier", "Kaplan-Meier curves by predicted risk.", paint, SQUARE)
    caption = (
        "Observed survival (Kaplan-Meier) by predicted risk. The limits of the groups are thirds of the training "
        "subjects' log risks."
    )
    keys = [
        Key(f"{name} risk: {group.n_events} of {group.n} had the event", COLOURS[i], "line", DASHES[i])
        for i, (name, group) in enumerate(found.groups.items())
    ]
    return Figure(picture, caption, tuple(keys))


def _at_risk(content: PageContent, found: RiskGroups) -> Table:
    head = (
        "Predicted risk",
        "Subjects",
        "Events",
        f"Time, {content.evaluation.task.unit}",
        "At risk",
        "Survival",
    )
    rows = []
    for name, group in found.groups.items():
        own = (Cell(capital(name)), Cell(f"{group.n:,}"), Cell(f"{group.n_events:,}"))
        for time, n, estimate in zip(found.horizons, group.at_risk[1:], group.survival, strict=True):
            survival = Cell(number(estimate.value, 3), interval(estimate, 3))
            rows.append((*own, Cell(f"{time:g}"), Cell(f"{n:,}"), survival))
            own = (Cell(""), Cell(""), Cell(""))
    caption = "Subjects at risk and observed survival by predicted risk, with 95% intervals (Greenwood)"
    return Table(caption, head, tuple(rows))


def _log_rank(found: RiskGroups) -> list[Prose]:
    """The test in a sentence; nothing if it is undefined."""
    if not np.isfinite(found.test.p_value):
        return []
    return [
        Prose(
            "Log-rank test of the risk groups, on predictions by models that had not seen the subject: "
            f"{log_rank_result(found)}."
        )
    ]


def log_rank_result(found: RiskGroups) -> str:
    """`chi-squared 25.67, 2 degrees of freedom, p < 0.0001`."""
    freedom = count(len(found.groups) - 1, "degree of freedom", "degrees of freedom")
    return f"chi-squared {number(found.test.chi2, 2)}, {freedom}, p {p_text(found.test.p_value)}"


def risk_group_counts(found: RiskGroups) -> str:
    """`4 of 28 subjects at low risk, 10 of 23 at middle risk and 22 of 29 at high risk`."""
    texts = [f"{one.n_events:,} of {one.n:,} at {name} risk" for name, one in found.groups.items()]
    return listed((texts[0].replace(" at ", " subjects at ", 1), *texts[1:]))


def _calibration(content: PageContent) -> Figure:
    task, table = content.evaluation.task, content.counted
    y = table["target"].to_numpy(dtype=float)
    keys = [Key(f"{time:g} {task.unit}", COLOURS[i % len(COLOURS)]) for i, time in enumerate(task.horizons)]

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
        for i, time in enumerate(task.horizons):
            predicted = 1 - table[f"survival_{time:g}"].to_numpy(dtype=float)
            mean, observed = _bins(y, predicted, time)
            axes.plot(mean, observed, color=COLOURS[i % len(COLOURS)], marker="o", markersize=4)
        axes.set_xlim(-0.02, 1.02)
        _unit_height(axes)
        axes.set_aspect("equal")
        axes.set_xlabel("Predicted probability of the event")
        axes.set_ylabel("Observed (Kaplan-Meier)")

    caption = (
        "Calibration: observed probability of the event by each horizon against the predicted one, in fifths."
    )
    picture = svg("survival-calibration", "Calibration at the horizons.", paint, SQUARE)
    return Figure(picture, caption, (*keys, Key("ideal", MUTED, "line", REFERENCE)))


def _bins(y: np.ndarray, predicted: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean predicted and observed probability of the event by a time, in groups of equal size."""
    n_bins = int(np.clip(len(y) // _MIN_PER_BIN, 1, _MOST_BINS))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, n_bins + 1)[1:-1]))
    place = np.digitize(predicted, edges)
    points = []
    for code in np.unique(place):
        own = Times(y[place == code])
        curve = own.survival(np.ones((1, len(own.y))))
        points.append((predicted[place == code].mean(), 1 - own.step(curve, np.array([time]))[0, 0]))
    mean, observed = np.array(points).T
    return mean, observed


def _unit_height(axes: Axes) -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks(np.linspace(0, 1, 6))
