"""Coverage of the intervals of ordered classes and of counts, and the type I error of their tests.

`python benchmarks/severity.py --json out.json` simulates cohorts with known truth:

fixed    predictions of a probe that was fitted elsewhere: 95% intervals of all metrics against those of a large cohort,
         and how often the tests of proportional odds and of overdispersion have p < 0.05 for the true scores
nested   nested cross-validation: intervals of the primary metric against its mean over the folds' probes in a large
         cohort, and the same tests
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from prima_features.evaluation.intervals import Bootstrap
from prima_features.probes import Recipe, tasks
from prima_features.probes.evaluation import Scheme
from prima_features.probes.evaluation.dispersion import dispersion
from prima_features.probes.evaluation.scored import Scored, cross_validate, scored
from prima_features.probes.evaluation.splits import draw
from prima_features.probes.evaluation.thresholds import thresholds
from prima_features.probes.kinds import Outcome, kind_of
from prima_features.probes.linalg.glm import class_probabilities
from prima_features.probes.samples import Samples, samples
from prima_features.probes.steps.outputs import Decision, Steps
from prima_features.probes.tasks import Task

CLASSES = ("0", "1", "2", "3")
TASKS = {
    "ordinal": tasks.custom("scale", CLASSES, "ordinal"),
    "count": tasks.custom("count", (), "count"),
    "overdispersed": tasks.custom("count", (), "count"),
}
RECIPES = {
    "ordinal": Recipe("ordinal", {"C": (1e-3, 1e-2, 1e-1)}, inner_folds=3),
    "count": Recipe("poisson", {"alphas": (1e3, 1e2, 1e1)}, inner_folds=3),
    "overdispersed": Recipe("poisson", {"alphas": (1e3, 1e2, 1e1)}, inner_folds=3),
}
THRESHOLDS = np.array([-1.0, 0.3, 1.5])
LARGE = 20_000
WIDTH = 10
SPREAD = 0.5
"""Dispersion of the negative binomial counts."""


def cohort(name: str, n: int, signal: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) features, the first of which counts, and (n,) targets."""
    X = rng.normal(size=(n, WIDTH))
    if name == "ordinal":
        return X, np.digitize(signal * X[:, 0] + rng.logistic(size=n), THRESHOLDS)
    mean = np.exp(1 + 0.5 * signal * X[:, 0])
    if name == "count":
        return X, rng.poisson(mean).astype(float)
    return X, rng.negative_binomial(1 / SPREAD, 1 / (1 + SPREAD * mean)).astype(float)


def known(name: str, feature: np.ndarray, slope: float) -> Outcome:
    """Predictions of a probe whose score is a multiple of the first feature."""
    task = TASKS[name]
    if name != "ordinal":
        return kind_of(task).outcome(Steps(), np.exp(1 + 0.5 * slope * feature), np.empty(0))
    raw = class_probabilities(slope * feature[:, None] - THRESHOLDS)
    # Cuts of about the frequencies of the classes in training.
    cuts = Decision(cuts=tuple((1.3 + 0.6 * slope * np.array([-0.6, 0.25, 1.0])).tolist()))
    return kind_of(task).outcome(Steps(decision=cuts), raw, np.empty(0))


