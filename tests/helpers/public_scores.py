"""Outputs of the public code's heads, as tests use them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Write = Callable[..., Path]
"""The fixture `write` of tests/clinical."""
KINDS = ("diagnosis", "referral", "priority")


@dataclass(frozen=True)
class SeriesSets:
    """Outputs of the public code for one study with 11 sets of its series."""

    names: tuple[str, ...]
    """Of the sets."""
    values: Mapping[str, np.ndarray]
    head_names: Mapping[str, list[str]]
    """Of diagnoses, referrals and priority levels."""
