"""Size and power of the audit's test for drift of embeddings: python benchmarks/audit_drift.py [--cohorts N] [--json].

Simulated study vectors have 64 components, and 8 common factors explain half of their variance. A third of the studies
are second ones of a subject, before or after the date. Size: the share of cohorts without drift in which any period has
p (Holm) of 0.05 or less; it should be between 0.03 and 0.07. Power: the same if the mean of all vectors in the last
period moves by a number of standard deviations in 8 of the 64 components. `auroc` is the mean over cohorts in the last
period.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from prima_features.evaluation.gaps import holm
from prima_features.evaluation.two_sample import FourierFeatures, two_sample

WIDTH = 64
FACTORS = 8
MOVED = 8


@dataclass(frozen=True)
class Setting:
    """What cohorts are drawn from."""

    studies: int
    periods: int
    """After the date."""
    shift: float = 0.0
    """Of the last period, in standard deviations."""
    cohorts: float = 1.0
    """Of the number asked for."""
    permutations: int = 199
    """Fewer than the audit's: the size does not depend on them."""


SETTINGS = (
    Setting(20, 1),
    Setting(40, 3),
    Setting(200, 3),
    Setting(2_000, 3, cohorts=0.5),
    Setting(30_000, 3, cohorts=0.15, permutations=59),
    Setting(20, 1, 1.0, cohorts=0.25),
    Setting(200, 3, 0.5, cohorts=0.25),
    Setting(2_000, 3, 0.2, cohorts=0.1),
    Setting(30_000, 3, 0.05, cohorts=0.01, permutations=59),
)


def main() -> None:
    """Print one line per setting."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cohorts", type=int, default=2000, help="simulated cohorts of the smallest size")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    lines = []
    with threadpool_limits(1):
        for setting in SETTINGS:
            start = time.process_time()
            n = max(2, round(chosen.cohorts * setting.cohorts))
            found = [tested(setting, seed) for seed in range(n)]
            lines.append(
                vars(setting)
                | {
                    "cohorts": n,
                    "any period at 0.05": float(np.mean([any_ for any_, _, _ in found])),
                    "last period at 0.05": float(np.mean([last for _, last, _ in found])),
                    "auroc": float(np.mean([auroc for _, _, auroc in found])),
                    "cpu_seconds": round((time.process_time() - start) / n, 3),
                }
            )
            if not chosen.json:
                print(", ".join(f"{name} {value:g}" for name, value in lines[-1].items()), flush=True)
    if chosen.json:
        print(json.dumps(lines, indent=1))


def tested(setting: Setting, seed: int) -> tuple[bool, bool, float]:
    """Whether any period, and the last one, has drifted after Holm's correction; AUROC of the last one."""
    rng = np.random.default_rng([seed, setting.studies])
    n = setting.studies
    subject = np.concatenate([np.arange(n - n // 3), rng.permutation(n - n // 3)[: n // 3]])
    moment = rng.random(n)
    period = np.minimum((moment * (setting.periods + 1)).astype(int), setting.periods)
    mixing = np.random.default_rng(0).normal(size=(FACTORS, WIDTH)) / np.sqrt(FACTORS)
    own, again = (rng.normal(size=(len(np.unique(subject)), FACTORS))[subject], rng.normal(size=(n, FACTORS)))
    vectors = (0.8 * own + 0.6 * again) @ mixing + rng.normal(size=(n, WIDTH))
    vectors[:, :MOVED] += (
        setting.shift * vectors[:, :MOVED].std(axis=0) * (period == setting.periods)[:, None]
    )
    kernel = FourierFeatures.draw(vectors.mean(axis=0), vectors.std(axis=0), vectors[:1000], seed)
    features = kernel.of(vectors.astype(np.float32))
    made = []
    for code in range(1, setting.periods + 1):
        both = np.flatnonzero((period == 0) | (period == code))
        if (period == 0).sum() < 3 or (period == code).sum() < 3:
            continue
        made.append(
            two_sample(
                features[both], period[both] == code, subject[both], moment[both], setting.permutations, seed
            )
        )
    if not made:
        return False, False, 0.5
    adjusted = holm(np.array([one.p for one in made]))
    significant = adjusted <= 0.05 + 1e-12
    return bool(significant.any()), bool(significant[-1]), made[-1].auroc


if __name__ == "__main__":
    main()
