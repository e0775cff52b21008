"""Features with their labels and covariates, checked once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.bags import Bags
from prima_features.probes.kinds import Kind, kind_of
from prima_features.probes.tasks import Task

if TYPE_CHECKING:
    import pandas as pd

TEXTS = ("study", "subject", "group", "site", "sex", "scanner", "field_strength", "split")
NUMBERS = ("age", "control", "icv", "grade", "visit_years", "interval_years", "initial_value")
_UNNAMED = re.compile(r"row\d+")


@dataclass(frozen=True)
class Samples:
    """N studies with their features, targets and what is known of them."""

    task: Task
    X: np.ndarray
    """(N, D) float32 or float64."""
    y: np.ndarray
    """(N,) as the kind of the target defines it (`kinds`): float64, or int64 numbers of `task.classes`."""
    frame: pd.DataFrame
    """(N rows) texts `study subject group site sex scanner field_strength split`, empty if unknown, and numbers
    `age control icv grade`, NaN if unknown, and of longitudinal data `visit_years` (see `labels.Joined.frame`), or
    `interval_years` and `initial_value` (see `change.Contrasts.frame`)."""
    bags: Bags | None = None
    """Vectors that `X` is the means of, for estimators that pool them themselves."""

    def __len__(self) -> int:
        return len(self.y)

    @property
    def kind(self) -> Kind:
        """Kind of the target."""
        return kind_of(self.task)

    @property
    def groups(self) -> np.ndarray:
        """(N,) what must not cross folds."""
        return self.frame["group"].to_numpy(dtype=str)

    @property
    def sites(self) -> np.ndarray:
        """(N,) text, empty if unknown."""
        return self.frame["site"].to_numpy(dtype=str)

    @property
    def named_subjects(self) -> list[str]:
        """Ids of the subjects, without those that stand for a row that came without any."""
        return [name for name in self.frame["subject"].unique() if not _UNNAMED.fullmatch(name)]

    @property
    def age(self) -> np.ndarray:
        """(N,) years, NaN if unknown; the target itself if it is age and known."""
        known = self.frame["age"].to_numpy(dtype=float)
        return np.where(np.isfinite(self.y), self.y, known) if self.task.is_age else known

    @property
    def eligible(self) -> np.ndarray:
        """(N,) rows that train and count in the metrics: all, or controls if the task is fitted on those."""
        control = self.frame["control"].to_numpy(dtype=float)
        if not self.task.fit_on_controls or np.isnan(control).all():
            return np.ones(len(self), dtype=bool)
        return control == 1

    def covariates(self, names: Sequence[str]) -> np.ndarray:
        """(N, len(names)) numbers of `age`, `icv`, `grade` and `sex` (M is 1, F is 0), NaN if unknown."""
        return (
            np.column_stack([self._covariate(name) for name in names]) if names else np.empty((len(self), 0))
        )

    def _covariate(self, name: str) -> np.ndarray:
        if name == "sex":
            return self.frame["sex"].map({"M": 1.0, "F": 0.0}).to_numpy(dtype=float)
        return self.frame[name].to_numpy(dtype=float)

    def take(self, rows: np.ndarray) -> Samples:
        """Some of the samples, by mask or position."""
        frame = self.frame.iloc[rows].reset_index(drop=True)
        bags = None if self.bags is None else self.bags.take(rows)
        return Samples(self.task, self.X[rows], self.y[rows], frame, bags)


def samples(X: np.ndarray, frame: pd.DataFrame, task: Task, bags: Bags | None = None) -> Samples:
    """Put features and labels together.

    Args:
        X: (N, D) numbers.
        frame: N rows in the same order, with `target` (numbers, or names in the task's classes) and what is known
            of `study subject group site sex age scanner field_strength split control icv grade visit_years`. A missing
            `subject` is the study itself, a missing `group` is the subject.
        task: what is predicted.
        bags: of the N rows, if an estimator pools them itself.

    Raises:
        UsageError: the lengths differ, numbers are not finite, targets are missing or not of the task, or a
            subject is in two groups.
    """
    _check_features(X, frame, bags)
    made = Samples(task, X, kind_of(task).encode(frame["target"]), _known(frame), bags)
    per_subject = made.frame.groupby("subject")["group"].nunique()
    if (per_subject > 1).any():
        name = per_subject[per_subject > 1].index[0]
        raise UsageError(f"subject {name} is in several groups: each subject must be in one group")
    return made


def unlabelled(X: np.ndarray, frame: pd.DataFrame, task: Task, bags: Bags | None = None) -> Samples:
    """Samples whose targets are not known.

    Raises:
        UsageError: the lengths differ, or features are not finite.
    """
    _check_features(X, frame, bags)
    return Samples(task, X, kind_of(task).unknown(len(X)), _known(frame), bags)


def _check_features(X: np.ndarray, frame: pd.DataFrame, bags: Bags | None) -> None:
    if X.ndim != 2 or len(X) != len(frame):
        raise UsageError(f"expected a row of features for each of {len(frame)} studies, not shape {X.shape}")
    if not np.isfinite(X).all():
        raise UsageError("features must be finite numbers: some are NaN or infinite")
    if bags is not None and len(bags) != len(X):
        raise UsageError(f"expected a bag for each of {len(X)} studies, not {len(bags)} bags")


def _known(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    known = pd.DataFrame(index=range(len(frame)))
    for name in TEXTS:
        column = frame[name].to_numpy() if name in frame else np.full(len(frame), "")
        known[name] = pd.Series(column).map(_text).astype(object)
    for name in NUMBERS:
        column = frame[name].to_numpy() if name in frame else np.full(len(frame), np.nan)
        known[name] = pd.to_numeric(pd.Series(column), errors="coerce").astype(float)
    fallback = pd.Series([f"row{i}" for i in range(len(frame))], dtype=object)
    for name in ("study", "subject", "group"):
        fallback = known[name] = known[name].where(known[name] != "", fallback)
    return known


def _text(value: Any) -> str:
    import pandas as pd

    if pd.isna(value):
        return ""
    # A site 3 that a table stores as 3.0 is the same site.
    number = isinstance(value, (float, np.floating)) and float(value).is_integer()
    return str(int(value)) if number else str(value).strip()
