"""Coverage of the intervals of several classes and of several labels, and the errors of the test of each label.

`python benchmarks/labels.py --json out.json` simulates cohorts with known truth:

fixed    predictions of a probe that was fitted elsewhere: 95% intervals of all metrics, of each class or label and of
         the cells of the confusion matrix against those of a large cohort; of labels also the share of p < 0.05
nested   nested cross-validation: intervals of two metrics against their means over the folds' probes in a large
         cohort, and of labels the share of p < 0.05, of each label and of any after Holm's correction
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, softmax

from prima_features.evaluation.gaps import holm
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes import Recipe, tasks
from prima_features.probes.evaluation import Scheme
from prima_features.probes.evaluation.decisions import decisions, per_class
from prima_features.probes.evaluation.labels import chance_test, label_metrics, of_label
from prima_features.probes.evaluation.scored import Scored, cross_validate, scored
from prima_features.probes.evaluation.splits import draw
from prima_features.probes.kinds import Outcome, kind_of
from prima_features.probes.kinds.labels import encoded
from prima_features.probes.samples import Samples, samples
from prima_features.probes.steps.outputs import Decision, Steps

CLASSES = ("a", "b", "c", "d")
LABELS = ("x", "y", "z")
TASKS = {"classes": tasks.custom("kind", CLASSES), "labels": tasks.findings(LABELS)}
OFFSETS = {"classes": np.array([0.8, 0.4, 0.0, -0.2]), "labels": np.array([-0.5, -1.0, -1.5])}
"""Log odds of each class or label."""
SHARES = (0.4, 0.26, 0.18, 0.16)
"""Of the classes in each cohort."""
RECIPE = Recipe("logistic", {"C": (1e-3, 1e-2, 1e-1)}, inner_folds=3)
UNKNOWN = 0.1
"""Share of labels that are unknown."""
LARGE = 20_000
WIDTH = 10


def cohort(name: str, n: int, signal: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(n, d) features, the first of which count for one class or label each, and the targets."""
    n_drawn = n if name == "labels" else 4 * n
    X = rng.normal(size=(n_drawn, WIDTH))
    offsets = OFFSETS[name]
    odds = signal * X[:, : len(offsets)] + offsets
    if name == "classes":  # the number of each is fixed, as in resamples
        y = (odds + rng.gumbel(size=odds.shape)).argmax(axis=1)
        kept = [np.flatnonzero(y == k)[: round(n * share)] for k, share in enumerate(SHARES)]
        return X[np.concatenate(kept)], y[np.concatenate(kept)]
    # What a subject's labels have in common makes them dependent.
    y = (odds + rng.normal(size=(n, 1)) + rng.logistic(size=odds.shape) > 0).astype(float)
    y[rng.random(y.shape) < UNKNOWN] = np.nan
    return X, y


def known(name: str, X: np.ndarray, slope: float) -> Outcome:
    """Predictions of a probe whose scores are multiples of the right features."""
    odds = slope * X[:, : len(OFFSETS[name])] + OFFSETS[name]
    if name == "classes":
        steps = Steps(decision=Decision(frequency=tuple(softmax(OFFSETS[name]).tolist())))
        return kind_of(TASKS[name]).outcome(steps, softmax(odds, axis=1), np.empty(0))
    steps = Steps(decision=Decision(thresholds=tuple(expit(OFFSETS[name]).tolist())))
    return kind_of(TASKS[name]).outcome(steps, expit(odds), np.empty(0))


def estimates(name: str, result: Scored) -> tuple[dict[str, Estimate], list[float], list[float]]:
    """All numbers with intervals, and of labels the p values, plain and after Holm's correction."""
    found = result.estimates()
    if name == "classes":
        each = per_class(result)
        found |= {f"auroc of {key}": one["auroc"] for key, one in each.items()}
        found |= {
            f"{key} decided as {other}": one
            for key, row in decisions(result).confusion.items()
            for other, one in row.items()
        }
        return found, [], []
    each = {key: of_label(result, i) for i, key in enumerate(LABELS)}
    for key, one in each.items() if result.bootstrap.n_resamples else ():
        own = label_metrics(one)
        found |= {f"{metric} of {key}": own[metric] for metric in ("auroc", "auprc")}
    p_values = np.array([chance_test(one) for one in each.values()])
    return found, p_values.tolist(), holm(p_values).tolist()


