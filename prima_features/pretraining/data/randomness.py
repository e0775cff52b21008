"""Random numbers that depend on what they are for and on nothing else.

Each draw has its own generator, made of the run's seed and a place such as (step, study): a resumed run, another
number of processes or reading ahead in a thread cannot change what is drawn.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *place: int) -> np.random.Generator:
    """The generator of one draw: `purpose` keeps different draws at one place apart."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *place])
