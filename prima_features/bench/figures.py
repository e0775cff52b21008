"""The two figures of bench.html: accuracy against cost, and reliability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.bench.metric_names import METRICS
from prima_features.page.blocks import Figure, Key, label
from prima_features.page.plots.canvas import COLOURS, MUTED, REFERENCE, line_style, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_IN_A_ROW = 4
_PANEL_SIZE = 3.2
_MARKERS = "osD^vPX*"
_SHOWN = {
    "icc": "ICC(2,1)",
    "icc_distance": "ICC of distances",
    "identification": "identification",
    "discriminability": "discriminability",
    "scanner_variance": "scanner's share",
}


def accuracy_figure(document: Mapping[str, Any]) -> Figure:
    """The primary metric of each encoder against seconds per scan; in the order given if no time is known.

    Each task has a panel, four in a row.
    """
    tasks = list(document["tasks"].items())
    columns = min(len(tasks), _IN_A_ROW)
    rows = -(-len(tasks) // _IN_A_ROW)
    encoders = list(document["encoders"])
    seconds = {name: document["encoders"][name]["cost_per_scan"]["seconds"] for name in encoders}
    timed = all(value for value in seconds.values())

    def paint(canvas: Canvas) -> None:
        panels = np.ravel(canvas.subplots(rows, columns, squeeze=False))
        for axes in panels[len(tasks) :]:
            axes.set_visible(False)
        for axes, (key, task) in zip(panels, tasks, strict=False):
            _accuracy(
                axes, task, [seconds[name] if timed else i for i, name in enumerate(encoders)], encoders
            )
            axes.set_title(label(key))
            if timed:
                axes.set_xscale("log")
                # Formatters of logarithmic axes write formulas, which pages do not draw.
                axes.xaxis.set_major_formatter(_plain)
                axes.xaxis.set_minor_formatter(_plain if len(set(seconds.values())) == 1 else "")
                axes.set_xlabel("Seconds per scan")
            else:
                axes.set_xticks([])
                axes.set_xlim(-0.6, len(encoders) - 0.4)

    alt = "Accuracy of each encoder" + (" against its time per scan." if timed else ".")
    picture = svg("accuracy", alt, paint, (_PANEL_SIZE * columns + 0.6, 3.4 * rows))
    keys = [Key(name, _colour(i)) for i, name in enumerate(encoders)]
    keys.append(Key("best baseline", MUTED, "line", REFERENCE))
    caption = "Main probe with 95% intervals over subjects" + (
        ", against the time per scan." if timed else ". Times per scan are not known for all encoders."
    )
    return Figure(picture, caption, tuple(keys))


def _plain(value: float, place: int | None = None) -> str:
    return f"{value:g}"


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _accuracy(axes: Axes, task: Mapping[str, Any], places: list[float], encoders: list[str]) -> None:
    metric = task["primary"]
    for i, (name, place) in enumerate(zip(encoders, places, strict=True)):
        _point(axes, place, task["encoders"][name][metric], i)
    values = [one[metric]["value"] for one in task["baselines"].values() if one[metric]["value"] is not None]
    if values:
        best = max(values) if task["higher_is_better"] else min(values)
        axes.axhline(best, color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
    unit = f", {task['unit']}" if task["unit"] and metric == "mae" else ""
    better = "higher" if task["higher_is_better"] else "lower"
    name = METRICS[metric]
    axes.set_ylabel(f"{name}{unit} ({better} is better)")
    axes.grid(axis="y")


def _point(axes: Axes, x: float, one: Mapping[str, Any], i: int, *, filled: bool = True) -> None:
    if one["value"] is None:
        return
    ends = [one["value"] if one[key] is None else one[key] for key in ("ci_low", "ci_high")]
    axes.plot([x, x], ends, color=_colour(i), linewidth=1.2, solid_capstyle="butt")
    axes.plot(
        x,
        one["value"],
        marker=_MARKERS[i // len(COLOURS) % len(_MARKERS)],
        color=_colour(i),
        markerfacecolor=_colour(i) if filled else "white",
        markersize=6,
    )


def reliability_figure(found: Mapping[str, Any]) -> Figure:
    """Each number of reliability of each encoder, before and after ComBat."""
    names = [name for name in _SHOWN if any(name in one for one in found.values())]
    step = 0.8 / len(found)

    def paint(canvas: Canvas) -> None:
        axes = canvas.subplots()
        for i, one in enumerate(found.values()):
            for j, name in enumerate(names):
                place = j - 0.4 + (i + 0.5) * step
                if name in one:
                    _point(axes, place - 0.12 * step, one[name], i)
                if one["combat"] and name in one["combat"]:
                    _point(axes, place + 0.18 * step, one["combat"][name], i, filled=False)
        axes.set_xticks(range(len(names)), [_SHOWN[name] for name in names])
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.set_ylim(top=1.03)
        axes.grid(axis="y")

    picture = svg("reliability", "Reliability of each encoder on repeat scans.", paint, (7.6, 3.4))
    keys = tuple(Key(name, _colour(i)) for i, name in enumerate(found))
    caption = (
        "Repeat scans, with 95% intervals over subjects; filled: as embedded, open: after ComBat. The scanner's share "
        "of the variance is better if low, all others if high."
    )
    return Figure(picture, caption, keys)
