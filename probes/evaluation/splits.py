"""Outer and inner folds, drawn once into a plain record: a run can be replayed, and two probes compared.

Folds are grouped: the studies of a subject or family stay on one side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.folds import deal
from prima_features.probes.samples import Samples
from prima_features.wording import count

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
    """The site left out, if one was."""


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
            raise UsageError(
                f"these splits were drawn for {self.n_rows} studies, but there are {len(groups)}: draw new splits"
            )
        for fold in self.folds:
            if common := set(groups[fold.train]) & set(groups[fold.test]):
                raise UsageError(
                    f"these splits have the subject or group {min(common)} in the training and the test set of a "
                    "fold: draw new splits"
                )
            pairs = set(zip(groups[fold.train].tolist(), fold.inner.tolist(), strict=True))
            if len(pairs) > len(np.unique(groups[fold.train])):
                raise UsageError("these splits have a subject or group in two inner folds: draw new splits")

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


TRAINING = ("train", "training", "val", "validation", "dev")
"""Values of a split column whose rows train; the inner loop makes its own validation sets of them."""


def draw(samples: Samples, scheme: Scheme) -> Splits:
    """Draw all folds of a run.

    Rows that are not eligible (see `Samples.eligible`) are tested but never train.

    Raises:
        UsageError: there are fewer groups than folds, no sites or split to go by, a given split cuts a group, or a
            training set lacks a class.
    """
    if scheme.kind not in _DRAWN:
        raise UsageError(f"unknown scheme {scheme.kind!r}: expected one of {', '.join(_DRAWN)}")
    folds = []
    for i, (train, test, repeat, name) in enumerate(_DRAWN[scheme.kind](samples, scheme)):
        rows = np.flatnonzero(train & samples.eligible)
        _check_training(samples, rows, name)
        folds.append(Fold(rows, np.flatnonzero(test), _inner(samples, rows, scheme, i), repeat, name))
    return Splits(tuple(folds), len(samples), scheme)


_Sides = Iterator[tuple[np.ndarray, np.ndarray, int, str]]


def _nested(samples: Samples, scheme: Scheme) -> _Sides:
    groups = samples.groups
    n_groups = len(np.unique(groups[samples.eligible]))
    if not 2 <= scheme.outer_folds <= n_groups or scheme.repeats < 1:
        raise UsageError(
            f"{count(n_groups, 'training subject or group', 'training subjects or groups')} cannot be split into "
            f"{scheme.outer_folds} outer folds with {count(scheme.repeats, 'repeat')}: use 2 or more folds (--folds), "
            "at most one per subject or group, and 1 or more repeats"
        )
    strata = _strata(samples, scheme.outer_folds)
    for repeat in range(scheme.repeats):
        fold_of = deal(groups, strata, scheme.outer_folds, scheme.seed + repeat)
        for fold in range(scheme.outer_folds):
            yield fold_of != fold, fold_of == fold, repeat, ""


def _strata(samples: Samples, n_folds: int) -> np.ndarray:
    """(N,) as `Kind.strata`, but those who train and those who do not are shared out apart."""
    if samples.eligible.all():
        return samples.kind.strata(samples.y, samples.groups, n_folds)
    strata = np.zeros(len(samples), dtype=np.int64)
    for part in (samples.eligible, ~samples.eligible):
        if part.any():
            found = samples.kind.strata(samples.y[part], samples.groups[part], n_folds)
            strata[part] = found + strata.max() + 1
    return strata


def _leave_site_out(samples: Samples, scheme: Scheme) -> _Sides:
    sites, groups = samples.sites, samples.groups
    names = np.unique(sites[sites != ""])
    if len(names) < 2:
        raise UsageError(
            "leave-site-out needs at least two sites: name the column of sites with --site-column"
        )
    for name in names:
        test = sites == name
        # Who was scanned at several sites must not train the probe of a site that tests them.
        train = ~np.isin(groups, groups[test]) & (sites != "")
        yield train, test, 0, str(name)


def _given_split(samples: Samples, scheme: Scheme) -> _Sides:
    split = np.char.lower(samples.frame["split"].to_numpy(dtype=str))
    train, test = np.isin(split, TRAINING), ~np.isin(split, (*TRAINING, ""))
    if not train.any() or not test.any():
        values = ", ".join(sorted(set(split.tolist()) - {""})) or "nothing"
        raise UsageError(
            f"the split column must contain both {TRAINING[0]} and test, but it contains {values}: check --split-column"
        )
    if common := sorted(set(samples.groups[train]) & set(samples.groups[test])):
        raise UsageError(
            f"the split column has {len(common)} subjects or groups in both sets, such as {common[0]}: put all "
            "studies of a subject or group into one set"
        )
    yield train, test, 0, ""


_DRAWN = {"nested": _nested, "leave-site-out": _leave_site_out, "split": _given_split}


def _inner(samples: Samples, rows: np.ndarray, scheme: Scheme, i: int) -> np.ndarray:
    groups, y = samples.groups[rows], samples.y[rows]
    n_folds = min(scheme.inner_folds, len(np.unique(groups)))
    if n_folds < 2:
        raise UsageError(
            f"the inner loop needs at least 2 subjects or groups in each training set, but one has {n_folds}: use "
            "fewer outer folds"
        )
    strata = samples.kind.strata(y, groups, n_folds)
    return deal(groups, strata, n_folds, scheme.seed + 1000 * (i + 1))


def _check_training(samples: Samples, rows: np.ndarray, name: str) -> None:
    if absent := samples.kind.absent(samples.y[rows]):
        where = f"without site {name}" if name else "of a fold"
        raise UsageError(
            f"the training set {where} has no study of {absent}: use fewer folds or another --scheme"
        )
