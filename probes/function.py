"""A saved probe as a function of study vectors, for explanations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.feature_matrix import Features, FeatureSource
from prima_features.probes.probe import Probe
from prima_features.probes.samples import unlabelled
from prima_features.probes.tasks import Task

_LEAST = 1e-6
"""Probabilities are kept this far from 0 and 1, so that their log-odds are finite."""


def study_function(name: str, source: FeatureSource) -> tuple[Callable[[np.ndarray], np.ndarray], str]:
    """What a probe predicts of study vectors, before calibration: a number, a log risk, or the log-odds of one class.

    Args:
        name: directory or Hub id of a probe; of one with more than two classes, `NAME#CLASS`.
        source: the model that makes the vectors.

    Returns:
        A function of (B, D) vectors that gives (B,) numbers; and what they are, in a few words.

    Raises:
        UsageError: there is no such probe or class, the probe was fitted on another model, or it does not read study
            vectors.
    """
    import pandas as pd

    folder, _, wanted = name.partition("#")
    probe = Probe.load(folder)
    assert probe.fitted is not None
    fitted, task = probe.fitted, probe.task
    if (level := fitted.training.source.level) != "study":
        raise UsageError(f"the probe {folder} reads {level} vectors: explanations need one of study vectors")
    column, meaning = _output(task, wanted, folder)

    def function(vectors: np.ndarray) -> np.ndarray:
        frame = pd.DataFrame({"study": [f"row{i}" for i in range(len(vectors))]})
        probe.check(Features.of(vectors, source))
        values = fitted.recipe.raw(unlabelled(vectors, frame, task))
        if values.ndim == 1:
            return values
        share = np.clip(values[:, column], _LEAST, 1 - _LEAST)
        odds: np.ndarray = np.log(share) - np.log1p(-share)
        return odds

    return function, meaning


def _output(task: Task, wanted: str, folder: str) -> tuple[int, str]:
    """Which column of the probabilities is explained, and what the number is."""
    classes = task.classes or task.labels
    if task.kind == "survival":
        return 0, "log risk of the event"
    if not classes:
        return 0, "predicted number, before corrections"
    if not wanted and len(task.classes) == 2:
        wanted = classes[1]
    if wanted not in classes:
        what, several = ("label", "labels") if task.labels else ("class", "classes")
        named = f"has no {what} {wanted!r}" if wanted else f"has {len(classes)} {several}"
        raise UsageError(
            f"the probe {folder} {named}: choose one of {', '.join(classes)} with {folder}#{what.upper()}"
        )
    return classes.index(wanted), f"log-odds of {wanted}, before calibration"
