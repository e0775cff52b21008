"""Random generators that depend only on the seed and on the purpose of a draw.

Generators are numpy's: a CPU and a GPU give the same brains.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, index: int, purpose: str) -> np.random.Generator:
    """An independent generator for each seed, subject and purpose.

    More draws for one purpose do not change those for another.
    """
    return np.random.default_rng(np.random.SeedSequence((seed, index, zlib.crc32(purpose.encode()))))


def truncated(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    """A normally distributed number, redrawn until it is in the range."""
    while not low <= (value := rng.normal(mean, sd)) <= high:
        pass
    return float(value)