def fixed(name: str, n: int, signal: float, n_cohorts: int) -> dict[str, float]:
    """Coverage of each interval for predictions that are not fitted, and errors of the tests."""
    slope = 1.2 * signal or 0.3  # too far apart, or noise
    X, y = cohort(name, LARGE, signal, np.random.default_rng(12345))
    truth = estimates(name, _scored(name, known(name, X, slope), y, 2, 0))[0]
    inside: dict[str, list[bool]] = {key: [] for key in truth}
    rejected: list[bool] = []
    for seed in range(n_cohorts):
        X, y = cohort(name, n, signal, np.random.default_rng([seed, n]))
        found, p_values, _ = estimates(name, _scored(name, known(name, X, slope), y, 300, seed))
        for key, one in found.items():
            if one.ci_low < one.ci_high:
                inside[key].append(one.ci_low <= truth[key].value <= one.ci_high)
        rejected += [p < 0.05 for p in p_values]
    shares = {key: float(np.mean(one)) for key, one in inside.items() if one}
    return shares | ({"p_below_0.05": float(np.mean(rejected))} if rejected else {})


def _scored(name: str, outcome: Outcome, y: np.ndarray, n_resamples: int, seed: int) -> Scored:
    task = TASKS[name]
    strata = kind_of(task).resampling_strata(y)
    return Scored(task, y, (outcome,), Bootstrap(np.arange(len(y)), strata, n_resamples, seed))


def nested(name: str, n: int, signal: float, n_cohorts: int) -> dict[str, float]:
    """Coverage of macro AUROC, and of Hand and Till's or micro AUROC, in cross-validation, and errors of the tests."""
    large = _samples(name, *cohort(name, LARGE // 4, signal, np.random.default_rng(54321)))
    ones, rejected, any_of = np.ones((1, len(large))), [], []
    second = "hand_till_auc" if name == "classes" else "auroc_micro"
    covered: dict[str, list[bool]] = {"auroc": [], second: []}
    for seed in range(n_cohorts):
        given = _samples(name, *cohort(name, n, signal, np.random.default_rng([seed, n, 1])))
        splits = draw(given, Scheme(outer_folds=5, inner_folds=3, seed=seed))
        predicted = cross_validate(given, RECIPE, splits, keep_fitted=True)
        result = scored(given, predicted, 300, seed)
        each = [one.predict(large) for one in predicted.fitted]
        found = result.estimates()
        for metric in covered:
            truth = np.mean([kind_of(given.task).scores(large.y, one, ones)[metric][0] for one in each])
            covered[metric].append(found[metric].ci_low <= truth <= found[metric].ci_high)
        if name == "labels":
            _, p_values, adjusted = estimates(name, _without_resamples(result))
            rejected += [p < 0.05 for p in p_values]
            any_of.append(min(adjusted) < 0.05)
    shares = {metric: float(np.mean(one)) for metric, one in covered.items()}
    if rejected:
        shares |= {"p_below_0.05": float(np.mean(rejected)), "any_p_holm_below_0.05": float(np.mean(any_of))}
    return shares


def _without_resamples(result: Scored) -> Scored:
    one = result.bootstrap
    bootstrap = Bootstrap(one.groups, one.strata, 0, one.seed, one.variance)
    return Scored(result.task, result.y, result.repeats, bootstrap, result.fold)


def _samples(name: str, X: np.ndarray, y: np.ndarray) -> Samples:
    target = np.array(CLASSES, dtype=object)[y] if name == "classes" else [encoded(row) for row in y]
    frame = pd.DataFrame({"study": [f"sub-{i}" for i in range(len(y))], "target": target})
    return samples(X, frame, TASKS[name])


def main() -> None:
    """Run the simulations and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=300, help="per setting (default: 300)")
    parser.add_argument("--subjects", type=int, default=150, help="of each cohort (default: 150)")
    parser.add_argument("--signals", type=float, nargs="+", default=[0.0, 1.0], help="default: 0 1")
    parser.add_argument("--kinds", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--parts", nargs="+", default=["fixed", "nested"], choices=["fixed", "nested"])
    parser.add_argument("--quick", action="store_true", help="10 cohorts per setting, to try the script")
    parser.add_argument("--json", type=Path, help="file to write")
    asked = parser.parse_args()
    n_cohorts = 10 if asked.quick else asked.cohorts
    found: dict[str, Any] = {}
    for part in asked.parts:
        for name in asked.kinds:
            for signal in asked.signals:
                key = f"{part}, {name}, {asked.subjects} subjects, signal {signal:g}"
                found[key] = {"fixed": fixed, "nested": nested}[part](name, asked.subjects, signal, n_cohorts)
                print(key, {metric: round(share, 3) for metric, share in found[key].items()}, flush=True)
                if asked.json:
                    asked.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
