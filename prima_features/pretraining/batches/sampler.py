"""Which studies make up which batch: drawn for the whole batch, then divided among the processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence, Sized
from typing import Protocol, TypeVar

import numpy as np

from prima_features.errors import UsageError
from prima_features.pretraining.data.randomness import generator


class Sampler:
    """Shuffled passes over items, some of which come several times a pass.

    Items of the same key never meet in one batch: beside its own report a study's second copy would be a wrong
    answer. What a batch holds depends on the seed and its number alone.

    Args:
        keys: of each item.
        repeats: how often each item comes in a pass.
        batch: items of a batch, over all processes.
        seed: of the run.
        what: the items, for messages.

    Raises:
        UsageError: there are fewer different keys than a batch holds.
    """

    def __init__(
        self, keys: Sequence[Hashable], repeats: Sequence[int], batch: int, seed: int, what: str = "studies"
    ) -> None:
        check_batch(keys, batch, what)
        self._keys, self._batch, self._seed = list(keys), batch, seed
        self._entries = np.repeat(np.arange(len(keys)), repeats)
        self.batches_per_pass = max(1, len(self._entries) // batch)
        self._pass: tuple[int, list[list[int]]] = (-1, [])

    def batch(self, number: int) -> list[int]:
        """Items of a batch, in order."""
        turn, place = divmod(number, self.batches_per_pass)
        if self._pass[0] != turn:
            self._pass = (turn, self._draw(turn))
        return self._pass[1][place]

    def _draw(self, turn: int) -> list[list[int]]:
        order = generator(self._seed, "order", turn)
        waiting = deque(order.permutation(self._entries).tolist())
        return [self._fill(waiting, order) for _ in range(self.batches_per_pass)]

    def _fill(self, waiting: deque[int], order: np.random.Generator) -> list[int]:
        """Take the next items, leaving for the next batch those whose key is in this one already."""
        batch: list[int] = []
        keys: set[Hashable] = set()
        later: list[int] = []
        while waiting and len(batch) < self._batch:
            item = waiting.popleft()
            if self._keys[item] in keys:
                later.append(item)
            else:
                batch.append(item)
                keys.add(self._keys[item])
        waiting.extendleft(reversed(later))
        if len(batch) < self._batch:  # at the end of a pass only copies are left
            for item in order.permutation(len(self._keys)).tolist():
                if self._keys[item] not in keys and len(batch) < self._batch:
                    batch.append(item)
                    keys.add(self._keys[item])
        return batch


def check_batch(keys: Iterable[Hashable], batch: int, what: str) -> None:
    """Raise UsageError where there are fewer different keys than a batch holds; `what` says of what they are."""
    if (count := len(set(keys))) < batch:
        raise UsageError(
            f"batch takes {batch} different {what}, and there are only {count} to train on: lower it"
        )


def share_of(batch: Sized, rank: int, processes: int) -> range:
    """Places in a batch that one process computes; the batch divides evenly, which a run checks before it starts."""
    each = len(batch) // processes
    return range(rank * each, (rank + 1) * each)


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
