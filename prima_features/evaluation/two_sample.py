"""A two-sample test of vectors: do two sets of studies come from one distribution?

The statistic is the squared maximum mean discrepancy with a Gaussian kernel (MMD, Gretton and others 2012, JMLR
13:723), through random Fourier features (Rahimi and Recht 2007): the squared distance between the two mean feature
vectors. Time and memory grow with the number of studies, not with its square. The test reacts to changes of the mean
and of the spread in any direction. Its p value is from permutations of whole subjects and is valid for any number of
studies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from prima_features.evaluation import weighted
from prima_features.evaluation.folds import deal

FREQUENCIES = 128
_FOLDS = 5
_BLOCK = 100
_ROUNDING = 1e-5
"""Relative; a permutation that gives the same two sets may differ by rounding."""


@dataclass(frozen=True, eq=False)
class FourierFeatures:
    """A map from (n, D) vectors to (n, 2 F) features whose products approximate a Gaussian kernel."""

    centre: np.ndarray
    scale: np.ndarray
    """(D,) standard deviations; infinite if a component is constant."""
    frequency: np.ndarray
    """(D, F)."""

    @classmethod
    def draw(
        cls, centre: np.ndarray, scale: np.ndarray, sample: np.ndarray, seed: int, n: int = FREQUENCIES
    ) -> FourierFeatures:
        """Draw F random frequencies.

        Args:
            centre: (D,) means.
            scale: (D,) standard deviations, 0 if a component is constant.
            sample: (m, D) vectors; the kernel's width is the median distance between them.
            seed: of the frequencies.
            n: F.
        """
        scale = np.where(scale > 0, scale, np.inf).astype(np.float32)
        centre = centre.astype(np.float32)
        z = (sample - centre) / scale
        squares = (z**2).sum(axis=1)
        distance = squares[:, None] + squares - 2 * z @ z.T
        apart = distance[np.triu_indices(len(z), 1)]
        median = float(np.median(apart)) if len(apart) else 0.0
        width = np.sqrt(median) if median > 0 else 1.0
        rng = np.random.default_rng(seed)
        frequency = rng.normal(size=(len(centre), n)) / width
        return cls(centre, scale, frequency.astype(np.float32))

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """(n, 2 F) float32, of length 1."""
        angle = ((vectors - self.centre) / self.scale).astype(np.float32) @ self.frequency
        return np.hstack([np.cos(angle), np.sin(angle)]) / np.float32(np.sqrt(self.frequency.shape[1]))


@dataclass(frozen=True)
class TwoSample:
    """Second set of rows against the first."""

    p: float
    mmd2: float
    """Squared MMD less its mean over the permutations: about 0 if the sets have one distribution."""
    auroc: float
    """How well the difference found in four fifths of the subjects separates the other fifth; 0.5: not at all."""


def two_sample(
    features: np.ndarray,
    second: np.ndarray,
    subject: np.ndarray,
    order: np.ndarray,
    n_permutations: int = 999,
    seed: int = 0,
) -> TwoSample:
    """Test whether two sets of rows have one distribution.

    A permutation exchanges the membership of whole subjects that have the same number of rows, keeping the order within
    each subject. Repeated studies, in one set or both, therefore do not make p too small.

    Args:
        features: (N, 2 F).
        second: (N,) whether a row is in the second set.
        subject: (N,) whom it is of.
        order: (N,) time; rows of a subject keep their order.
        n_permutations: of p, whose least value is 1 / (n_permutations + 1).
        seed: of the permutations and folds.
    """
    sizes = (~second).sum(), second.sum()
    centred = features - features.mean(axis=0)
    factor = 1 / sizes[0] + 1 / sizes[1]

    def squared(members: np.ndarray) -> np.ndarray:
        return np.asarray(((members @ centred * factor) ** 2).sum(axis=1, dtype=np.float64))

    observed = float(squared(second[None].astype(np.float32))[0])
    rng = np.random.default_rng(seed)
    under = np.concatenate([squared(one) for one in _permuted(second, subject, order, n_permutations, rng)])
    p = (1 + int((under >= observed * (1 - _ROUNDING)).sum())) / (1 + n_permutations)
    return TwoSample(p, observed - float(under.mean()), _held_out(features, second, subject, seed))


def _permuted(
    second: np.ndarray, subject: np.ndarray, order: np.ndarray, n: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """(b, N) float32 memberships in blocks."""
    _, code = np.unique(subject, return_inverse=True)
    rows = np.lexsort((order, code))
    count = np.bincount(code)
    strata = []
    for size in np.unique(count):
        own = rows[count[code[rows]] == size].reshape(-1, size)
        strata.append((own, second[own].astype(np.float32)))
    for start in range(0, n, _BLOCK):
        block = np.empty((min(_BLOCK, n - start), len(second)), dtype=np.float32)
        for own, members in strata:
            places = np.tile(np.arange(len(own), dtype=np.int32), (len(block), 1))
            rng.permuted(places, axis=1, out=places)
            block[:, own.ravel()] = members[places].reshape(len(block), -1)
        yield block


def _held_out(features: np.ndarray, second: np.ndarray, subject: np.ndarray, seed: int) -> float:
    """Mean AUROC of held-out subjects, weighted by pairs; NaN if no fold has rows of both sets."""
    n_folds = min(_FOLDS, len(np.unique(subject)))
    fold = deal(subject, second.astype(np.int64), n_folds, seed)
    total, pairs = 0.0, 0
    for code in range(n_folds):
        test = fold == code
        sides = [features[~test & (second == side)] for side in (False, True)]
        n_pairs = int((test & second).sum() * (test & ~second).sum())
        if not n_pairs or not all(map(len, sides)):
            continue
        score = features[test] @ (sides[1].mean(axis=0) - sides[0].mean(axis=0))
        area = weighted.auroc(second[test], score, np.ones((1, int(test.sum()))))
        total, pairs = total + n_pairs * float(area[0]), pairs + n_pairs
    return total / pairs if pairs else float("nan")
