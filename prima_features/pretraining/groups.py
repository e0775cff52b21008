"""Which studies are drawn together: each on its own, or two of a subject."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prima_features.pretraining.cohort import CachedStudy

Group = tuple[CachedStudy, ...]


def grouped(studies: Sequence[CachedStudy], together: int) -> list[Group]:
    """Each study on its own where one is drawn, and otherwise those of each subject, in the order of the studies."""
    if together == 1:
        return [(study,) for study in studies]
    by_subject: dict[str, list[CachedStudy]] = {}
    for study in studies:
        by_subject.setdefault(study.subject, []).append(study)
    return list(map(tuple, by_subject.values()))


def drawn_from(group: Group, together: int, chance: np.random.Generator) -> Group:
    """So many studies of a group, different ones unless it has too few: then each comes again."""
    if len(group) <= together:
        return tuple(group[i % len(group)] for i in range(together))
    return tuple(group[i] for i in chance.choice(len(group), together, replace=False))
