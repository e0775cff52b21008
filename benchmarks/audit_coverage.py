"""Coverage of the audit's 95% intervals: python benchmarks/audit_coverage.py [--cohorts N] [--json].

Each simulated cohort has subjects with one or two studies, a label per subject, and scores that are normal within
classes with a part shared by the studies of a subject. True values are known in closed form, or from two million scores
(AUPRC). Groups have a planted gap in sensitivity and AUROC (`gap`) or none (`no gap`). The share of cohorts whose
interval contains the truth is to be within 0.92 and 0.98; 300 cohorts give it to 0.0126 (standard error).
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

    @property
    def is_gap(self) -> bool:
        """Whether groups differ."""
        return len(set(self.separation)) > 1


SETTINGS = (
    Setting("no gap", 600, 0.2, (1.5, 1.5, 1.5)),
    Setting("gap", 600, 0.2, (2.0, 1.5, 0.8)),
    Setting("rare", 900, 0.06, (1.5,)),
    Setting("strong", 500, 0.2, (2.6,)),
)


def main() -> None:
    """Print one line per setting and number."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=300, help="simulated cohorts per setting")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with threadpool_limits(1):
        lines = simple(chosen.cohorts)
        lines += [line for setting in SETTINGS for line in coverage(setting, chosen.cohorts)]
    if chosen.json:
        print(json.dumps(lines, indent=1))
        return
    for line in lines:
        print(
            f"{line['setting']:<8} {line['number']:<22} true {line['true']:7.3f}  coverage {line['coverage']:.3f}  "
            f"width {line['width']:.3f}"
        )


def coverage(setting: Setting, cohorts: int) -> list[dict]:
    """One line per number with an interval."""
    truth = true_values(setting)
    found = defaultdict(list)
    for seed in range(cohorts):
        for number, estimate in audited(setting, seed).items():
            if np.isfinite(estimate.ci_low):
                found[number].append(estimate)
    return [
        {
            "setting": setting.name,
            "number": number,
            "true": truth[number],
            "coverage": float(
                np.mean([one.ci_low - 1e-12 <= truth[number] <= one.ci_high + 1e-12 for one in each])
            ),
            "width": float(np.mean([one.ci_high - one.ci_low for one in each])),
            "cohorts": len(each),
        }
        for number, each in found.items()
    ]


def simple(cohorts: int) -> list[dict]:
    """Intervals without bootstrap: pooled sites, a new site, an odds ratio, a shift of scores."""
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for seed in range(cohorts):
        rng = np.random.default_rng([seed, 77])
        errors = rng.uniform(0.1, 0.4, 8)
        values = rng.normal(2.0, 0.3, 8) + rng.normal(0, errors)
        one = pool(values, errors)
        found["mean of 8 sites"].append((2.0, one.ci_low, one.ci_high))
        found["new site"].append((rng.normal(2.0, 0.3), one.prediction_low, one.prediction_high))
        subject = np.repeat(np.arange(300), rng.integers(1, 3, 300))
        group = (rng.random(300) < 0.4)[subject]
        long = rng.random(len(subject)) < np.where(group, 0.5, 0.3)
        line = clustered.fit(np.column_stack([np.ones(len(group)), group]), long, subject).estimate(1)
        found["log odds ratio"].append((np.log(0.5 / 0.5) - np.log(0.3 / 0.7), line.ci_low, line.ci_high))
        late = rng.random(len(subject)) < 0.4
        score = rng.normal(size=len(subject)) + rng.normal(size=300)[subject] + 0.3 * late
        shift, _ = clustered.difference(score, late, subject)
        found["shift of scores"].append((0.3, shift.ci_low, shift.ci_high))
    return [
        {
            "setting": "simple",
            "number": number,
            "true": float(np.mean([truth for truth, _, _ in rows])),
            "coverage": float(np.mean([low <= truth <= high for truth, low, high in rows])),
            "width": float(np.mean([high - low for _, low, high in rows])),
            "cohorts": cohorts,
        }
        for number, rows in found.items()
    ]


def audited(setting: Setting, seed: int) -> dict[str, Estimate]:
    """The intervals of one simulated cohort."""
    rng = np.random.default_rng([seed, setting.subjects])
    subject = np.repeat(np.arange(setting.subjects), rng.integers(1, 3, setting.subjects))
    group = rng.integers(0, len(setting.separation), setting.subjects)[subject]
    positive = (rng.random((setting.subjects, NAMES)) < setting.prevalence)[subject]
    shared = rng.normal(size=(setting.subjects, NAMES))[subject]
    noise = np.sqrt(0.5) * (shared + rng.normal(size=positive.shape))
    score = noise + positive * np.array(setting.separation)[group][:, None] - CUT
    names = tuple(map(str, range(NAMES)))
    scores = Scores(names, score, score >= 0, (0.0,) * NAMES, "score", pd.DataFrame())
    cohort = Cohort(scores, positive.astype(np.int8), subject, pd.DataFrame(), pd.DataFrame())
    weights = Weights.draw(subject, RESAMPLES, seed)
    overall = measure(cohort, np.arange(len(subject)), weights, sensitivity=SENSITIVITY)
    made = {
        name: one for name, one in overall[0].estimates.items() if name not in ("sensitivity", "prevalence")
    }
    if len(setting.separation) == 1:
        line = calibrated(positive[:, 0], score[:, 0], subject, "score")
        made |= {"slope": line.slope, "intercept": line.intercept}
    made["macro_auroc"] = macro(overall)["auroc"].estimate
    if len(setting.separation) > 1:
        rows = [np.flatnonzero(group == code) for code in range(len(setting.separation))]
        levels = {str(code): measure(cohort, own, weights) for code, own in enumerate(rows)}
        made["group_auroc"] = levels["0"][0].estimates["auroc"]
        made["group_tpr"] = levels["0"][0].estimates["tpr"]
        gaps = by_variable("group", levels, 0).gaps[0]
        made |= {f"gap_{metric}": gap.estimate for metric, gap in gaps.items()}
    return made


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
