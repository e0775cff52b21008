"""The section on attention weights: compared with the mean, by kind of sequence, and of tokens by place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Block, Cell, Figure, Folded, Key, Prose, Row, Section, Table, section
from prima_features.page.digits import count, number, percent, with_interval
from prima_features.page.plots.canvas import MAIN, MUTED, PANEL, svg
from prima_features.probes.evaluation.attention import Attention, Share
from prima_features.probes.report.content import PageContent, decimals, in_sentence
from prima_features.probes.report.result import cell

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_MOST_PLACES = 12
_NAMES = {
    "dwi": "Diffusion",
    "bold": "BOLD",
    "perfusion": "Perfusion",
    "swi": "Susceptibility",
    "flair": "FLAIR",
    "t1c": "T1, contrast",
    "t1": "T1",
    "t2": "T2",
    "pd": "Proton density",
    "other": "Other or unknown",
}
"""Of `studies.sequences.SEQUENCES`."""
_ROW_HEIGHT = 0.28
"""Inches."""


def attention(content: PageContent) -> Section | None:
    """The section; None for probes that do not pool with attention."""
    found = content.evaluation.attention
    if found is None:
        return None
    blocks: list[Block | None] = [
        Prose(compared(content, found)) if found.over_mean else None,
        _metrics(content, found) if found.over_mean else None,
        Prose(_used(found)),
        Row((_figure(found), _table(found))),
        _places(found),
    ]
    return section("attention", "Attention weights", blocks)


def compared(content: PageContent, found: Attention) -> str:
    """Attention and mean pooling in a sentence."""
    evaluation = content.evaluation
    primary, unit = (
        evaluation.task.primary,
        evaluation.task.unit if evaluation.task.metrics[0] == "mae" else "",
    )
    digits = decimals(primary, evaluation)
    assert found.over_mean is not None
    pooled = "tokens" if found.places else "series"
    text = (
        f"With the mean of the {pooled} instead of attention, {evaluation.kind.estimators[0]} regression in the same "
        f"folds has {in_sentence(primary)} {with_interval(found.mean[primary], digits, unit)}; attention minus mean is "
        f"{with_interval(found.over_mean, digits, unit)}"
    )
    low, high = found.over_mean.ci_low, found.over_mean.ci_high
    if not np.isfinite(low):
        return f"{text}."
    if low <= 0 <= high:
        return f"{text}. The interval includes 0: attention is not shown to be better than the mean."
    better = (low > 0) == evaluation.kind.higher_is_better
    return f"{text}: attention is {'better' if better else 'worse'}."


def _metrics(content: PageContent, found: Attention) -> Folded:
    evaluation = content.evaluation
    rows = tuple(
        (
            Cell(in_sentence(name)[:1].upper() + in_sentence(name)[1:]),
            *(cell(one[name], decimals(name, evaluation)) for one in (evaluation.metrics, found.mean)),
        )
        for name in evaluation.task.metrics
    )
    table = Table("Metrics with 95% intervals", ("Metric", "Attention", "Mean"), rows)
    return Folded("All metrics of attention and mean pooling", table)


def _used(found: Attention) -> str:
    return (
        "Weights sum to 1 per study. The effective share of a study's vectors that is used, 1 / (n \u00d7 sum of "
        f"squared weights), is {percent(found.used, 1)} on average (100% if all weights are equal). Weights show what "
        "the prediction is pooled from, not what causes it; without signal they are arbitrary."
    )


def _figure(found: Attention) -> Figure:
    shown = list(found.sequences.items())

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for place, (_, one) in enumerate(shown):
            axes.plot([one.low, one.high], [place, place], color=MAIN, linewidth=2, alpha=0.5)
            axes.plot(one.mean, place, "o", color=MAIN, markersize=5)
            axes.plot(one.equal, place, "|", color=MUTED, markersize=12, markeredgewidth=1.5)
        axes.set_yticks(range(len(shown)), [_NAMES[name] for name, _ in shown])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlim(0, max(0.05, 1.05 * max(max(one.high, one.equal) for _, one in shown)))
        axes.set_xlabel("Weight per study")

    size = (PANEL[0], max(1.6, 0.8 + _ROW_HEIGHT * len(shown)))
    picture = svg("attention-sequences", "Mean attention weight by kind of sequence.", paint, size)
    keys = (Key("mean, with 10th to 90th percentile", MAIN), Key("equal weights", MUTED, "line"))
    return Figure(picture, "Total weight of the series of each kind, over the studies that have one.", keys)


def _table(found: Attention) -> Table:
    rows = tuple((Cell(_NAMES[name]), *_cells(one)) for name, one in found.sequences.items())
    caption = (
        "Weight per study by kind of sequence (from the names of the series): mean with standard deviation"
    )
    return Table(caption, ("Sequence", "Studies", "Weight", "If equal", "Ratio"), rows)


def _cells(one: Share) -> tuple[Cell, ...]:
    return (
        Cell(f"{one.n_studies:,}"),
        Cell(number(one.mean, 3), f"\u00b1 {number(one.sd, 3)}"),
        Cell(number(one.equal, 3)),
        Cell(number(one.mean / one.equal, 2)),
    )


def _places(found: Attention) -> Table | None:
    if not found.places:
        return None
    shown = list(found.places.items())[:_MOST_PLACES]
    rows = tuple((Cell(_NAMES[name], place), *_cells(one)) for (name, place), one in shown)
    caption = (
        f"Places with the largest weights relative to equal ones ({count(len(shown), 'place')} of "
        f"{len(found.places):,}): thirds of the stored axes z / y / x, of the extent of the tokens of a series"
    )
    return Table(caption, ("Sequence and place", "Studies", "Weight", "If equal", "Ratio"), rows)
