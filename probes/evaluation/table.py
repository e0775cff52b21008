"""The table of predictions, a row a study."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.probes.evaluation.crossval import OutOfFold
from prima_features.probes.outcome import Outcome
from prima_features.probes.samples import Samples

if TYPE_CHECKING:
    import pandas as pd

KNOWN = ("study", "subject", "group", "site", "sex", "age", "scanner", "field_strength")


def predictions_table(samples: Samples, predicted: OutOfFold) -> pd.DataFrame:
    """Out-of-fold predictions, the mean over repeats; `counts` is 1 for rows that the metrics count.

    The class is that of the first repeat, and so is `fold`.
    """
    rows = np.flatnonzero(predicted.tested)
    table = samples.frame.loc[rows, list(KNOWN)].reset_index(drop=True)
    table["target"] = target_names(samples)[rows]
    table["counts"] = samples.eligible[rows].astype(int)
    table["fold"] = predicted.fold[0, rows]
    mean = _mean_outcome([outcome.take(rows) for outcome in predicted.repeats])
    return add_outcome(table, samples.take(rows), mean)


def add_outcome(table: pd.DataFrame, samples: Samples, outcome: Outcome) -> pd.DataFrame:
    """The table with the columns of a prediction (see `record.Evaluation.predictions`)."""
    task = samples.task
    if not task.is_classification:
        table["prediction"] = outcome.value
        if task.is_age:
            table["prediction_corrected"] = outcome.corrected
            table["gap"] = outcome.value - samples.age
            table["gap_corrected"] = outcome.corrected - samples.age
        return table
    names = np.array(task.classes, dtype=object)
    if task.kind == "binary":
        table["prediction"] = outcome.probability[:, 1]
    for code, name in enumerate(task.classes):
        table[f"probability_{name}"] = outcome.probability[:, code]
    table["predicted"] = names[outcome.label]
    return table


def target_names(samples: Samples) -> np.ndarray:
    """(N,) targets as they were given: numbers, or names of classes."""
    return np.array(samples.task.classes, dtype=object)[samples.y] if samples.task.classes else samples.y


def _mean_outcome(repeats: list[Outcome]) -> Outcome:
    return Outcome(
        np.mean([one.value for one in repeats], axis=0),
        np.mean([one.probability for one in repeats], axis=0),
        repeats[0].label,
        np.mean([one.corrected for one in repeats], axis=0),
    )
