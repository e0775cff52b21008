"""Coverage of the intervals of survival metrics, and the type I error of the log-rank test of risk groups.

`python benchmarks/survival.py [--json]` simulates cohorts with known truth:

fixed    predictions of a probe that was fitted elsewhere: 95% intervals against the metrics of a large cohort
nested   nested cross-validation of ridge Cox: intervals of Harrell's C against the mean C of the folds' probes in a
         large cohort, and, with features that say nothing, how often the log-rank test of the risk groups has p < 0.05
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import pandas as pd

from prima_features.evaluation.intervals import Bootstrap
from prima_features.probes import Recipe, tasks
from prima_features.probes.evaluation import Scheme
from prima_features.probes.evaluation.risk_groups import risk_groups
from prima_features.probes.evaluation.scored import Scored, cross_validate, scored
from prima_features.probes.evaluation.splits import draw
from prima_features.probes.kinds import Outcome, kind_of
from prima_features.probes.samples import Samples, samples

TASK = tasks.survival("days", (365, 730))
LARGE = 20_000
RECIPE = Recipe("cox", {"alphas": (1e3, 1e2, 1e1, 1.0)}, inner_folds=3)
WIDTH = 10


def cohort(n: int, signal: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) features, the first of which changes the hazard, and (n,) signed times; about a third are censored."""
    X = rng.normal(size=(n, WIDTH))
    time = 500 * rng.exponential(np.exp(-signal * X[:, 0]))
    censored = rng.uniform(50, 2500, n)
    return X, np.where(time <= censored, time, -censored)


def known(feature: np.ndarray, stretch: float) -> Outcome:
    """Predictions of a probe with log risks `stretch` times a feature, and the true hazard."""
    value = stretch * feature
    probability = np.exp(-np.exp(value)[:, None] * kind_of(TASK).times / 500)
    return Outcome(value, probability, np.zeros(len(value), dtype=np.int64), np.full(len(value), np.nan))


def fixed(n: int, signal: float, n_cohorts: int) -> dict[str, float]:
    """Coverage of each metric's interval, for a probe whose log risks are 1.2 times the true ones, or noise."""
    X, y = cohort(LARGE, signal, np.random.default_rng(12345))
    slope = 1.2 * signal or 0.5
    truth = kind_of(TASK).scores(y, known(X[:, 0], slope), np.ones((1, LARGE)))
    inside: dict[str, list[bool]] = {name: [] for name in TASK.metrics}
    for seed in range(n_cohorts):
        X, y = cohort(n, signal, np.random.default_rng([seed, n]))
        bootstrap = Bootstrap(np.arange(n), np.zeros(n, dtype=np.int64), 500, seed)
        found = Scored(TASK, y, (known(X[:, 0], slope),), bootstrap).estimates()
        for name, one in found.items():
            if np.isfinite(one.ci_low):
                inside[name].append(one.ci_low <= truth[name][0] <= one.ci_high)
    return {name: float(np.mean(one)) for name, one in inside.items()}


def nested(n: int, signal: float, n_cohorts: int) -> dict[str, float]:
    """Coverage of Harrell's C in cross-validation, and how often the log-rank test has p < 0.05."""
    X, y = cohort(LARGE // 10, signal, np.random.default_rng(54321))
    large, ones = _samples(X, y), np.ones((1, LARGE // 10))
    covered, rejected = [], []
    for seed in range(n_cohorts):
        given = _samples(*cohort(n, signal, np.random.default_rng([seed, n, 1])))
        splits = draw(given, Scheme(outer_folds=5, inner_folds=3, seed=seed))
        predicted = cross_validate(given, RECIPE, splits, keep_fitted=True)
        result = scored(given, predicted, 300, seed)
        each = [given.kind.primary_score(large.y, one.predict(large), ones)[0] for one in predicted.fitted]
        found = result.bootstrap.estimates(lambda w, one=result: {"c": one.primary(w)})["c"]  # type: ignore[misc]
        covered.append(found.ci_low <= np.mean(each) <= found.ci_high)
        rejected.append(risk_groups(result).test.p_value < 0.05)
    return {"c_index": float(np.mean(covered)), "log_rank_p_below_0.05": float(np.mean(rejected))}


def _samples(X: np.ndarray, y: np.ndarray) -> Samples:
    frame = pd.DataFrame({"study": [f"sub-{i}" for i in range(len(y))], "target": y})
    return samples(X, frame, TASK)


def main() -> None:
    """Run the simulations and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=300, help="per setting (default: 300)")
    parser.add_argument(
        "--subjects", type=int, nargs="+", default=[100], help="of each cohort (default: 100)"
    )
    parser.add_argument("--parts", nargs="+", default=["fixed", "nested"], choices=["fixed", "nested"])
    parser.add_argument(
        "--signals", type=float, nargs="+", default=[0.0, 0.7, 1.5], help="log hazard ratios per SD"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    found: dict[str, Any] = {}
    for n in asked.subjects:
        for signal in asked.signals:
            for part in asked.parts:
                key = f"{part}, {n} subjects, log hazard ratio {signal:g} per SD"
                found[key] = {"fixed": fixed, "nested": nested}[part](n, signal, asked.cohorts)
                if not asked.json:
                    print(key, {name: round(one, 3) for name, one in found[key].items()}, flush=True)
    if asked.json:
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
