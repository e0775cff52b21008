"""The methods and results sections of a paper, with the numbers of one run and the papers that they cite.

The sentences are in `methods.txt.jinja`, the papers in `references.toml`; here is what both need.
"""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd

from prima_features._version import __version__
from prima_features.evaluation.intervals import jackknifed
from prima_features.evaluation.survival import Times
from prima_features.models.caveats import bundled_as
from prima_features.page import template
from prima_features.page.digits import brief, count, decimals_for, number, p_text, p_value, short
from prima_features.probes.evaluation import Estimate, Evaluation
from prima_features.probes.evaluation.sizes import support
from prima_features.probes.kinds.base import MIN_GROUPS
from prima_features.probes.report import content as words
from prima_features.probes.report.attention import compared
from prima_features.probes.report.content import PageContent
from prima_features.probes.report.feature_map import MAX_ROWS
from prima_features.probes.report.over_time import changes, model, reliability
from prima_features.probes.report.severity import dispersed, odds
from prima_features.probes.report.survival import log_rank_result, risk_group_counts
from prima_features.probes.steps.adjust import MIN_ROWS
from prima_features.wording import capital, listed

_WITHIN = {"site": "within sites, between subjects", "subject": "between the studies of a subject"}
_RILEY = {
    "number": ("riley-numbers",),
    "classes": ("riley-classes",),
    "survival": ("riley-classes",),
    "multiclass": ("riley-classes", "pate"),
}
"""Papers on sample sizes by the kind of target."""
_COVARIATES = {"age": "age", "sex": "sex", "icv": "intracranial volume"}
_REGRESSIONS = {
    "cox": "Cox",
    "ordinal": "proportional-odds logistic",
    "poisson": "Poisson or negative binomial",
}
"""Default estimators by the name of their regression; others are called as the estimator."""
_PREDICTORS = {
    "age": ("age", "age squared"),
    "icv": ("intracranial volume",),
    "grade": ("the grade",),
    "site": ("the site",),
    "initial": ("the value at the first visit",),
}
"""Predictors of the baselines (`evaluation.baselines`) by the parts of their names; others are called as there."""


@dataclass(frozen=True)
class Reference:
    """One paper."""

    short: str
    """As cited in a sentence: `Platt 1999`."""
    full: str
    doi: str = ""


@cache
def references() -> dict[str, Reference]:
    """All papers that a methods section can cite, by their keys in `references.toml`."""
    table = tomllib.loads(files(__package__).joinpath("references.toml").read_text(encoding="utf-8"))
    return {key: Reference(**one) for key, one in table.items()}


@dataclass
class Citations:
    """The papers that one text has cited so far."""

    used: dict[str, Reference] = field(default_factory=dict)

    def __call__(self, *keys: str) -> str:
        """Cite papers, in round brackets."""
        cited = {key: references()[key] for key in keys}
        self.used |= cited
        return f"({'; '.join(one.short for one in cited.values())})"

    def listed(self) -> list[str]:
        """The cited papers with their DOIs, sorted by authors."""
        papers = sorted(self.used.values(), key=lambda one: one.full.casefold())
        return [f"{one.full}{f' doi:{one.doi}' if one.doi else ''}" for one in papers]


def methods_text(content: PageContent) -> str:
    """The methods and results sections for a paper, with the references that they cite.

    Args:
        content: an evaluation, and what else is known about the run.

    Returns:
        paragraphs under the headings Methods, Results and References, separated by empty lines.
    """
    cite = Citations()
    text = template("prima_features.probes.report", "methods.txt.jinja").render(_values(content, cite))
    paragraphs = [" ".join(one.split()) for one in text.split("\n\n") if one.strip()]
    return "\n\n".join([*paragraphs, "References", "\n".join(cite.listed())]) + "\n"


def versions(content: PageContent) -> dict[str, str]:
    """Versions of the packages that took part, by package, and of Python."""
    names = ["scikit-learn", "numpy"] + ["xgboost"] * (content.evaluation.recipe.estimator == "xgboost")
    found = {"prima-features": __version__} | {name: _version(name) for name in names}
    return found | {"Python": platform.python_version()}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed here"


