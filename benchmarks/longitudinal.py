"""Coverage of the intervals of longitudinal results, and the type I error of the mixed model's tests.

`python benchmarks/longitudinal.py --json out.json` simulates cohorts with known truth:

retest   ICC(2,1), standard error of measurement and mean difference of gaps of two visits
model    fixed effects of time in the mixed model of the gap, of two to four visits, half of the subjects patients; and
         how often their tests have p < 0.05 if there is no effect
gap      the same model on out-of-fold gaps of nested cross-validation, against the mean change per year that the folds'
         probes predict
change   nested cross-validation of annual changes over consecutive visits: the interval of the mean absolute error
         against its mean over the folds' probes in a large cohort

Each result is the share of cohorts, with its number.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from prima_features.evaluation.intervals import Estimate
from prima_features.probes import Recipe, tasks
from prima_features.probes.change import Change, contrasts
from prima_features.probes.evaluation import Scheme
from prima_features.probes.evaluation.over_time import gap_over_time, mixed_model, retest
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.evaluation.splits import draw
from prima_features.probes.samples import Samples, samples

RIDGE = Recipe("ridge", {"alphas": (1e3, 1e2, 1e1, 1.0)}, inner_folds=3)
WIDTH = 10
DIRECTION = np.eye(WIDTH)[0] / 5
"""By which a vector changes per year."""
LARGE = 5000
Shares = dict[str, list[bool]]


def inside(shares: Shares, name: str, one: Estimate, truth: float) -> None:
    """Note whether an interval contains the truth."""
    if np.isfinite(one.ci_low):
        shares[name].append(one.ci_low <= truth <= one.ci_high)


def of_retest(n: int, seed: int, shares: Shares) -> None:
    """Two visits a month apart, with gaps of variance 9 between subjects and a mean shift of half a year."""
    rng = np.random.default_rng([seed, n, 1])
    for icc in (0.5, 0.9):
        noise = 3 * np.sqrt((1 - icc) / icc)
        gaps = 3 * rng.normal(size=(n, 1)) + noise * rng.normal(size=(n, 2))
        table = pd.DataFrame({"subject": np.repeat(np.arange(n), 2), "gap": gaps.ravel()})
        found = retest(table.assign(years=np.tile([0.0, 1 / 12], n)), 60)[0]
        assert found is not None
        inside(shares, f"icc {icc}", found.icc, icc)
        inside(shares, f"standard error, icc {icc}", found.standard_error, noise)
        inside(shares, f"mean difference, icc {icc}", found.mean_difference, 0.0)


def of_model(n: int, seed: int, shares: Shares) -> None:
    """Gaps that change by 0 or 0.4 years per year, and by as much again in patients."""
    rng = np.random.default_rng([seed, n, 2])
    for slope in (0.0, 0.4):
        rows = []
        for i in range(n):
            patient, own = i % 2, 3 * rng.normal()
            rate = slope * (1 + patient) + 0.3 * rng.normal()
            for years in np.cumsum(np.r_[0, rng.uniform(0.5, 2, rng.integers(1, 4))]):
                gap = own + rate * years + rng.normal()
                rows.append((i, gap, years, 60.0 + i % 7, float((i // 2) % 2), float(patient)))
        table = pd.DataFrame(rows, columns=["subject", "gap", "years", "age", "male", "patient"])
        found = mixed_model(table)[0]
        if found is None:
            shares["model not fitted"].append(True)
            continue
        for name in ("years", "years_patient"):
            inside(shares, f"{name}, {slope:g} per year", found.effects[name].estimate, slope)
            if not slope:
                shares[f"p < 0.05, {name}"].append(found.effects[name].p_value < 0.05)


def visits(n: int, rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
    """(N, d) vectors of n subjects with three visits each, which show age and the rate of change of the subject."""
    rows, X = [], []
    for i in range(n):
        age, person, rate = rng.uniform(50, 80), rng.normal(size=WIDTH), rng.normal(1, 1)
        for k, years in enumerate(np.cumsum(np.r_[0, rng.uniform(0.5, 2, 2)])):
            rows.append(
                {
                    "study": f"s{i}_{k}",
                    "subject": f"s{i}",
                    "group": f"s{i}",
                    "session": str(k),
                    "site": "",
                    "scanner": "",
                    "field_strength": "",
                    "visit_years": years,
                    "visit_years_from": "date",
                    "age": age + years,
                    "rate": 2 * rate * years + 0.5 * rng.normal(),
                }
            )
            X.append(
                person + (age - 65) * DIRECTION + rate * years * DIRECTION + 0.1 * rng.normal(size=WIDTH)
            )
    return np.array(X), pd.DataFrame(rows)


def of_gap(n: int, seed: int, shares: Shares) -> None:
    """Out-of-fold gaps; the folds' linear probes expect a change per year along the direction of age, minus 1."""
    X, frame = visits(n, np.random.default_rng([seed, n, 3]))
    given = samples(X, frame.assign(target=frame["age"]), tasks.get("brain-age"))
    splits = draw(given, Scheme(outer_folds=5, inner_folds=3, seed=seed))
    predicted = cross_validate(given, RIDGE, splits, keep_fitted=True)
    found = gap_over_time(given, predicted, corrected=False)
    if found is None or found.model is None:
        shares["model not fitted"].append(True)
        return
    two = given.take(np.zeros(2, dtype=int))
    ends = Samples(two.task, np.array([np.zeros(WIDTH), DIRECTION]), two.y, two.frame)
    slopes = [np.diff(one.predict(ends).value)[0] - 1 for one in predicted.fitted]
    inside(shares, "years, out-of-fold gaps", found.model.effects["years"].estimate, float(np.mean(slopes)))


def changed(n: int, rng: np.random.Generator) -> Samples:
    """Annual changes of n subjects, two each."""
    X, frame = visits(n, rng)
    frame = frame.assign(target=frame["rate"])
    made = contrasts(frame, Change(visits="consecutive"))
    return samples(made.features(X), made.frame(frame), tasks.change("rate"))


def of_change(n: int, seed: int, shares: Shares) -> None:
    """The mean absolute error of annual changes."""
    given = changed(n, np.random.default_rng([seed, n, 4]))
    splits = draw(given, Scheme(outer_folds=5, inner_folds=3, seed=seed))
    predicted = cross_validate(given, RIDGE, splits, keep_fitted=True)
    found = scored(given, predicted, 300, seed).estimates()["mae"]
    each = [np.abs(one.predict(_large()).value - _large().y).mean() for one in predicted.fitted]
    inside(shares, "mae of annual changes", found, float(np.mean(each)))


_LARGE: list[Samples] = []


def _large() -> Samples:
    if not _LARGE:
        _LARGE.append(changed(LARGE, np.random.default_rng(54321)))
    return _LARGE[0]


PARTS: dict[str, Callable[[int, int, Shares], None]] = {
    "retest": of_retest,
    "model": of_model,
    "gap": of_gap,
    "change": of_change,
}


def main() -> None:
    """Run the simulations and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cohorts", type=int, default=300, help="per part (default: 300)")
    parser.add_argument("--subjects", type=int, default=60, help="of each cohort (default: 60)")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="20 cohorts per part")
    parser.add_argument("--json", type=Path, help="file to write")
    asked = parser.parse_args()
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for part in asked.parts:
        shares: Shares = defaultdict(list)
        for seed in range(20 if asked.quick else asked.cohorts):
            PARTS[part](asked.subjects, seed, shares)
        found[part] = {name: (float(np.mean(one)), len(one)) for name, one in shares.items()}
        print(part, {name: (round(one, 3), n) for name, (one, n) in found[part].items()}, flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
