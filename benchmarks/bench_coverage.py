"""Coverage of paired differences in `prima bench`: python benchmarks/bench_coverage.py [--cohorts N] [--json].

Two synthetic encoders see one latent signal, each with its own noise. Each line is for one kind of task and one
amount of noise of the second encoder (the first has 0.5): the share of simulated cohorts whose 95% interval of the
difference contains the true one, which is the mean difference on 10,000 new subjects of the probes that were fitted
in the folds; and the share of cohorts in which the difference was called significant (interval without 0, and p of
the corrected t-test below 0.05).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from prima_features.bench.measure import Difference, paired
from prima_features.evaluation.compare import corrected_t_test
from prima_features.probes.evaluation.record import fold_scores
from prima_features.probes.evaluation.scored import OutOfFold, cross_validate, scored
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task

NUMBER, CLASSES = Task("number", ""), Task("classes", "", ("no", "yes"))
RECIPES = {
    "number": Recipe("ridge", {"alphas": (1e3, 1e2, 1e1)}, inner_folds=3),
    "classes": Recipe("logistic", {"C": (1e-3, 1e-2, 1e-1)}, inner_folds=3),
}
RESAMPLES, NEW, WIDTH = 300, 10_000, 8


def main() -> None:
    """Print a line per setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=300, help="simulated cohorts per setting")
    parser.add_argument("--subjects", type=int, default=100)
    parser.add_argument("--only", choices=("number", "classes"), help="one kind of task")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        lines = []
        for line in measure(chosen.cohorts, chosen.subjects, chosen.only):
            lines.append(line)
            if not chosen.json:
                print(
                    f"{line['task']:<8} noise 0.5 and {line['noise']:.1f}: true {line['true']:7.3f}  coverage "
                    f"{line['coverage']:.3f}  width {line['width']:.3f}  significant {line['significant']:.3f}",
                    flush=True,
                )
    if chosen.json:
        print(json.dumps(lines, indent=1))


def measure(cohorts: int, n: int, only: str | None = None) -> Iterator[dict]:
    """Lines of all settings."""
    for task in (one for one in (NUMBER, CLASSES) if only in (None, one.name)):
        for noise in (0.5, 1.5):
            pairs = [_cohort(task, n, noise, seed) for seed in range(cohorts)]
            inside = [one.estimate.ci_low <= true <= one.estimate.ci_high for one, true in pairs]
            yield {
                "task": task.name,
                "subjects": n,
                "cohorts": cohorts,
                "noise": noise,
                "true": float(np.mean([true for _, true in pairs])),
                "coverage": float(np.mean(inside)),
                "width": float(np.mean([one.estimate.ci_high - one.estimate.ci_low for one, _ in pairs])),
                "significant": float(np.mean([not one.within_noise for one, _ in pairs])),
            }


def _cohort(task: Task, n: int, noise: float, seed: int) -> tuple[Difference, float]:
    """The difference of one cohort, and the true one of its fitted probes."""
    given, new = (_planted(task, size, noise, [seed, size]) for size in (n, NEW))
    recipe = RECIPES[task.name]
    splits = draw(given["A"], Scheme(inner_folds=3, seed=seed))
    predicted = {name: cross_validate(own, recipe, splits, keep_fitted=True) for name, own in given.items()}
    results = {name: scored(given[name], one, RESAMPLES, seed) for name, one in predicted.items()}
    estimates = {name: one.estimates() for name, one in results.items()}
    found = paired(results, estimates, [("A", "B")])["A", "B"]
    folds = [fold_scores(given[name], predicted[name], splits) for name in given]
    first, second = folds
    p = corrected_t_test(first.metric, first.values, second.values, first.n_train, first.n_test).p_value
    truth = {name: _truth(new[name], one) for name, one in predicted.items()}
    return Difference("A", "B", found, p, p), truth["A"] - truth["B"]


def _truth(new: Samples, predicted: OutOfFold) -> float:
    ones = np.ones((1, len(new)))
    each = [
        new.kind.scores(new.y, fitted.predict(new), ones)[new.task.primary][0] for fitted in predicted.fitted
    ]
    return float(np.mean(each))


def _planted(task: Task, n: int, noise: float, seed: list[int]) -> dict[str, Samples]:
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=n)
    if task.classes:
        target = np.array(task.classes, dtype=object)[(latent + 0.7 * rng.logistic(size=n) > 0).astype(int)]
    else:
        target = 50 + 10 * (latent + 0.5 * rng.normal(size=n))
    frame = pd.DataFrame({"study": np.arange(n).astype(str), "target": target})
    made = {}
    for name, own in (("A", 0.5), ("B", noise)):
        X = rng.normal(size=(n, WIDTH))
        X[:, 0] = latent + own * rng.normal(size=n)
        made[name] = samples(X, frame, task)
    return made


if __name__ == "__main__":
    main()
