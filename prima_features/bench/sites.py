"""Sites and groups: each site left out, the site read from the vectors, the worst group, and the OpenBHB metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from prima_features.bench.measure import ProbeResults, compare, plain
from prima_features.bench.options import BenchOptions
from prima_features.bench.reliability import variance_between
from prima_features.errors import UsageError
from prima_features.evaluation.folds import deal
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.checks import SiteDecodability, site_decodability
from prima_features.probes.evaluation.scored import Scored, by_groups, cross_validate, scored
from prima_features.probes.evaluation.splits import Fold, Splits, draw
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task

_GRID = (100.0, 10.0, 1.0, 0.1, 0.01)
OPENBHB_POWER = 0.3
"""Of the balanced accuracy of site in the challenge's score."""
TRAIN, INTERNAL, EXTERNAL = "train", "internal_test", "external_test"
"""Values of the column `split` in OpenBHB's table."""


@dataclass(frozen=True)
class WorstGroup:
    """The level of sex, age band, site, scanner or field strength with the worst primary metric."""

    variable: str
    level: str
    n: int
    estimate: Estimate

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"variable": self.variable, "level": self.level, "n": self.n} | self.estimate.to_dict()


@dataclass(frozen=True)
class OpenBHB:
    """The metric of the OpenBHB challenge: external MAE times balanced accuracy of site to the power 0.3."""

    internal_mae: Estimate
    external_mae: Estimate
    """Years, at sites that are not in training."""
    site_balanced_accuracy: Estimate
    official_split: bool
    """Fitted and tested on the challenge's own sets. Otherwise: cross-validation, sites left out, and sites with 10
    subjects or more."""

    @property
    def score(self) -> float:
        """Lower is better."""
        return float(self.external_mae.value * self.site_balanced_accuracy.value**OPENBHB_POWER)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        estimates = {name: one for name, one in vars(self).items() if isinstance(one, Estimate)}
        return plain(estimates | {"score": Estimate(self.score)}) | {"official_split": self.official_split}


@dataclass(frozen=True)
class SiteResults:
    """By encoder; empty if sites or groups are unknown."""

    left_out: ProbeResults | None
    """Each site predicted by a probe of the others."""
    why_not: str
    """Why no site can be left out; empty if they were."""
    decodability: dict[str, SiteDecodability]
    variance: dict[str, float]
    """Share of the variance of the vectors between sites. Sites with other subjects differ for that as well."""
    worst: dict[str, WorstGroup]
    openbhb: dict[str, OpenBHB]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "leave_site_out": self.left_out.to_dict() if self.left_out else None,
            "leave_site_out_impossible": self.why_not,
            "site_decodability": {name: one.to_dict() for name, one in self.decodability.items()},
            "site_variance": {name: {"value": one} for name, one in self.variance.items()},
            "worst_group": {name: one.to_dict() for name, one in self.worst.items()},
            "openbhb": {name: one.to_dict() for name, one in self.openbhb.items()},
        }


def sites(given: Mapping[str, Samples], main: ProbeResults, options: BenchOptions) -> SiteResults:
    """Evaluate all encoders by site and by group.

    Args:
        given: studies of each encoder.
        main: results of the main probe in cross-validation.
        options: of the bench.
    """
    worst = {
        name: group
        for name, result in main.results.items()
        if (group := worst_group(result, _frame(given[name], result)))
    }
    if not options.site_check:
        return SiteResults(None, "", {}, {}, worst, {})
    left_out, why_not = None, ""
    some = next(iter(given.values()))
    try:
        splits = draw(some, replace(options.scheme, kind="leave-site-out"))
        left_out = compare(given, options, options.probes[0], splits)
    except UsageError as error:
        why_not = str(error)
    seed = options.scheme.seed
    read = {name: site_decodability(own, options.n_bootstrap, seed) for name, own in given.items()}
    decodability = {name: one for name, one in read.items() if one is not None}
    shares = {name: variance_between(own.X, own.sites) for name, own in given.items()}
    variance = {name: share for name, share in shares.items() if np.isfinite(share)}
    found = SiteResults(left_out, why_not, decodability, variance, worst, {})
    return replace(found, openbhb=_openbhb(given, main, found, options)) if some.task.is_age else found


