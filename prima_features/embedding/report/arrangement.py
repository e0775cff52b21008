"""How the studies of a file lie to each other: a map, near-duplicates and outliers.

Vectors are read in blocks, and neither all vectors nor all similarities are in memory at once: 50,000 studies take
about 300 MB. Vectors of more than 512 numbers are first projected on 512 random directions, which keeps distances to a
few percent (Johnson and Lindenstrauss), and cosines near 1 far better: their error is in proportion to their distance
from 1. For more than 10,000 studies 256 directions are used, and isolation is the distance to 5,000 of them drawn at
random. For more than `MOST_COMPARED` studies each is compared with as many drawn at random, so that time grows in
proportion to the number of studies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from prima_features.embedding.file.read import Embeddings

NEIGHBOURS = 5
"""Nearest studies that a study's isolation is the mean distance to."""
DUPLICATE = 0.99
"""Cosine from which two studies count as near-duplicates."""
OUTLYING = 5.0
"""Robust z of the isolation from which a study counts as an outlier."""
LEAST_STUDIES = 20
"""Fewer have no outliers: there is nothing to compare with."""
MOST_PAIRS = 2000
MOST_COMPARED = 50_000
"""Studies that each study is compared with. If there are more, the nearest study and near-duplicates are searched for
among as many drawn at random."""
_DIRECTIONS = 512
_MANY = 10_000
"""Studies from which less is computed for each."""
_DRAWN = 5_000
"""Studies that isolation is measured by if there are many."""
_POWER = 8
"""Directions kept while the map's two are looked for."""
_GRAM_ROWS = 1 << 14
"""Rows that are converted to float64 at a time."""
_LEAST_SPREAD = 0.1
"""Of logarithms of distances: so that no study is an outlier that is not 1.6 times as far as the median."""
_BLOCK = 32 << 20
"""Bytes of vectors, or of similarities, that are held at a time."""

Blocks = Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Arrangement:
    """What the vectors of N studies say. Cosines are of vectors less their mean."""

    points: np.ndarray
    """(N, 2) float64, the first two principal components."""
    share: tuple[float, float]
    """Part of the variance along each."""
    nearest: np.ndarray
    """(N,) int64, row of the most similar other study (see `MOST_COMPARED`); -1 if there is no other."""
    similarity: np.ndarray
    """(N,) float32, cosine to it."""
    isolation: np.ndarray
    """(N,) float64, robust z of the logarithm of the mean (Euclidean) distance to the nearest studies; NaN if there
    are too few."""
    pairs: tuple[tuple[int, int, float], ...]
    """Near-duplicates by falling cosine: two rows and their cosine. The first `MOST_PAIRS`."""
    n_pairs: int
    """All near-duplicates."""

    @property
    def outliers(self) -> np.ndarray:
        """Rows of outliers, the farthest first."""
        far = np.flatnonzero(np.nan_to_num(self.isolation, nan=-np.inf) >= OUTLYING)
        return far[np.argsort(-self.isolation[far], kind="stable")]


