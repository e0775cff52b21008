"""What the features are arranged by: the label, the site, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Figure, Key, Row, Section, section
from prima_features.page.digits import decimals_for, number
from prima_features.page.plots.canvas import COLOURS, OTHER, shortened, svg
from prima_features.page.plots.points import draw_by_name, draw_by_number, leading, number_colours
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.projection import FeatureMap
from prima_features.probes.report.words import target

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_LONGEST = 34
"""Letters of a name in a legend."""


def arrangement(content: ReportContent) -> Section | None:
    """The section; None without a map."""
    shown = content.map
    if shown is None:
        return None
    task = content.evaluation.task
    if task.is_classification:
        by_label = _by_name(shown, "label", shown.label.astype(str), [*task.classes])
    else:
        name = target(task) + (f", {task.unit}" if task.unit else "")
        by_label = _by_number(shown, name)
    figures = [by_label]
    if (shown.site != "").any():
        figures.append(_by_name(shown, "site", shown.site, leading(shown.site)))
    return section("map", "Feature map", [Row(tuple(figures))])


def _by_name(shown: FeatureMap, what: str, names: np.ndarray, coloured: list[str]) -> Figure:
    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_by_name(axes, shown.points, names, coloured)
        _name_axes(axes, shown)

    keys = [Key(shortened(name, _LONGEST), colour) for name, colour in zip(coloured, COLOURS, strict=False)]
    others = set(names.tolist()) - set(coloured)
    if others - {""}:
        keys.append(Key(f"{len(others - {''})} other {what}s", OTHER))
    elif others:
        keys.append(Key("unknown", OTHER))
    picture = svg(f"map-{what}", f"Feature map, coloured by {what}.", paint)
    return Figure(picture, f"Principal components of the features, coloured by {what}.", tuple(keys))


def _by_number(shown: FeatureMap, name: str) -> Figure:
    values = shown.label.astype(float)

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_by_number(axes, shown.points, values)
        _name_axes(axes, shown)

    digits = min(decimals_for(np.abs(values).max()), 6)
    ends = f"{number(values.min(), digits)} to {number(values.max(), digits)}"
    key = Key(f"{name}: {ends}", mark="scale", scale=number_colours())
    picture = svg("map-label", f"Feature map, coloured by {name}.", paint)
    return Figure(picture, "Principal components of the features, coloured by the target.", (key,))


def _name_axes(axes: Axes, shown: FeatureMap) -> None:
    first, second = (f"{100 * share:.0f}% of variance" for share in shown.share)
    axes.set_xlabel(f"Component 1, {first}")
    axes.set_ylabel(f"Component 2, {second}")
