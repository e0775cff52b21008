"""Fixtures of tests/pretraining, and the folder of the recipe on the path."""

import sys
from pathlib import Path

from small_training import (
    bids,
    coarse_studies,
    cohorts,
    one_thread,
    read_here,
    reports,
    synthetic_cache,
    tokenizer_model,
    visits,
    write,
)

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "prima_synth"
# At the end: everything else is imported from where it is installed.
sys.path.append(str(RECIPE))

__all__ = [
    "RECIPE",
    "bids",
    "coarse_studies",
    "cohorts",
    "one_thread",
    "read_here",
    "reports",
    "synthetic_cache",
    "tokenizer_model",
    "visits",
    "write",
]
