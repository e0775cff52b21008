"""Random draws of a run: the generator of each, and the held-out subjects.

Each draw has its own generator, seeded by the run's seed and a place such as (step, study): resuming, another number
of processes or prefetching cannot change what is drawn.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

import numpy as np

from prima_features.errors import UsageError


def generator(seed: int, purpose: str, *place: int) -> np.random.Generator:
    """The generator of one draw: `purpose` keeps different draws at one place apart."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *place])


class _OfSubject(Protocol):
    @property
    def subject(self) -> str: ...

    @property
    def split(self) -> str: ...


S = TypeVar("S", bound=_OfSubject)


def held_out(subjects: Sequence[str], share: float, seed: int, given: Sequence[str] = ()) -> list[bool]:
    """Whether each study is held out.

    Subjects are drawn by a hash of the seed and their label, so that the draw does not depend on the order of
    the studies. If the source assigns any study to a split, its assignments are used for all.

    Args:
        subjects: of each study.
        share: of held-out subjects; at least one if it is above 0 and there are two.
        seed: of the run.
        given: `train`, `validation` or nothing for each study.

    Raises:
        UsageError: a subject is given on both sides, or no study is left to train.
    """
    if any(given):
        held = [split == "validation" for split in given]
        sides: dict[str, set[bool]] = {subject: set() for subject in subjects}
        for subject, side in zip(subjects, held, strict=True):
            sides[subject].add(side)
        if crossing := [subject for subject, both in sides.items() if len(both) > 1]:
            raise UsageError(
                f"the table assigns studies of subject {crossing[0]} to both train and validation; assign "
                "all of them to one"
            )
    else:
        unique = sorted(set(subjects), key=lambda subject: _rank(subject, seed))
        count = round(share * len(unique))
        if share and len(unique) > 1:
            count = min(max(count, 1), len(unique) - 1)
        chosen = set(unique[:count])
        held = [subject in chosen for subject in subjects]
    if all(held):
        raise UsageError("no study is left to train on; hold out fewer")
    return held


def split_studies(studies: Iterable[S], share: float, seed: int) -> tuple[list[S], list[S]]:
    """Studies to train on and held-out ones; see `held_out`."""
    studies = list(studies)
    held = held_out([s.subject for s in studies], share, seed, [s.split for s in studies])
    pairs = list(zip(studies, held, strict=True))
    return [study for study, out in pairs if not out], [study for study, out in pairs if out]


def _rank(subject: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{subject}".encode()).hexdigest()
