"""Which studies are drawn together: each on its own, or two of a subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np


class _Study(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def subject(self) -> str: ...


S = TypeVar("S", bound=_Study)
UNITS = {1: "studies", 2: "subjects"}
"""What a batch is counted in, by how many studies are drawn together."""


def grouped(studies: Sequence[S], together: int) -> list[tuple[S, ...]]:
    """Each study on its own where one is drawn, and otherwise those of each subject, in the order of the studies."""
    if together == 1:
        return [(study,) for study in studies]
    by_subject: dict[str, list[S]] = {}
    for study in studies:
        by_subject.setdefault(study.subject, []).append(study)
    return list(map(tuple, by_subject.values()))


def keys_of(groups: Sequence[Sequence[_Study]], made_up: bool) -> list[str]:
    """What a batch may hold once, of each group: all studies of a made-up subject have nearly the same
    report."""
    return [group[0].subject if made_up else group[0].id for group in groups]


def drawn_from(group: tuple[S, ...], together: int, chance: np.random.Generator) -> tuple[S, ...]:
    """So many studies of a group, different ones unless it has too few: then each comes again."""
    if len(group) <= together:
        return tuple(group[i % len(group)] for i in range(together))
    return tuple(group[i] for i in chance.choice(len(group), together, replace=False))
