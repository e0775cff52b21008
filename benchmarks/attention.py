"""Attention pooling against mean pooling on cohorts with known truth, and the errors of its intervals.

`python benchmarks/attention.py [--json] [--quick]` simulates studies of five series in a random order. With a signal,
the class of a study shifts one kind of series by so many standard deviations along one feature; the others are noise.

For each signal it reports, over cohorts: the mean AUROC of attention and of logistic regression on the mean in the
same folds; how often the 95% interval of attention's AUROC excludes 0.5, and how often that of attention minus mean is
above or below 0; and the coverage of the AUROC's interval, against the mean AUROC of the folds' probes in a large
cohort. Without signal, these shares are type I errors. `speed` is the processor time of one evaluation of 200 studies
with the defaults.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import pandas as pd

from prima_features.probes import Recipe, tasks
from prima_features.probes.bags import Bags
from prima_features.probes.evaluation import Scheme
from prima_features.probes.evaluation.evaluate import difference
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.evaluation.splits import draw
from prima_features.probes.samples import Samples, samples

TASK = tasks.custom("group", ("control", "case"))
SERIES, LARGE = 5, 2000
SMALL = Recipe(
    "attention", {"alphas": [100.0, 10.0], "steps": [0, 20, 80], "components": 8, "width": 8}, inner_folds=3
)
"""Quick enough for hundreds of cohorts."""


def cohort(n: int, signal: float, width: int, seed: list[int]) -> Samples:
    """Studies whose series differ in their means; the third kind has the signal in the first feature."""
    rng = np.random.default_rng(seed)
    kinds = 2 * np.random.default_rng(1).normal(size=(SERIES, width))
    case = rng.permutation(np.arange(n) % 2)
    kind = np.concatenate([rng.permutation(SERIES) for _ in range(n)])
    study = np.repeat(np.arange(n), SERIES)
    values = rng.normal(size=(len(study), width)) + kinds[kind]
    values[:, 0] += np.where(kind == 2, signal * (case[study] - 0.5), 0)
    bags, _ = Bags.of(values.astype(np.float32), study)
    frame = pd.DataFrame(
        {"study": [f"sub-{i}" for i in range(n)], "target": np.array(TASK.classes, dtype=object)[case]}
    )
    return samples(bags.means(), frame, TASK, bags)


def simulate(n: int, signal: float, n_cohorts: int, width: int = 8) -> dict[str, float]:
    """Shares and means over cohorts; see the module."""
    large = cohort(LARGE, signal, width, [54321])
    rows: list[dict[str, float]] = []
    for seed in range(n_cohorts):
        given = cohort(n, signal, width, [seed, n])
        splits = draw(given, Scheme(inner_folds=3, seed=seed))
        predicted = cross_validate(given, SMALL, splits, keep_fitted=True)
        result = scored(given, predicted, 300, seed)
        mean = scored(given, cross_validate(given, Recipe(inner_folds=3), splits), 300, seed)
        own, over = result.estimates()["auroc"], difference(result, mean)
        ones = np.ones((1, LARGE))
        truth = np.mean(
            [large.kind.primary_score(large.y, one.predict(large), ones)[0] for one in predicted.fitted]
        )
        rows.append(
            {
                "auroc_attention": own.value,
                "auroc_mean": mean.estimates()["auroc"].value,
                "auroc_excludes_0.5": not own.ci_low <= 0.5 <= own.ci_high,
                "difference_above_0": over.ci_low > 0,
                "difference_below_0": over.ci_high < 0,
                "coverage_auroc": own.ci_low <= truth <= own.ci_high,
            }
        )
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def speed(n: int = 200) -> dict[str, float]:
    """Seconds of processor time of one evaluation with the default options, 5 outer and 5 inner folds."""
    given = cohort(n, 2.0, 256, [0])
    started = time.process_time()
    cross_validate(given, Recipe("attention"), draw(given, Scheme()))
    return {"processor_seconds": time.process_time() - started}


def main() -> None:
    """Run the simulations and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=300, help="per signal (default: 300)")
    parser.add_argument("--subjects", type=int, default=80, help="of each cohort (default: 80)")
    parser.add_argument("--signals", type=float, nargs="+", default=[0.0, 3.0], help="shifts in SD")
    parser.add_argument("--quick", action="store_true", help="5 cohorts, to see that it runs; no speed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    found: dict[str, Any] = {} if asked.quick else {"speed": speed()}
    for signal in asked.signals:
        key = f"{asked.subjects} subjects, signal {signal:g}"
        found[key] = simulate(asked.subjects, signal, 5 if asked.quick else asked.cohorts)
        if not asked.json:
            print(key, {name: round(one, 3) for name, one in found[key].items()}, flush=True)
    if asked.json:
        print(json.dumps(found, indent=2))
    elif "speed" in found:
        print("speed", found["speed"])


if __name__ == "__main__":
    main()
