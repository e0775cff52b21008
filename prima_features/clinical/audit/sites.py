"""Accuracy across sites (or vendors): heterogeneity, what to expect at a new site, and every site left out in turn.

Logits of the sites' AUROC are pooled with random effects (`evaluation.pooling`); tau is on that scale, means and
intervals are brought back to AUROC. Sites with too few labels of a name are not in its pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prima_features.clinical.audit.groups import ByVariable
from prima_features.clinical.audit.measure import Measured, log_odds
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.pooling import Pooled, pool
from prima_features.files.tables import spelling
from prima_features.page.blocks import (
    Block,
    Cell,
    Figure,
    Folded,
    Key,
    Prose,
    Section,
    Table,
    label,
    p_cell,
    section,
)
from prima_features.page.digits import interval, number
from prima_features.page.plots.canvas import MAIN, svg
from prima_features.page.plots.forest import ForestRow, draw_forest, forest_size

COLUMNS = (
    "site",
    "hospital",
    "center",
    "county",
    "vendor",
    "manufacturer",
    "scanner",
    "scanner_model",
    "field_strength",
)
"""Variables that are treated as sites."""


@dataclass(frozen=True)
class Sites:
    """One variable."""

    variable: str
    pooled: dict[str, Pooled]
    """By name, on the scale of log odds."""
    without: dict[str, dict[str, float]]
    """By name and site: the pooled AUROC of the other sites."""
    alone: dict[str, dict[str, float]]
    """By name and site: the site's own AUROC."""

    def document(self) -> dict[str, Any]:
        """For audit.json; AUROC except for tau, Q and I squared."""
        return {
            name: {
                "mean": vars(mean(one)),
                "prediction": [_auroc(one.prediction_low), _auroc(one.prediction_high)],
                "tau_logit": one.tau,
                "q": one.q,
                "p_heterogeneity": one.p_heterogeneity,
                "i_squared": one.i_squared,
                "sites": one.k,
                "site_alone": self.alone[name],
                "without_site": self.without[name],
            }
            for name, one in self.pooled.items()
        }


@dataclass(frozen=True)
class AcrossSites:
    """All variables that stand for sites."""

    variables: tuple[Sites, ...]

    def document(self) -> dict[str, Any]:
        """For audit.json, by variable."""
        return {one.variable: one.document() for one in self.variables}

    def section(self) -> Section | None:
        """Of the page."""
        blocks: list[Block] = []
        for one in self.variables:
            if one.pooled:
                blocks += [_forest(one), Folded(f"{one.variable}: heterogeneity of each name", _table(one))]
        if not blocks:
            return None
        said = (
            "The mean AUROC of each name over sites (random effects on log odds: Paule and Mandel's "
            "variance between sites, Hartung and "
            "Knapp's interval) and the interval in which the true AUROC of a new site is expected. It "
            "needs three sites, and with few "
            "it is wide."
        )
        return section("sites", "Sites and scanners", [Prose(said), *blocks])


def across_sites(names: tuple[str, ...], groups: dict[str, ByVariable]) -> AcrossSites:
    """Pool each name over the levels of each variable that stands for sites."""
    return AcrossSites(tuple(_sites(names, one) for name, one in groups.items() if spelling(name) in COLUMNS))


def mean(one: Pooled) -> Estimate:
    """The pooled AUROC."""
    return Estimate(_auroc(one.mean), _auroc(one.ci_low), _auroc(one.ci_high))


def _sites(names: tuple[str, ...], one: ByVariable) -> Sites:
    pooled: dict[str, Pooled] = {}
    without: dict[str, dict[str, float]] = {}
    alone: dict[str, dict[str, float]] = {}
    for i, name in enumerate(names):
        own = {level: found[i] for level, found in one.levels.items() if not found[i].reason}
        if len(own) < 2:
            continue
        values, errors = (np.array(part) for part in zip(*map(_with_error, own.values()), strict=True))
        if (made := pool(values, errors)) is None:
            continue
        pooled[name] = made
        alone[name] = {level: each.estimates["auroc"].value for level, each in own.items()}
        without[name] = {}
        for place, level in enumerate(own):
            rest = np.delete(np.arange(len(own)), place)
            others = pool(values[rest], errors[rest])
            without[name][level] = _auroc(others.mean if others else float(values[rest][0]))
    return Sites(one.variable, pooled, without, alone)


def _with_error(one: Measured) -> tuple[float, float]:
    value, resampled, least = log_odds("auroc", one)
    return value, max(float(resampled.std()), least)


def _auroc(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))


def _forest(one: Sites) -> Figure:
    order = sorted(one.pooled, key=lambda name: -one.pooled[name].mean)
    rows: list[ForestRow] = []
    for name in order:
        pooled = one.pooled[name]
        spread = Estimate(_auroc(pooled.mean), _auroc(pooled.prediction_low), _auroc(pooled.prediction_high))
        rows.append(ForestRow(label(name), spread, pooled.k))
    overall = Estimate(float(np.mean([_auroc(each.mean) for each in one.pooled.values()])))
    picture = svg(
        f"sites-{spelling(one.variable)}",
        f"Prediction intervals of the AUROC at a new {one.variable}.",
        lambda canvas: draw_forest(canvas, rows, overall, "AUROC", 3, None),
        forest_size(rows),
    )
    caption = (
        f"Mean AUROC over levels of {one.variable} with the 95% prediction interval for a new one; n "
        f"counts levels. The line is "
        "the mean over names."
    )
    return Figure(picture, caption, (Key("mean over names", MAIN, "line"),))


def _table(one: Sites) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for name, pooled in one.pooled.items():
        without = one.without[name]
        lowest, highest = (
            min(without, key=lambda level: without[level]),
            max(without, key=lambda level: without[level]),
        )
        prediction = Estimate(0.0, _auroc(pooled.prediction_low), _auroc(pooled.prediction_high))
        rows.append(
            (
                Cell(label(name), f"{pooled.k} levels"),
                Cell(number(_auroc(pooled.mean), 3), interval(mean(pooled), 3)),
                Cell(interval(prediction, 3) or "-"),
                Cell(number(pooled.tau, 2), f"I² {100 * pooled.i_squared:.0f}%"),
                p_cell(pooled.p_heterogeneity),
                Cell(number(without[lowest], 3), f"without {lowest}"),
                Cell(number(without[highest], 3), f"without {highest}"),
            )
        )
    head = (
        "Name", "Mean AUROC", "New level", "tau (log odds)", "p of no heterogeneity", "Lowest, one left "
        "out", "Highest, one left out",
    )  # fmt: skip
    return Table(f"AUROC across levels of {one.variable}", head, tuple(rows))
