"""Prints the table of the heads in the model card of prima-synth.

    python recipes/prima_synth/heads_table.py SCORES.tsv LABELS.tsv AUDIT_DIR

Reads the scores of `prima diagnose` on held-out studies, their labels (cohort.py), and the results of `prima audit` on
both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import kendalltau
from sklearn.metrics import roc_auc_score

from prima_features.synthetic.labels import PRIORITIES

METRICS = ("auroc", "sensitivity", "specificity")


def main(scores: Path, labels: Path, audit: Path) -> None:
    """Print both tables."""
    names = json.loads((audit / "audit.json").read_text())["names"]
    print("| name | positive of | AUROC | sensitivity | specificity |\n|---|---|---|---|---|")
    for name, found in names.items():
        overall = found["overall"]
        cells = [f"{overall['positives']} of {overall['n']}", *(shown(overall.get(one)) for one in METRICS)]
        print(f"| `{name}` | {' | '.join(cells)} |")
    table = pd.read_csv(scores, sep="\t").merge(
        pd.read_csv(labels, sep="\t", keep_default_na=False), left_on="study", right_on="study_id"
    )
    level = table["priority"].map(PRIORITIES.index)
    print("\n| priority | studies | median rank |\n|---|---|---|")
    for number, name in reversed([*enumerate(PRIORITIES)]):
        of = table.loc[level == number, "rank"]
        print(f"| {name} | {len(of)} | {of.median():.0f} |")
    high = roc_auc_score(level == len(PRIORITIES) - 1, table["worklist"])
    tau = kendalltau(level, table["worklist"]).statistic
    print(
        f"\nhigh against the rest by the worklist: AUROC {high:.2f}; Kendall's tau with the level {tau:.2f}"
    )


def shown(metric: Mapping[str, Any] | None) -> str:
    """A value with its interval."""
    if not metric or metric["value"] is None:
        return "n/a"
    value, low, high = (f"{metric[key]:.2f}" for key in ("value", "ci_low", "ci_high"))
    return f"{value} ({low} to {high})"


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