def arrange(file: Embeddings) -> Arrangement:
    """See how the studies of a file lie to each other."""
    width = file.width("study/embedding")
    rows = max(1, _BLOCK // (4 * max(width, 1)))

    def blocks() -> Iterator[np.ndarray]:
        for block in file.blocks("study/embedding", rows):
            yield np.nan_to_num(block.astype(np.float32), posinf=0, neginf=0)

    return arrange_vectors(blocks, file.n_studies, width)


def arrange_vectors(blocks: Blocks, n: int, width: int) -> Arrangement:
    """See how N vectors lie to each other.

    Args:
        blocks: gives them again at each call, in order, a few at a time.
    """
    centre, variance, vary = _centre(blocks, n, width)
    sketch = _sketch(blocks, centre, n, width)
    points, share = _map(blocks, centre, sketch, variance, width)
    if not vary:  # all alike: what they have in common is what there is to compare
        sketch = _sketch(blocks, np.zeros_like(centre), n, width)
    nearest, similarity, distance, pairs, n_pairs = _compare(sketch)
    return Arrangement(points, share, nearest, similarity, _robust_z(distance), pairs, n_pairs)


def _centre(blocks: Blocks, n: int, width: int) -> tuple[np.ndarray, float, bool]:
    """Mean, total variance, and whether the vectors vary by more than rounding."""
    total = np.zeros(width)
    for block in blocks():
        total += block.sum(axis=0, dtype=np.float64)
    mean = total / max(n, 1)
    squares = sum(float(((block - mean) ** 2).sum()) for block in blocks())
    vary = squares > n * 1e-10 * float((mean**2).sum())
    return mean.astype(np.float32), squares / max(n, 1), vary


def _sketch(blocks: Blocks, centre: np.ndarray, n: int, width: int) -> np.ndarray:
    """(N, at most 512) float32, the vectors less their mean on random directions; themselves if they are short."""
    directions, count = None, _DIRECTIONS if n <= _MANY else _DIRECTIONS // 2
    if width > _DIRECTIONS:
        random = np.random.default_rng(0)
        directions = random.standard_normal((width, count), np.float32) / np.sqrt(count, dtype=np.float32)
    sketch = np.empty((n, width if directions is None else count), np.float32)
    first = 0
    for block in blocks():
        less = block - centre
        sketch[first : first + len(less)] = less if directions is None else less @ directions
        first += len(less)
    return sketch


def _map(
    blocks: Blocks, centre: np.ndarray, sketch: np.ndarray, variance: float, width: int
) -> tuple[np.ndarray, tuple[float, float]]:
    """Scores on the first two principal components, and their parts of the variance.

    Of long vectors the sketch gives a first guess, which one step of power iteration on the vectors themselves makes
    good (Halko, Martinsson and Tropp 2011, algorithm 4.4).
    """
    found = sketch
    if width > sketch.shape[1]:
        guess = sketch @ _leading(sketch, _POWER)
        along = np.zeros((width, guess.shape[1]))
        first = 0
        for block in blocks():
            along += (block - centre).T.astype(np.float64) @ guess[first : first + len(block)]
            first += len(block)
        basis = np.linalg.qr(along)[0].astype(np.float32)
        found = np.concatenate([(block - centre) @ basis for block in blocks()])
    points = np.zeros((len(sketch), 2))
    scores = found @ _leading(found, 2)
    points[:, : scores.shape[1]] = scores
    if len(points):  # the sign of a component is arbitrary: the farthest point is put on the positive side
        points *= np.where(points[np.abs(points).argmax(axis=0), [0, 1]] < 0, -1, 1)
    share = (points**2).mean(axis=0) / variance if variance > 0 else np.zeros(2)
    return points, (float(share[0]), float(share[1]))


def _leading(values: np.ndarray, count: int) -> np.ndarray:
    """(width, count) directions in which rows of mean 0 vary most."""
    gram = np.zeros((values.shape[1], values.shape[1]))
    for first in range(0, len(values), _GRAM_ROWS):
        block = values[first : first + _GRAM_ROWS].astype(np.float64)
        gram += block.T @ block
    vectors = np.linalg.eigh(gram)[1]
    return vectors[:, ::-1][:, :count].astype(np.float32)


def _compare(
    vectors: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[tuple[int, int, float], ...], int]:
    """Most similar row, cosine to it, mean distance to the nearest few, near-duplicates and their number.

    The vectors are scaled to length 1 in place: a copy of those of a million studies would take another gigabyte.
    """
    n = len(vectors)
    if n < 2:
        return np.full(n, -1), np.zeros(n, np.float32), np.full(n, np.nan), (), 0
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)
    lengths = lengths[:, 0]
    few = min(NEIGHBOURS, n - 1)
    compared = _drawn(n, MOST_COMPARED) if n > MOST_COMPARED else np.arange(n)
    others = vectors if n <= MOST_COMPARED else vectors[compared]
    column = np.full(n, -1)
    column[compared] = np.arange(len(compared))
    drawn = np.arange(len(compared)) if n <= _MANY else _drawn(len(compared), _DRAWN)
    theirs = lengths[compared[drawn]]
    nearest, similarity, distance = np.empty(n, np.int64), np.empty(n, np.float32), np.empty(n)
    pairs, n_pairs = np.empty((0, 3)), 0
    rows = max(1, _BLOCK // (4 * len(compared)))
    for first in range(0, n, rows):
        cosines = vectors[first : first + rows] @ others.T
        here = np.arange(len(cosines))
        own_column = column[first + here]
        itself = own_column >= 0
        cosines[here[itself], own_column[itself]] = -np.inf
        best = cosines.argmax(axis=1)
        nearest[first + here] = compared[best]
        similarity[first + here] = cosines[here, best]
        i, j = np.nonzero(cosines >= DUPLICATE)
        values, one, other = cosines[i, j], first + i, compared[j]
        once = (other > one) | ~itself[i]  # a study that was not drawn is in no column
        n_pairs += int(once.sum())
        pair = np.sort(np.column_stack([one[once], other[once]]), axis=1)
        new = np.column_stack([pair, values[once]])
        pairs = np.concatenate([pairs, new])
        pairs = pairs[np.argsort(-pairs[:, 2], kind="stable")[:MOST_PAIRS]]
        own = lengths[first + here, None]
        with np.errstate(invalid="ignore"):  # a vector of zeros, next to itself: 0 times -infinity
            squares = own**2 + theirs**2 - 2 * own * theirs * cosines[:, drawn]
        squares = np.partition(np.nan_to_num(squares, nan=np.inf), few - 1, axis=1)[:, :few]
        distance[first + here] = np.sqrt(np.maximum(squares, 0)).mean(axis=1)
    return nearest, similarity, distance, tuple((int(i), int(j), float(c)) for i, j, c in pairs), n_pairs


def _drawn(n: int, count: int) -> np.ndarray:
    """The same `count` of n rows at each call, in order."""
    return np.sort(np.random.default_rng(0).permutation(n)[:count])


def _robust_z(distance: np.ndarray) -> np.ndarray:
    """Logarithms of distances from their median, in units of their spread (as a normal distribution's median deviation
    tells it): distances to the nearest are skewed, and their logarithms hardly."""
    if len(distance) < LEAST_STUDIES:
        return np.full(len(distance), np.nan)
    logs = np.log(np.maximum(distance, 1e-6 * distance.max() + np.finfo(float).tiny))
    median = np.median(logs)
    spread = 1.4826 * np.median(np.abs(logs - median))
    return (logs - median) / max(spread, _LEAST_SPREAD)