def fixed(name: str, n: int, signal: float, n_cohorts: int) -> dict[str, float]:
    """Coverage of each metric's interval for predictions that are not fitted, and errors of the tests."""
    task = TASKS[name]
    X, y = cohort(name, LARGE, signal, np.random.default_rng(12345))
    outcome = known(name, X[:, 0], 1.2 * signal or 0.3)  # too far apart, or noise
    truth = {key: one[0] for key, one in kind_of(task).scores(y, outcome, np.ones((1, LARGE))).items()}
    truth |= _further(name, Scored(task, y, (outcome,), _bootstrap(LARGE, 0, 0)))[0]
    inside: dict[str, list[bool]] = {key: [] for key in truth}
    rejected = []
    for seed in range(n_cohorts):
        X, y = cohort(name, n, signal, np.random.default_rng([seed, n]))
        result = Scored(task, y, (known(name, X[:, 0], 1.2 * signal or 0.3),), _bootstrap(n, 500, seed))
        more = _further(name, result)[0]
        right = known(name, X[:, 0], signal or (0.3 if name == "ordinal" else 0.0))
        p_value = _further(name, Scored(task, y, (right,), _bootstrap(n, 500, seed)))[1]
        for key, one in {**result.estimates(), **more}.items():
            if np.isfinite(one.ci_low):
                inside[key].append(one.ci_low <= getattr(truth[key], "value", truth[key]) <= one.ci_high)
        rejected += [p_value < 0.05] if np.isfinite(p_value) else []
    return {key: float(np.mean(one)) for key, one in inside.items()} | {
        "p_below_0.05": float(np.mean(rejected))
    }


def _bootstrap(n: int, n_resamples: int, seed: int) -> Bootstrap:
    return Bootstrap(np.arange(n), np.zeros(n, dtype=np.int64), n_resamples, seed)


def _further(name: str, result: Scored) -> tuple[dict[str, Any], float]:
    """Results by threshold, or the dispersion, and the p value of their test."""
    if name == "ordinal":
        found = thresholds(result)
        made = {}
        for key, one in found.thresholds.items():
            made |= {f"auroc {key}": one.auroc, f"slope {key}": one.slope}
        return made, found.p_value
    own = dispersion(result)
    return {"pearson": own.pearson}, own.p_value


def nested(name: str, n: int, signal: float, n_cohorts: int) -> dict[str, float]:
    """Coverage of the primary metric in cross-validation, and errors of the tests."""
    large = _samples(name, *cohort(name, LARGE // 4, signal, np.random.default_rng(54321)))
    ones, covered, rejected = np.ones((1, LARGE // 4)), [], []
    for seed in range(n_cohorts):
        given = _samples(name, *cohort(name, n, signal, np.random.default_rng([seed, n, 1])))
        splits = draw(given, Scheme(outer_folds=5, inner_folds=3, seed=seed))
        predicted = cross_validate(given, RECIPES[name], splits, keep_fitted=True)
        result = scored(given, predicted, 300, seed)
        each = [given.kind.primary_score(large.y, one.predict(large), ones)[0] for one in predicted.fitted]
        found = result.estimates()[given.task.primary]
        covered.append(found.ci_low <= np.mean(each) <= found.ci_high)
        p_value = _further(name, result)[1]
        rejected += [p_value < 0.05] if np.isfinite(p_value) else []
    return {given.task.primary: float(np.mean(covered)), "p_below_0.05": float(np.mean(rejected))}


def _samples(name: str, X: np.ndarray, y: np.ndarray) -> Samples:
    task: Task = TASKS[name]
    target = np.array(CLASSES, dtype=object)[y] if name == "ordinal" else y
    frame = pd.DataFrame({"study": [f"sub-{i}" for i in range(len(y))], "target": target})
    return samples(X, frame, task)


def main() -> None:
    """Run the simulations and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=300, help="per setting (default: 300)")
    parser.add_argument(
        "--subjects", type=int, nargs="+", default=[150], help="of each cohort (default: 150)"
    )
    parser.add_argument("--kinds", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--parts", nargs="+", default=["fixed", "nested"], choices=["fixed", "nested"])
    parser.add_argument("--json", type=Path, help="file to write")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for part in asked.parts:
        for name in asked.kinds:
            for n in asked.subjects:
                for signal in (0.0, 0.7, 1.5):
                    key = f"{part}, {name}, {n} subjects, signal {signal:g}"
                    found[key] = {"fixed": fixed, "nested": nested}[part](name, n, signal, asked.cohorts)
                    print(key, {name: round(one, 3) for name, one in found[key].items()}, flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
