"""Synthetic brains that several tests look at, each built once in a process."""

from functools import lru_cache

from prima_features.synthetic import Anatomy, Subject, build_anatomy


@lru_cache(maxsize=8)
def brain(subject: Subject) -> Anatomy:
    """`build_anatomy(subject)`, which tests must not change."""
    return build_anatomy(subject)
