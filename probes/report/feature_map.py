"""The feature map: the features of all studies in two dimensions, coloured by label and by site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Figure, Key, Row, Section, section
from prima_features.page.digits import decimals_for, number
from prima_features.page.plots.canvas import COLOURS, OTHER, shortened, svg
from prima_features.page.plots.points import draw_by_name, draw_by_number, leading, number_colours
from prima_features.probes.linalg.rows import Reduction, Rows, Scaling
from prima_features.probes.report.content import PageContent, target

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    from prima_features.probes.tasks import Task

MAX_ROWS = 5000
"""More are thinned at random."""
OUTCOMES = ("event", "censored")
"""Labels of survival."""
_LONGEST = 34
"""Letters of a name in a legend."""


@dataclass(frozen=True)
class FeatureMap:
    """The first two principal components of the standardised features."""

    points: np.ndarray
    """(n, 2)."""
    share: tuple[float, float]
    """Part of the variance of the standardised features along each axis."""
    label: np.ndarray
    """(n,) class names, numbers (of labels, how many are present), or of survival `OUTCOMES`."""
    site: np.ndarray
    """(n,) text, empty if unknown."""


def feature_map(X: np.ndarray, frame: pd.DataFrame, task: Task, seed: int = 0) -> FeatureMap:
    """Project studies on the two directions in which their features vary most.

    Args:
        X: (N, D) features.
        frame: N rows with `target`, and `site` if it is known.
        task: what the target is.
        seed: of the draw of at most `MAX_ROWS` rows.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(X))[:MAX_ROWS])
    rows = Rows(X, drawn)
    reduction = Reduction(components=2, whiten=True).fit(rows)
    points = np.zeros((len(drawn), 2))
    found = reduction.transform(rows) * np.sqrt(reduction.variance_)
    points[:, : found.shape[1]] = found
    # The sign of a component is arbitrary: the farthest point is put on the positive side.
    points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    share = np.zeros(2)
    share[: found.shape[1]] = (found**2).mean(axis=0) / _total_variance(rows)
    chosen = frame.iloc[drawn]
    site = chosen["site"].fillna("") if "site" in chosen else np.full(len(drawn), "")
    label = chosen["target"].to_numpy(dtype=object if task.classes or task.labels else float)
    if task.labels:
        present = np.array([text.split(",") for text in label]) == "1"
        label = present.sum(axis=1).astype(float)
    if task.kind == "survival":
        label = np.where(label > 0, *OUTCOMES).astype(object)
    return FeatureMap(points, (float(share[0]), float(share[1])), label, np.array(site, dtype=str))


def _total_variance(rows: Rows) -> float:
    scaling = Scaling.fit(rows)
    total = sum((scaling.apply(values, columns) ** 2).sum() for columns, values in rows.column_chunks())
    return float(total) / len(rows) or 1.0


def arrangement(content: PageContent) -> Section | None:
    """The section; None without a map."""
    shown = content.map
    if shown is None:
        return None
    task = content.evaluation.task
    if names := OUTCOMES if task.kind == "survival" else task.classes:
        by_label = _by_name(shown, "label", shown.label.astype(str), [*names])
    else:
        name = target(task) + (f", {task.unit}" if task.unit else "")
        name = "number of labels that are present" if task.labels else name
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

    whole = bool((values == values.round()).all())
    digits = 0 if whole else min(decimals_for(np.abs(values).max()), 6)
    ends = f"{number(values.min(), digits)} to {number(values.max(), digits)}"
    key = Key(f"{name}: {ends}", mark="scale", scale=number_colours())
    picture = svg("map-label", f"Feature map, coloured by {name}.", paint)
    return Figure(picture, "Principal components of the features, coloured by the target.", (key,))


def _name_axes(axes: Axes, shown: FeatureMap) -> None:
    first, second = (f"{100 * share:.0f}% of variance" for share in shown.share)
    axes.set_xlabel(f"Component 1, {first}")
    axes.set_ylabel(f"Component 2, {second}")