def _values(content: PageContent, cite: Citations) -> dict[str, Any]:
    """The variables and functions of the template."""
    found, recipe = content.evaluation, content.evaluation.recipe
    task, training = found.task, content.training
    groups = {name: words.VARIABLES[name].partition(",")[0].lower() for name in found.groups}
    digits = words.decimals(task.primary, found)

    def value(name: str, one: Estimate) -> str:
        return brief(one, words.decimals(name, found), task.unit if name in words.IN_UNITS else "")

    return {
        "content": content,
        "found": found,
        "task": task,
        "recipe": recipe,
        "training": training,
        "splits": found.splits,
        "gap": found.gap,
        "over_time": found.gap_over_time,
        "reliability": reliability,
        "mixed_model": model,
        "changes": changes(found.visits) if found.visits else "",
        "cohort": _cohort(content),
        "bundled": bundled_as(training.source.model, training.source.model_sha256) if training else "",
        "n_left_out": len(found.predictions) - len(content.counted),
        "kind": found.kind,
        "targets": {} if task.classes or task.labels else _targets(content),
        "risk_groups": found.risk_groups,
        "odds": odds(found.thresholds) if found.thresholds else "",
        "dispersed": dispersed(found.dispersion) if found.dispersion else "",
        "n_binomial": _negative_binomial(found),
        "horizons": [f"{time:g}" for time in task.horizons],
        "n_inner": max((len(np.unique(fold.inner)) for fold in found.splits.folds), default=0)
        if found.splits
        else 0,
        "confounds": [_COVARIATES[name] for name in recipe.confounds],
        "estimator": recipe.estimator_name(task),
        "pooled": "tokens" if training and training.source.level == "token" else "series",
        "options": recipe.make(task).get_params(deep=False),
        "variance_factor": _variance_factor(found),
        "jackknifed": [
            words.the_metric(name)
            for name, one in found.metrics.items()
            if np.isfinite(one.ci_low) and jackknifed(name, one.value)
        ],
        "baselines": list(_baselines(found)),
        "variables": list(groups.values()),
        "permuted_within": [_WITHIN[name] for name in found.leakage.shuffled] if found.leakage else [],
        "support": support,
        "riley": _RILEY.get("multiclass" if task.kind == "multiclass" else found.kind.name, ()),
        "largest_differences": [
            f"{groups[name]} {value(task.primary, one.gaps[task.primary])}"
            for name, one in found.groups.items()
            if one.gaps and np.isfinite(one.gaps[task.primary].ci_low)
        ],
        "site_association": bool(np.isfinite(found.label_by_site.association)),
        "software": [
            f"{name} {number}" + (f" {cite(name)}" if name in ("scikit-learn", "numpy") else "")
            for name, number in versions(content).items()
        ],
        "primary": words.in_sentence(task.primary),
        "the_primary": words.the_metric(task.primary),
        "digits": digits,
        "combat_min_rows": MIN_ROWS,
        "mean_pooling": compared,
        "min_groups": MIN_GROUPS,
        "map_rows": MAX_ROWS,
        "cite": cite,
        "value": value,
        "thousands": "{:,}".format,
        "grid": grid,
        "count": count,
        "listed": listed,
        "number": number,
        "short": short,
        "brief": brief,
        "p_value": p_value,
        "p_text": p_text,
        "capital": capital,
        "log_rank_result": log_rank_result,
        "risk_group_counts": risk_group_counts,
    } | {
        name: getattr(words, name)
        for name in ("target", "baseline", "in_sentence", "main_result", "association", "decodability")
    }


def _cohort(content: PageContent) -> dict[str, Any]:
    """Numbers of the studies that count in the metrics."""
    task, table = content.evaluation.task, content.counted
    sexes = table["sex"].map({"F": "female", "M": "male"}).fillna("unknown").value_counts()
    n = {name: int(sexes.get(name, 0)) for name in ("female", "male", "unknown")}
    said = [f"{n['female']:,} were female", f"{n['male']:,} were male"] + [
        f"{n['unknown']:,} unknown"
    ] * bool(n["unknown"])
    return {
        "n_rows": len(table),
        "n_groups": table["group"].nunique(),
        "n_sites": table.loc[table["site"] != "", "site"].nunique(),
        "classes": words.class_counts(table, task),
        "ages": content.ages(table),
        "sexes": said if n["female"] + n["male"] else [],
    }


def _targets(content: PageContent) -> dict[str, str]:
    """Mean, standard deviation and range of a number that is predicted, or events and follow-up of survival."""
    if content.evaluation.task.kind == "survival":
        y = content.counted["target"].to_numpy(dtype=float)
        given, one = (
            Times(-y),
            np.ones((1, len(y))),
        )  # censoring as the event: the reverse Kaplan-Meier estimate
        reached = np.flatnonzero(given.survival(one)[0] <= 0.5)
        median = f"{given.unique[reached[0]]:,.4g}" if len(reached) else "not reached"
        return {"events": f"{int((y > 0).sum()):,}", "follow_up": median}
    values: pd.Series[float] = content.counted["target"].astype(float)
    digits = min(decimals_for(values.abs().max()), 6)
    ends = 0 if content.evaluation.task.kind == "count" else digits
    spread = {name: number(values.agg(name), digits) for name in ("mean", "std")}
    return spread | {name: number(values.agg(name), ends) for name in ("min", "max")}


def _negative_binomial(found: Evaluation) -> str:
    """In how many folds a regression of counts was negative binomial; empty for others."""
    chosen = found.fold_scores.parameters if found.fold_scores else ()
    dispersed = [one["dispersion"] > 0 for one in chosen if "dispersion" in one]
    return f"{sum(dispersed)} of {len(dispersed)}" if dispersed else ""


def _variance_factor(found: Evaluation) -> float:
    """By which the variance of the bootstrap's weights was raised (see `scored.training_variance`); 0 if it was not."""
    splits, scores = found.splits, found.fold_scores
    if splits is None or scores is None or len(splits.folds) == 1:
        return 0.0
    return float(1 + scores.n_test.sum() / splits.n_repeats / scores.n_train.mean())


def _baselines(found: Evaluation) -> Iterator[str]:
    """What the baselines were."""
    if "dummy" in found.baselines:
        averaged = found.splits is not None and len(found.splits.folds) > 1
        yield found.kind.words.typical + (" (averaged over folds)" if averaged else "")
    if others := [name for name in found.baselines if name != "dummy"]:
        parts = [
            [one for part in name.split("_") for one in _PREDICTORS.get(part, (part,))] for name in others
        ]
        on = listed((f"on {listed(names)}" for names in parts), "or")
        estimator = found.kind.estimators[0]
        yield f"{_REGRESSIONS.get(estimator, estimator)} regression {on}, fitted in the same folds"


def grid(what: str, values: Sequence[float]) -> str:
    """`a penalty of 0.1, 1 or 10`, `a penalty (one of 20 values from 0.01 to 1,000,000)`."""
    ordered = sorted(set(values))
    if len(ordered) > 5:
        return f"{what} (one of {len(ordered)} values from {short(ordered[0])} to {short(ordered[-1])})"
    return f"{what} of {listed((short(value) for value in ordered), 'or')}"
