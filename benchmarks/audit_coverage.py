"""Coverage of the audit's 95% intervals: python benchmarks/audit_coverage.py [--cohorts N] [--only PART] [--json].

Each simulated cohort has subjects with one or two studies, a label per subject, and scores that are normal within
classes with a part shared by the studies of a subject. True values are known in closed form, or from two million scores
(AUPRC). Groups have a planted gap in sensitivity and AUROC (`gap`) or none (`no gap`); for these, the share of cohorts
with a gap after Holm's correction is given. Paired differences are of two scores with correlated errors. The share of
cohorts whose interval contains the truth should be between 0.92 and 0.98; 300 cohorts give it with a standard error of
0.0126.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from prima_features.clinical.audit.calibration import calibrated
from prima_features.clinical.audit.compare import METRICS, differences
from prima_features.clinical.audit.groups import by_variable, macro
from prima_features.clinical.audit.inputs import Cohort
from prima_features.clinical.audit.measure import Weights, measure
from prima_features.clinical.audit.scores import Scores
from prima_features.evaluation import clustered, weighted
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.pooling import pool

RESAMPLES = 400
SENSITIVITY = 0.9
CUT = 0.8
NAMES = 3


@dataclass(frozen=True)
class Setting:
    """What cohorts are drawn from."""

    name: str
    subjects: int
    prevalence: float
    separation: tuple[float, ...]
    """Of the classes in each group, in standard deviations."""


SETTINGS = (
    Setting("no gap", 600, 0.2, (1.5, 1.5, 1.5)),
    Setting("gap", 600, 0.2, (2.0, 1.5, 0.8)),
    Setting("rare", 900, 0.06, (1.5,)),
    Setting("strong", 500, 0.2, (2.6,)),
)


@dataclass(frozen=True)
class Pair:
    """Two scores of the same studies."""

    name: str
    subjects: int
    prevalence: float
    first: tuple[float, ...]
    second: tuple[float, ...]
    """Separation of the classes in each group."""
    correlation: float = 0.8
    """Of the two scores within a class."""


PAIRS = (
    Pair("equal", 600, 0.2, (1.5,), (1.5,)),
    Pair("better", 600, 0.2, (1.8,), (1.2,)),
    Pair("small", 80, 0.3, (1.5,), (1.2,), 0.5),
    Pair("rare", 900, 0.06, (1.5,), (1.2,)),
    Pair("strong", 500, 0.2, (2.6,), (2.2,)),
    Pair("groups", 600, 0.2, (2.0, 1.5, 0.8), (1.5, 1.5, 0.8)),
)


def main() -> None:
    """Print one line per setting and number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=300, help="simulated cohorts per setting")
    parser.add_argument("--only", choices=("simple", "single", "paired"), help="one part (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    lines: list[dict] = []
    with threadpool_limits(1):
        if chosen.only in (None, "simple"):
            lines += simple(chosen.cohorts)
        if chosen.only in (None, "paired"):
            lines += [line for pair in PAIRS for line in paired(pair, chosen.cohorts)]
        if chosen.only in (None, "single"):
            lines += [line for setting in SETTINGS for line in coverage(setting, chosen.cohorts)]
    if chosen.json:
        print(json.dumps(lines, indent=1))
        return
    for line in lines:
        numbers = [f"{key} {value:.3f}" for key, value in line.items() if isinstance(value, float)]
        print(f"{line['setting']:<14} {line['number']:<22} {'  '.join(numbers)}")


def coverage(setting: Setting, cohorts: int) -> list[dict]:
    """One line per number with an interval, and one per metric with the share of cohorts with a significant gap."""
    truth = true_values(setting)
    found: dict[str, list[tuple[float, Estimate]]] = defaultdict(list)
    significant: dict[str, list[bool]] = defaultdict(list)
    for seed in range(cohorts):
        estimates, gaps = audited(setting, seed)
        for number, estimate in estimates.items():
            found[number].append((truth[number], estimate))
        for metric, p_values in gaps.items():
            significant[f"any {metric} gap of {NAMES} names"].append(min(p_values) < 0.05)
    return [_covered(setting.name, number, each) for number, each in found.items()] + [
        {"setting": setting.name, "number": number, "share": float(np.mean(each)), "cohorts": cohorts}
        for number, each in significant.items()
    ]


def paired(pair: Pair, cohorts: int) -> list[dict]:
    """Differences of two scores: one line per metric for a name, and for the mean over names."""
    sides = [Setting("", pair.subjects, pair.prevalence, one) for one in (pair.first, pair.second)]
    first, second = map(true_values, sides)
    truth = {metric: first[metric] - second[metric] for metric in METRICS}
    found: dict[str, list[tuple[float, Estimate]]] = defaultdict(list)
    rejected: dict[str, list[bool]] = defaultdict(list)
    for seed in range(cohorts):
        rng = np.random.default_rng([seed, pair.subjects, 5])
        subject, positive, group = drawn(rng, pair.subjects, pair.prevalence, len(pair.first))
        common = noise(rng, subject)
        cohort, other = (
            scored(
                np.sqrt(pair.correlation) * common
                + np.sqrt(1 - pair.correlation) * noise(rng, subject)
                + positive * np.array(separation)[group][:, None],
                positive,
                subject,
            )
            for separation in (pair.first, pair.second)
        )
        weights = Weights.draw(subject, RESAMPLES, seed)
        names, mean, _ = differences(cohort, other.scores, weights)
        one = next(iter(names.values()))
        for metric, true in truth.items():
            found[metric].append((true, one[metric].estimate))
            found[f"mean {metric}"].append((true, mean[metric].estimate))
            rejected[metric].append(one[metric].p < 0.05)
    lines = [_covered(f"pair {pair.name}", number, each) for number, each in found.items()]
    for line in lines:
        if line["number"] in rejected:
            line["p below 0.05"] = float(np.mean(rejected[line["number"]]))
    return lines


def _covered(setting: str, number: str, each: list[tuple[float, Estimate]]) -> dict:
    rows = [(true, one.ci_low, one.ci_high) for true, one in each if np.isfinite(one.ci_low)]
    return {
        "setting": setting,
        "number": number,
        "true": float(np.mean([true for true, _, _ in rows])),
        "coverage": float(np.mean([low - 1e-12 <= true <= high + 1e-12 for true, low, high in rows])),
        "width": float(np.mean([high - low for _, low, high in rows])),
        "cohorts": len(rows),
    }


def simple(cohorts: int) -> list[dict]:
    """Intervals without bootstrap: pooled sites, a new site, an odds ratio, a shift of scores."""
    found: dict[str, list[tuple[float, Estimate]]] = defaultdict(list)
    for seed in range(cohorts):
        rng = np.random.default_rng([seed, 77])
        errors = rng.uniform(0.1, 0.4, 8)
        values = rng.normal(2.0, 0.3, 8) + rng.normal(0, errors)
        one = pool(values, errors)
        found["mean of 8 sites"].append((2.0, Estimate(one.mean, one.ci_low, one.ci_high)))
        new = Estimate(one.mean, one.prediction_low, one.prediction_high)
        found["new site"].append((rng.normal(2.0, 0.3), new))
        subject = np.repeat(np.arange(300), rng.integers(1, 3, 300))
        group = (rng.random(300) < 0.4)[subject]
        long = rng.random(len(subject)) < np.where(group, 0.5, 0.3)
        line = clustered.fit(np.column_stack([np.ones(len(group)), group]), long, subject).estimate(1)
        found["log odds ratio"].append((-np.log(0.3 / 0.7), line))
        late = rng.random(len(subject)) < 0.4
        score = rng.normal(size=len(subject)) + rng.normal(size=300)[subject] + 0.3 * late
        shift, _ = clustered.difference(score, late, subject)
        found["shift of scores"].append((0.3, shift))
    return [_covered("simple", number, each) for number, each in found.items()]


def drawn(
    rng: np.random.Generator, subjects: int, prevalence: float, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) subject, (N, NAMES) label and (N,) group of the studies."""
    subject = np.repeat(np.arange(subjects), rng.integers(1, 3, subjects))
    group = rng.integers(0, groups, subjects)[subject]
    return subject, (rng.random((subjects, NAMES)) < prevalence)[subject], group


def noise(rng: np.random.Generator, subject: np.ndarray) -> np.ndarray:
    """(N, NAMES) standard normal errors; those of a subject's studies correlate by 0.5."""
    shared = rng.normal(size=(subject.max() + 1, NAMES))[subject]
    return np.sqrt(0.5) * (shared + rng.normal(size=shared.shape))


def scored(score: np.ndarray, positive: np.ndarray, subject: np.ndarray) -> Cohort:
    """A cohort with these scores, less the cut."""
    names = tuple(map(str, range(NAMES)))
    score = score - CUT
    scores = Scores(names, score, score >= 0, (0.0,) * NAMES, "score", pd.DataFrame())
    return Cohort(scores, positive.astype(np.int8), subject, pd.DataFrame(), pd.DataFrame())


def audited(setting: Setting, seed: int) -> tuple[dict[str, Estimate], dict[str, list[float]]]:
    """The intervals of one simulated cohort, and by metric the adjusted p values of the gaps of all names."""
    rng = np.random.default_rng([seed, setting.subjects])
    subject, positive, group = drawn(rng, setting.subjects, setting.prevalence, len(setting.separation))
    score = noise(rng, subject) + positive * np.array(setting.separation)[group][:, None]
    cohort = scored(score, positive, subject)
    weights = Weights.draw(subject, RESAMPLES, seed)
    overall = measure(cohort, np.arange(len(subject)), weights, sensitivity=SENSITIVITY)
    made = {
        name: one for name, one in overall[0].estimates.items() if name not in ("sensitivity", "prevalence")
    }
    made["macro_auroc"] = macro(overall)["auroc"].estimate
    if len(setting.separation) == 1:
        line = calibrated(positive[:, 0], cohort.scores.score[:, 0], subject, "score")
        return made | {"slope": line.slope, "intercept": line.intercept}, {}
    rows = [np.flatnonzero(group == code) for code in range(len(setting.separation))]
    levels = {str(code): measure(cohort, own, weights) for code, own in enumerate(rows)}
    made["group_auroc"] = levels["0"][0].estimates["auroc"]
    made["group_tpr"] = levels["0"][0].estimates["tpr"]
    gaps = by_variable("group", levels, 0).gaps
    made |= {f"gap_{metric}": gap.estimate for metric, gap in gaps[0].items()}
    return made, {metric: [one[metric].p_holm for one in gaps] for metric in gaps[0]}


def true_values(setting: Setting) -> dict[str, float]:
    """By number."""
    d, p = np.array(setting.separation), setting.prevalence
    rng = np.random.default_rng(1)
    size = 2_000_000
    positive = np.arange(size) % 1000 < 1000 * p
    score = rng.normal(size=size) + positive * d[rng.integers(0, len(d), size)]
    ones = np.ones((1, size))
    auprc = float(weighted.average_precision(positive, score, ones)[0])
    order = np.sort(score[positive])
    at = 1 - float(norm.cdf(order[int((1 - SENSITIVITY) * len(order))]))
    each_tpr, fpr = norm.cdf(d - CUT), float(norm.cdf(-CUT))
    tpr, auc = float(each_tpr.mean()), norm.cdf(d / np.sqrt(2))
    made = {
        "sensitivity": tpr,
        "auroc": float(auc.mean()),
        "macro_auroc": float(auc.mean()),
        "auprc": auprc,
        "tpr": tpr,
        "fpr": fpr,
        "ppv": p * tpr / (p * tpr + (1 - p) * fpr),
        "npv": (1 - p) * (1 - fpr) / ((1 - p) * (1 - fpr) + p * (1 - tpr)),
        "specificity": 1 - fpr,
        "balanced_accuracy": (tpr + 1 - fpr) / 2,
        "specificity_at": 1 - at,
        "group_auroc": float(auc[0]),
        "group_tpr": float(each_tpr[0]),
        "gap_tpr": float(np.ptp(each_tpr)),
        "gap_fpr": 0.0,
        "gap_auroc": float(np.ptp(auc)),
    }
    if len(d) == 1:
        # The log odds of a normal mixture are linear in the score, which is shifted by the cut here.
        made |= {"slope": float(d[0]), "intercept": float(np.log(p / (1 - p)) - d[0] ** 2 / 2 + d[0] * CUT)}
    return made


if __name__ == "__main__":
    main()
