"""Which studies make up which batch: drawn for the whole batch, then divided among the processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence, Sized

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