def _frame(given: Samples, result: Scored) -> pd.DataFrame:
    rows = np.flatnonzero(given.eligible)
    if len(rows) != len(result.y):
        raise ValueError("the main probe must be tested on all eligible studies")
    return given.frame.iloc[rows].assign(age=given.age[rows])


def worst_group(result: Scored, frame: pd.DataFrame) -> WorstGroup | None:
    """The group with the worst primary metric; None if no variable has two levels with enough subjects.

    Being the worst of several, it looks worse than it is: compare encoders by it, not groups.
    """
    metric, sign = result.task.primary, -1 if result.kind.higher_is_better else 1
    found = [
        WorstGroup(variable, level, groups.n[level], metrics[metric])
        for variable, groups in by_groups(result, frame).items()
        for level, metrics in groups.levels.items()
        if len(groups.levels) > 1 and np.isfinite(metrics[metric].value)
    ]
    return max(found, key=lambda one: sign * one.estimate.value, default=None)


def _openbhb(
    given: Mapping[str, Samples], main: ProbeResults, found: SiteResults, options: BenchOptions
) -> dict[str, OpenBHB]:
    some = next(iter(given.values()))
    split = np.char.lower(some.frame["split"].to_numpy(dtype=str))
    if {TRAIN, INTERNAL, EXTERNAL} <= set(split.tolist()):
        return {name: _official(own, split, options) for name, own in given.items()}
    if found.left_out is None:
        return {}
    return {
        name: OpenBHB(
            main.encoders[name]["mae"],
            found.left_out.encoders[name]["mae"],
            one.balanced_accuracy,
            official_split=False,
        )
        for name, one in found.decodability.items()
    }


def _official(given: Samples, split: np.ndarray, options: BenchOptions) -> OpenBHB:
    """Ridge for age and logistic regression for site, penalties of 0.01 to 100, fitted on the training set."""
    inner, seed = options.scheme.inner_folds, options.scheme.seed
    ridge = Recipe("ridge", {"alphas": _GRID}, inner_folds=inner, seed=seed)
    internal, external = (_tested(given, split, name, ridge, options)["mae"] for name in (INTERNAL, EXTERNAL))
    known = given.sites != ""
    names = np.unique(given.sites[known & (split == TRAIN)])
    rows = np.flatnonzero(np.isin(given.sites, names) & np.isin(split, (TRAIN, INTERNAL)))
    frame = given.frame.iloc[rows].assign(target=given.sites[rows]).reset_index(drop=True)
    site = samples(given.X[rows], frame, Task("site", "the site of the scan", tuple(names.tolist())))
    logistic = Recipe("logistic", {"C": _GRID, "components": None}, inner_folds=inner, seed=seed)
    accuracy = _tested(site, split[rows], INTERNAL, logistic, options)["balanced_accuracy"]
    return OpenBHB(internal, external, accuracy, official_split=True)


def _tested(
    given: Samples, split: np.ndarray, name: str, recipe: Recipe, options: BenchOptions
) -> dict[str, Estimate]:
    """Metrics of the rows of one set by a probe of the training set."""
    train = np.flatnonzero((split == TRAIN) & given.eligible)
    strata = given.kind.strata(given.y[train], given.groups[train], recipe.inner_folds)
    inner = deal(given.groups[train], strata, recipe.inner_folds, recipe.seed)
    fold = Fold(train, np.flatnonzero((split == name) & given.eligible), inner)
    predicted = cross_validate(given, recipe, Splits((fold,), len(given)))
    return scored(given, predicted, options.n_bootstrap, recipe.seed).estimates()
