"""Fixtures: small cohorts, and models that are trained on them in seconds."""

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

__all__ = [
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
