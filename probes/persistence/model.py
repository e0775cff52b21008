"""A fitted recipe as arrays and trees, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.estimators.base import ProbeEstimator
from prima_features.probes.persistence.document import Document
from prima_features.probes.persistence.files import Arrays, below, prefixed, read_arrays, to_bytes
from prima_features.probes.persistence.layout import ARRAYS, TREES
from prima_features.probes.persistence.trees import read_trees
from prima_features.probes.probe import Fitted
from prima_features.probes.recipe import FittedRecipe, Outcome
from prima_features.probes.samples import unlabelled
from prima_features.probes.steps.novelty import TrainingRange


def model_bytes(fitted: Fitted) -> dict[str, bytes]:
    """The content of the files that hold arrays, by name."""
    estimator = fitted.recipe.estimator
    arrays = prefixed("range", fitted.range.state())
    if estimator.adjust_ is not None:
        arrays |= prefixed("adjust", estimator.adjust_.state()[1])
    if _has_trees(estimator):
        return {ARRAYS: to_bytes(arrays), TREES: estimator.model_bytes()}
    return {ARRAYS: to_bytes(arrays | prefixed("estimator", estimator.state()))}


def restore(folder: Path, document: Document) -> Fitted:
    """What was fitted, from a probe's directory.

    Raises:
        UsageError: arrays are missing, or their shapes contradict the document.
    """
    arrays = read_arrays(folder / ARRAYS)
    try:
        # Before anything of this width is made: a document can claim any.
        if arrays["range.mean"].shape != (document.training.n_features,):
            raise ValueError("width of the training range")
        fitted = FittedRecipe(
            document.recipe,
            _estimator(folder, document, arrays),
            document.calibration,
            document.decision,
            document.correction,
        )
        found = Fitted(fitted, document.training, TrainingRange.restore(below("range", arrays)))
        _try(found, document)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{folder} holds arrays that do not fit together: the probe is damaged") from error
    return found


def _estimator(folder: Path, document: Document, arrays: Arrays) -> ProbeEstimator:
    task, n_classes = document.task, len(document.task.classes)
    estimator = document.recipe.make(task)
    if task.is_classification:
        estimator.classes_ = np.arange(n_classes)
    if _has_trees(estimator):
        trees = read_trees(folder / TREES, document.training.n_features, n_classes)
        estimator.restore_model(trees)
    else:
        own = below("estimator", arrays)
        _check_votes(own, n_classes)
        estimator.restore(own)
    estimator.best_params_ = dict(document.chosen)
    estimator.adjust_ = None
    if estimator.adjust is not None:
        state = {"sites": document.sites, "unseen": document.recipe.unseen_sites}
        estimator.adjust_ = estimator.adjust.restore(state, below("adjust", arrays))
    return estimator


def _has_trees(estimator: ProbeEstimator) -> bool:
    return hasattr(estimator, "restore_model")


def _check_votes(arrays: Arrays, n_classes: int) -> None:
    """Refuse neighbours with a class that there is not: votes are counted in an array as long as the largest."""
    codes = arrays.get("y")
    if (
        codes is not None
        and n_classes
        and (codes.dtype.kind != "i" or not np.isin(codes, range(n_classes)).all())
    ):
        raise ValueError("classes of the neighbours")


def _try(found: Fitted, document: Document) -> None:
    """Predict one study of zeros: arrays that do not fit together fail here, and not when they are needed."""
    import pandas as pd

    site = (document.sites or ("",))[0]
    frame = pd.DataFrame({"site": [site], "age": [50.0], "sex": ["F"], "icv": [1500.0]})
    given = unlabelled(np.zeros((1, document.training.n_features)), frame, document.task)
    outcome: Any = found.recipe.predict(given)
    empty = Outcome.empty(1, len(document.task.classes))
    shapes = [(np.shape(getattr(one, name))) for one in (outcome, empty) for name in vars(empty)]
    if shapes[: len(shapes) // 2] != shapes[len(shapes) // 2 :]:
        raise ValueError("shapes of the predictions")
    from prima_features.probes.steps.novelty import scores_of

    if np.shape(found.range.distance(given.X, scores_of(found.recipe.raw(given)))) != (1,):
        raise ValueError("shape of the distances")
