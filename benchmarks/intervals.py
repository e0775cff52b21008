"""Coverage of the probes' 95% intervals: python benchmarks/intervals.py [--cohorts N] [--json].

Each line is the share of simulated cohorts whose interval contains the true value, and the share of intervals without
width. Two parts:

    fixed    predictions of a probe that was fitted elsewhere: y and prediction are bivariate normal, or scores of two
             normal classes; the truth is known in closed form, or from a million subjects
    nested   ridge and logistic probes in nested cross-validation; the truth is the mean performance, on 20,000 new
             subjects, of the probes that were fitted in the folds
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from prima_features.probes.evaluation.scored import OutOfFold, cross_validate, scored
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.kinds import kind_of
from prima_features.probes.recipe import Outcome, Recipe
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task

NUMBER, CLASSES = Task("number", ""), Task("classes", "", ("no", "yes"))
RESAMPLES = 400


def main() -> None:
    """Print a line per setting and metric."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=500, help="simulated cohorts per setting")
    parser.add_argument("--nested", type=int, default=100, help="of these, cross-validated ones per setting")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        lines = []
        for line in measure(chosen.cohorts, chosen.nested):
            lines.append(line)
            if not chosen.json:
                print(
                    f"{line['part']:<7} {line['setting']:<22} {line['metric']:<18} true {line['true']:6.3f}  "
                    f"coverage {line['coverage']:.3f}  width {line['width']:.3f}  without width {line['no_width']:.3f}",
                    flush=True,
                )
    if chosen.json:
        print(json.dumps(lines, indent=1))


def measure(cohorts: int, nested: int) -> Iterator[dict]:
    """Lines of all settings."""
    for n, r in [(60, 0.0), (60, 0.5), (60, 0.9), (200, 0.5)]:
        yield from _lines("fixed", f"n = {n}, r = {r}", [_numbers(n, r, i) for i in range(cohorts)])
    for n, d in [(20, 1.0), (60, 0.3), (60, 1.0), (60, 2.5), (60, 4.0), (200, 1.0), (200, 4.0)]:
        yield from _lines("fixed", f"n = {n}, d' = {d}", [_classes(n, d, i) for i in range(cohorts)])
    for task, n in ((NUMBER, 60), (CLASSES, 60), (CLASSES, 200)) if nested else ():
        yield from _lines("nested", f"n = {n}, {task.name}", [_nested(task, n, i) for i in range(nested)])


def _lines(part: str, setting: str, found: list[tuple[dict, dict]]) -> Iterator[dict]:
    for metric in found[0][0]:
        pairs = [(one[metric], truth[metric]) for one, truth in found if np.isfinite(one[metric].ci_low)]
        if not pairs or metric == "prevalence":
            continue
        yield {
            "part": part,
            "setting": setting,
            "metric": metric,
            "true": float(np.mean([truth for _, truth in pairs])),
            "coverage": float(np.mean([one.ci_low <= truth <= one.ci_high for one, truth in pairs])),
            "width": float(np.mean([one.ci_high - one.ci_low for one, _ in pairs])),
            "no_width": float(np.mean([one.ci_low == one.ci_high for one, _ in pairs])),
        }


def _numbers(n: int, r: float, seed: int) -> tuple[dict, dict]:
    """Truth y of variance 1, prediction with correlation r and variance 1."""
    rng = np.random.default_rng([seed, n])  # not the bootstrap's own numbers
    y = rng.normal(size=n)
    value = r * y + np.sqrt(1 - r**2) * rng.normal(size=n)
    error = np.sqrt(2 - 2 * r)
    truth = {"mae": error * np.sqrt(2 / np.pi), "rmse": error, "r2": 1 - error**2, "pearson_r": r}
    given = _samples(NUMBER, y)
    outcome = Outcome(value, np.empty((n, 0)), np.full(n, -1), np.full(n, np.nan))
    return _estimates(given, outcome, seed), truth


_truths: dict[float, dict] = {}


def _classes(n: int, separation: float, seed: int) -> tuple[dict, dict]:
    """Two classes of one size whose logits are normal, of variance `separation`."""
    if separation not in _truths:
        y, outcome = _scores(1_000_000, separation, np.random.default_rng(12345))
        ones = np.ones((1, len(y)))
        _truths[separation] = {
            name: float(one[0]) for name, one in kind_of(CLASSES).scores(y, outcome, ones).items()
        }
    y, outcome = _scores(n, separation, np.random.default_rng([seed, n]))
    return _estimates(_samples(CLASSES, y), outcome, seed), _truths[separation]


def _scores(n: int, separation: float, rng: np.random.Generator) -> tuple[np.ndarray, Outcome]:
    y = np.arange(n) % 2
    logit = separation * (rng.normal(size=n) + separation * (y - 0.5))
    positive = 1 / (1 + np.exp(-logit))
    label = (positive >= 0.5).astype(np.int64)
    nothing = np.full(n, np.nan)
    return y, Outcome(nothing, np.column_stack([1 - positive, positive]), label, nothing)


def _nested(task: Task, n: int, seed: int) -> tuple[dict, dict]:
    recipe = (
        Recipe("logistic", {"C": (1e-3, 1e-2, 1e-1)}, inner_folds=3)
        if task.classes
        else Recipe("ridge", {"alphas": (1e3, 1e2, 1e1)}, inner_folds=3)
    )
    given, new = (_planted(task, size, [seed, size]) for size in (n, 20_000))
    splits = draw(given, Scheme(inner_folds=3, seed=seed))
    predicted = cross_validate(given, recipe, splits, keep_fitted=True)
    ones = np.ones((1, len(new)))
    each = [new.kind.scores(new.y, fitted.predict(new), ones) for fitted in predicted.fitted]
    truth = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
    return scored(given, predicted, RESAMPLES, seed).estimates(), truth


def _planted(task: Task, n: int, seed: list[int]) -> Samples:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 20))
    latent = X[:, :4].sum(axis=1) / 2 + rng.normal(size=n)
    return _samples(task, (latent > 0).astype(int) if task.classes else latent, X)


def _samples(task: Task, y: np.ndarray, X: np.ndarray | None = None) -> Samples:
    target = np.array(task.classes, dtype=object)[y] if task.classes else y
    return samples(np.zeros((len(y), 1)) if X is None else X, pd.DataFrame({"target": target}), task)


def _estimates(given: Samples, outcome: Outcome, seed: int) -> dict:
    return scored(
        given, OutOfFold((outcome,), np.zeros((1, len(given)), dtype=int), ()), RESAMPLES, seed
    ).estimates()


if __name__ == "__main__":
    main()
