"""Subgroup calibration and the leakage check on simulated cohorts: python benchmarks/subgroups.py [--json] [--quick].

Coverage of the 95% intervals of calibration by group, for predictions that are too high in one of two groups, and
how often the p-value of labels permuted within sites is 0.05 or less if only the sites carry signal.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import pandas as pd
from commands import processor
from scipy.special import expit

from prima_features.evaluation.intervals import Bootstrap
from prima_features.probes import Recipe
from prima_features.probes.evaluation.leakage import check_leakage
from prima_features.probes.evaluation.scored import Scored, by_variable
from prima_features.probes.evaluation.splits import Scheme
from prima_features.probes.kinds import Outcome
from prima_features.probes.samples import samples
from prima_features.probes.tasks import Task

SHIFT, SLOPE = 0.4, 0.8
"""Of the log odds, or of the number's slope, in group b."""
CLASSES = Task("case", "", ("control", "case"))
NUMBER = Task("score", "")


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="few cohorts")
    chosen = parser.parse_args()
    n = 20 if chosen.quick else 300
    result = {
        "processor": processor(),
        "cohorts": n,
        **{f"two_classes_{size}": covered(size, n, of_classes) for size in (150, 600)},
        **{f"number_{size}": covered(size, n, of_numbers) for size in (150, 600)},
        "leakage_p_at_most_0.05": size_of_test(n),
    }
    print(json.dumps(result, indent=None if chosen.json else 4))


def covered(subjects: int, cohorts: int, draw) -> dict[str, float]:
    """Share of cohorts whose interval contains the truth, by group and metric."""
    inside: dict[str, list[bool]] = {}
    for seed in range(cohorts):
        rng = np.random.default_rng(seed)
        n = rng.integers(1, 3, subjects)  # one or two studies per subject
        subject = np.repeat(np.arange(subjects), n)
        group = np.where(np.arange(subjects) % 2 == 0, "a", "b")[subject]
        scored, truth = draw(rng, subject, group)
        found = by_variable(scored, group, "group").levels
        for (level, metric), value in truth.items():
            one = found[level][metric]
            inside.setdefault(f"{metric} {level}", []).append(one.ci_low <= value <= one.ci_high)
    return {name: round(float(np.mean(values)), 3) for name, values in inside.items()}


def of_classes(rng, subject, group):
    """Labels of a logistic model, and probabilities without the shift of group b."""
    x = rng.normal(-1, 1.2, subject.max() + 1)[subject] + 0.3 * rng.normal(size=len(subject))
    y = (rng.random(len(subject)) < expit(x + SHIFT * (group == "b"))).astype(np.int64)
    p = expit(x)
    outcome = Outcome(
        np.full(len(y), np.nan), np.column_stack([1 - p, p]), (p > 0.5).astype(int), np.full(len(y), np.nan)
    )
    scored = Scored(CLASSES, y, (outcome,), Bootstrap(subject.astype(str), y, 500, 0))
    truth = {(level, "in_the_large"): SHIFT * (level == "b") for level in "ab"}
    return scored, truth | {(level, "calibration_slope"): 1.0 for level in "ab"}


def of_numbers(rng, subject, group):
    """Numbers that group b's predictions spread too far."""
    x = rng.normal(size=subject.max() + 1)[subject] + 0.3 * rng.normal(size=len(subject))
    person = rng.normal(size=subject.max() + 1)[subject]  # both studies of a subject err alike
    y = np.where(group == "b", SLOPE, 1.0) * x + 0.7 * person + 0.5 * rng.normal(size=len(subject))
    outcome = Outcome(x, np.empty((len(y), 0)), np.full(len(y), -1), np.full(len(y), np.nan))
    strata = np.zeros(len(y), dtype=np.int64)
    scored = Scored(NUMBER, y, (outcome,), Bootstrap(subject.astype(str), strata, 500, 0))
    truth = {("a", "slope"): 1.0, ("b", "slope"): SLOPE, ("a", "mean_error"): 0.0, ("b", "mean_error"): 0.0}
    return scored, truth


def size_of_test(cohorts: int) -> float:
    """Share of cohorts with p of 0.05 or less, where sites differ in features and labels, and nothing else."""
    few = 0
    recipe, scheme = Recipe("logistic", {"C": (0.01,)}, inner_folds=2), Scheme(outer_folds=3, inner_folds=2)
    for seed in range(cohorts):
        rng = np.random.default_rng(seed)
        site = rng.integers(0, 2, 60)
        X = rng.normal(size=(60, 4)) + 1.5 * site[:, None]
        target = np.array(CLASSES.classes, dtype=object)[(rng.random(60) < 0.35 + 0.3 * site).astype(int)]
        names = [f"s{i}" for i in range(60)]
        frame = pd.DataFrame({"study": names, "subject": names, "site": site.astype(str), "target": target})
        found = check_leakage(samples(X, frame, CLASSES), recipe, scheme, 0.5, 19)
        few += found.shuffled["site"].p_value <= 0.05
    return round(few / cohorts, 3)


if __name__ == "__main__":
    main()
