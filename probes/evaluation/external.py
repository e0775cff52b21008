"""Evaluating a fitted probe on another cohort."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.evaluation.baselines import constant
from prima_features.probes.evaluation.crossval import OutOfFold
from prima_features.probes.evaluation.evaluate import assess, difference
from prima_features.probes.evaluation.record import Evaluation
from prima_features.probes.evaluation.scored import scored
from prima_features.probes.evaluation.table import predictions_table
from prima_features.probes.outcome import Outcome
from prima_features.probes.recipe import FittedRecipe
from prima_features.probes.samples import Samples


def evaluate_fitted(
    fitted: FittedRecipe,
    samples: Samples,
    typical: np.ndarray,
    *,
    n_bootstrap: int = 1000,
    seed: int = 0,
    warnings: tuple[str, ...] = (),
) -> Evaluation:
    """Predict another cohort and compare with its labels. Nothing is fitted.

    Args:
        fitted: the probe.
        samples: the other cohort, with labels.
        typical: what the dummy baseline predicts for everyone: (1,) mean training target, or (K,) class
            frequencies in training.
        n_bootstrap: resamples of subjects.
        seed: of the resamples.
        warnings: what is known beforehand, a sentence each.

    Raises:
        UsageError: no study counts, as where none is of a control.
    """
    if not samples.eligible.any():
        raise UsageError(
            "no study is of a control, and brain age is scored on controls: see the control column"
        )
    predicted = _as_out_of_fold(fitted.predict(samples), len(samples))
    result = scored(samples, predicted, n_bootstrap, seed)
    rival = replace(result, repeats=(constant(samples, typical).take(np.flatnonzero(samples.eligible)),))
    return Evaluation(
        recipe=fitted.recipe,
        predictions=predictions_table(samples, predicted),
        **assess(result, samples, np.flatnonzero(samples.eligible), fitted.recipe),
        baselines={"dummy": rival.estimates()},
        over_baselines={"dummy": {samples.task.primary: difference(result, rival)}},
        warnings=(*warnings, *_absent_classes(samples)),
    )


def _as_out_of_fold(outcome: Outcome, n: int) -> OutOfFold:
    return OutOfFold((outcome,), np.zeros((1, n), dtype=int), ())


def _absent_classes(samples: Samples) -> list[str]:
    present = np.unique(samples.y[samples.eligible])
    absent = [name for code, name in enumerate(samples.task.classes) if code not in present]
    if not absent:
        return []
    return [f"this cohort has no {', '.join(absent)}: what compares the classes is not defined"]
