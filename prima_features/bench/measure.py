"""One task: every encoder's probe on the same folds, metrics with intervals, and paired differences."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from prima_features.bench.options import BenchOptions, ProbeKind
from prima_features.errors import UsageError
from prima_features.evaluation.compare import corrected_t_test
from prima_features.evaluation.gaps import holm
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.record import FoldScores, fold_scores
from prima_features.probes.evaluation.refits import baselines
from prima_features.probes.evaluation.scored import Scored, cross_validate, scored
from prima_features.probes.evaluation.splits import Splits
from prima_features.probes.samples import Samples

Estimates = dict[str, Estimate]
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Difference:
    """First minus second encoder of the primary metric."""

    first: str
    second: str
    estimate: Estimate
    """With a bootstrap interval of the same resamples of subjects for both."""
    p: float
    """Of the corrected resampled t-test over folds; NaN with a single fold."""
    p_holm: float = float("nan")
    """Adjusted for all pairs of encoders (Holm 1979)."""

    @property
    def within_noise(self) -> bool:
        """Whether the interval contains 0 or the adjusted p value is 0.05 or more; True if neither is known."""
        one = self.estimate
        has_interval, has_p = np.isfinite(one.ci_low), np.isfinite(self.p_holm)
        inside = has_interval and one.ci_low <= 0 <= one.ci_high
        return bool(inside or (has_p and self.p_holm >= SIGNIFICANT) or not (has_interval or has_p))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        p = {name: _finite(value) for name, value in (("p", self.p), ("p_holm", self.p_holm))}
        return self.estimate.to_dict() | p | {"within_noise": self.within_noise}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class ProbeResults:
    """All encoders with one kind of probe."""

    estimator: str
    encoders: dict[str, Estimates]
    """By encoder, then metric."""
    differences: tuple[Difference, ...]
    """Of all pairs."""
    folds: dict[str, FoldScores]
    results: dict[str, Scored] = field(repr=False, default_factory=dict)
    """Predictions of each encoder."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "estimator": self.estimator,
            "encoders": {name: plain(found) for name, found in self.encoders.items()},
            "differences": {f"{one.first} - {one.second}": one.to_dict() for one in self.differences},
        }

    def ranked(self, higher_is_better: bool, metric: str) -> list[str]:
        """Encoders from the best to the worst; those without a value last."""
        sign = -1 if higher_is_better else 1
        values = {name: sign * found[metric].value for name, found in self.encoders.items()}
        return sorted(values, key=lambda name: (np.isnan(values[name]), values[name]))


def plain(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    """Estimates for JSON."""
    return {name: one.to_dict() for name, one in estimates.items()}


def compare(
    given: Mapping[str, Samples], options: BenchOptions, kind: ProbeKind, splits: Splits
) -> ProbeResults:
    """Evaluate one kind of probe on every encoder's vectors.

    Args:
        given: of each encoder, N studies that differ in nothing but `X`.
        options: of the probes and intervals.
        kind: of probe.
        splits: folds, the same for all.
    """
    task = next(iter(given.values())).task
    recipe = options.recipe(kind, task)
    results, folds = {}, {}
    for name, own in given.items():
        predicted = cross_validate(own, recipe, splits)
        results[name] = scored(own, predicted, options.n_bootstrap, options.scheme.seed)
        folds[name] = fold_scores(own, predicted, splits)
    estimates = {name: one.estimates() for name, one in results.items()}
    pairs = list(combinations(results, 2))
    found = paired(results, estimates, pairs)
    p_values = np.array([_p_value(folds[first], folds[second]) for first, second in pairs])
    adjusted = holm(p_values)
    differences = tuple(
        Difference(*pair, found[pair], float(p), float(p_holm))
        for pair, p, p_holm in zip(pairs, p_values, adjusted, strict=True)
    )
    return ProbeResults(recipe.estimator, estimates, differences, folds, results)


def _p_value(first: FoldScores, second: FoldScores) -> float:
    try:
        return corrected_t_test(
            first.metric, first.values, second.values, first.n_train, first.n_test
        ).p_value
    except UsageError:  # a single fold
        return float("nan")


def paired(
    results: Mapping[str, Scored], estimates: Mapping[str, Estimates], pairs: list[tuple[str, str]]
) -> dict[tuple[str, str], Estimate]:
    """First minus second of the primary metric of each pair, all on the same resamples of subjects.

    Args:
        results: predictions of the same rows, with the same bootstrap.
        estimates: their metrics.
        pairs: keys of `results`.
    """
    if not pairs:
        return {}
    reference = results[pairs[0][0]]
    used = dict.fromkeys(name for pair in pairs for name in pair)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        each = {name: results[name].primary(weights) for name in used}
        return {str(i): each[first] - each[second] for i, (first, second) in enumerate(pairs)}

    found = reference.bootstrap.estimates(statistic)
    metric = reference.task.primary
    return {
        (first, second): reference.kind.bounded_difference(
            found[str(i)], estimates[first][metric], estimates[second][metric]
        )
        for i, (first, second) in enumerate(pairs)
    }


@dataclass(frozen=True)
class Rivals:
    """Baselines of a task, and how far each encoder is from them."""

    metrics: dict[str, Estimates]
    """By baseline, then metric."""
    over: dict[str, Estimates]
    """By encoder, then baseline: encoder minus baseline of the primary metric."""


def rivals(
    results: Mapping[str, Scored], estimates: Mapping[str, Estimates], given: Samples, splits: Splits
) -> Rivals:
    """Evaluate the baselines on the folds of the encoders."""
    some = next(iter(results.values()))
    made = {
        name: scored(given, predicted, some.bootstrap.n_resamples, some.bootstrap.seed)
        for name, predicted in baselines(given, splits).items()
    }
    metrics = {name: one.estimates() for name, one in made.items()}
    # An encoder may have the name of a baseline.
    everyone = {f"baseline {name}": one for name, one in made.items()} | {
        f"encoder {name}": one for name, one in results.items()
    }
    known = {f"baseline {name}": one for name, one in metrics.items()} | {
        f"encoder {name}": one for name, one in estimates.items()
    }
    pairs = [(f"encoder {name}", f"baseline {other}") for name in results for other in made]
    found = paired(everyone, known, pairs)
    return Rivals(
        metrics,
        {name: {other: found[f"encoder {name}", f"baseline {other}"] for other in made} for name in results},
    )


def digest(splits: Splits, studies: list[str]) -> str:
    """SHA-256 of the folds and the studies in them, as in the metrics.json of a probe."""
    made = hashlib.sha256(splits.digest.encode())
    made.update("\n".join(studies).encode())
    return made.hexdigest()
