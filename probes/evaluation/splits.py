"""Which rows train and which test, drawn once into a plain record: a run can be replayed, and two probes compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from prima_features.errors import UsageError

SchemeKind = Literal["nested", "leave-site-out", "split"]


@dataclass(frozen=True)
class Scheme:
    """How rows are split."""

    kind: SchemeKind = "nested"
    """`nested`: repeated cross-validation grouped by subject and stratified. `leave-site-out`: each site is tested
    by a probe of the others. `split`: rows whose `split` says so train, all others test."""
    outer_folds: int = 5
    inner_folds: int = 5
    repeats: int = 1
    """Of `nested`, each with another division."""
    seed: int = 0


@dataclass(frozen=True)
class Fold:
    """One training set and what it is tested on."""

    train: np.ndarray
    """(n,) rows."""
    test: np.ndarray
    """(m,) rows."""
    inner: np.ndarray
    """(n,) inner fold of each training row, from 0."""
    repeat: int = 0
    name: str = ""
    """The site left out, where one was."""


@dataclass(frozen=True)
class Splits:
    """All folds of a run."""

    folds: tuple[Fold, ...]
    n_rows: int
    scheme: Scheme = field(default_factory=Scheme)

    @property
    def n_repeats(self) -> int:
        """How often each tested row is predicted."""
        return 1 + max(fold.repeat for fold in self.folds)

    @property
    def digest(self) -> str:
        """SHA-256 of the rows: equal for two probes that were evaluated on the same folds."""
        digest = hashlib.sha256()
        for fold in self.folds:
            for rows in (fold.train, fold.test):
                digest.update(np.append(rows, -1).astype("<i8").tobytes())
        return digest.hexdigest()

    def check(self, groups: np.ndarray) -> None:
        """Refuse folds of other samples, or that let a group cross in the outer or the inner loop.

        Raises:
            UsageError: with what is wrong.
        """
        if self.n_rows != len(groups):
            raise UsageError(f"these splits are of {self.n_rows} studies, and there are {len(groups)}")
        for fold in self.folds:
            if common := set(groups[fold.train]) & set(groups[fold.test]):
                raise UsageError(f"these splits have {min(common)} on both sides of a fold: draw them anew")
            pairs = set(zip(groups[fold.train].tolist(), fold.inner.tolist(), strict=True))
            if len(pairs) > len(np.unique(groups[fold.train])):
                raise UsageError("these splits have a subject or group in two inner folds: draw them anew")

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, for JSON."""
        folds = [
            {
                "train": fold.train.tolist(),
                "test": fold.test.tolist(),
                "inner": fold.inner.tolist(),
                "repeat": fold.repeat,
                "name": fold.name,
            }
            for fold in self.folds
        ]
        return {"n_rows": self.n_rows, "scheme": vars(self.scheme), "folds": folds}

    @classmethod
    def from_dict(cls, document: dict[str, Any]) -> Splits:
        """Take back what `to_dict` gave."""
        folds = tuple(
            Fold(
                train=np.array(fold["train"], dtype=np.int64),
                test=np.array(fold["test"], dtype=np.int64),
                inner=np.array(fold["inner"], dtype=np.int64),
                repeat=fold["repeat"],
                name=fold["name"],
            )
            for fold in document["folds"]
        )
        return cls(folds, document["n_rows"], Scheme(**document["scheme"]))
