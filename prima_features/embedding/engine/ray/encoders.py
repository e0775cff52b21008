"""The encoders of a Ray cluster: one on each GPU, or one on each machine if there are none.

Machines and encoders come and go. One that is lost is replaced if there is room, and the windows that it was given are
returned, to be encoded again elsewhere.

Ray's own means, tried in its place, lose studies. With `max_restarts`, calls fail at once while an actor restarts: in
the tests of killed workers a study that was in order used up its three tries this way and was left out; nor does it
save lines, since machines that join have to be found all the same. With `max_task_retries`, a study that kills its
encoder would take the others of its window along each time. `ActorPool` has one task per actor, and replaces none.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from prima_features._version import __version__
from prima_features.errors import PrimaError, UsageError

logger = logging.getLogger(__name__)

T = TypeVar("T")

READER_CPUS = 0.5
"""Of a processor, for each study being read where encoders compute on processors, too."""
_IN_HAND = 2
"""Windows that an encoder is given at a time: the second one is brought to it while it computes the first."""
_TRIES = 3
"""How often an encoder is started in one place, unless it has done something."""
_LOOK_S = 5.0
"""Seconds between two looks at which machines there are."""

Place = tuple[str, int]
"""A machine's id, and the number of the encoder there."""


@dataclass
class _Started(Generic[T]):
    """An encoder, and what it has in hand."""

    actor: Any
    preparing: Any
    """Reference to the answer of `Encoder.prepare`; None once it came."""
    in_hand: deque[tuple[Any, T]] = field(default_factory=deque)


class Encoders(Generic[T]):
    """Starts encoders, sends them windows, and collects the results.

    Args:
        on_gpus: one on each GPU, else one on each machine that has processors to share.
        start: makes an actor of given Ray options that computes with a number of threads.
    """

    n_cpus = 0.0
    """Processors of the whole cluster."""

    def __init__(self, on_gpus: bool, start: Callable[[dict[str, Any], int], Any]):
        self._on_gpus, self._start = on_gpus, start
        self._encoders: dict[Place, _Started[T]] = {}
        self._starts: Counter[Place] = Counter()
        self._looked = -_LOOK_S

    @property
    def references(self) -> list[Any]:
        """References to all that is waited for."""
        encoders = self._encoders.values()
        preparing = [encoder.preparing for encoder in encoders if encoder.preparing is not None]
        return preparing + [reference for encoder in encoders for reference, _ in encoder.in_hand]

    @property
    def busy(self) -> bool:
        """Whether anything is being encoded."""
        return any(encoder.in_hand for encoder in self._encoders.values())

    @property
    def count(self) -> int:
        """Encoders that are ready, or will be."""
        return len(self._encoders)

    def look(self) -> None:
        """Start missing encoders, from time to time.

        Raises:
            PrimaError: none could be started anywhere.
        """
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        places, self.n_cpus = _places(self._on_gpus)
        for place, n_cpus in places.items():
            if place not in self._encoders and self._starts[place] < _TRIES:
                self._starts[place] += 1
                actor = self._start(self._room(place[0], n_cpus), max(1, int(n_cpus)))
                self._encoders[place] = _Started(actor, actor.prepare.remote())
        if places and not self._encoders:
            raise PrimaError(
                f"The encoders died {_TRIES} times on every machine of the Ray cluster, perhaps out of memory; "
                f"finished work is kept: see the logs of Ray"
            )

    def _room(self, node: str, n_cpus: float) -> dict[str, Any]:
        # Readers need CPUs as well, also on one processor, where each gets half of it.
        of_cpus = max(n_cpus - 1, n_cpus - 2 * READER_CPUS, READER_CPUS)
        resources = {"num_gpus": 1, "num_cpus": 0} if self._on_gpus else {"num_gpus": 0, "num_cpus": of_cpus}
        return resources | {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}

    def free(self, alone: bool = False) -> Place | None:
        """An encoder that can be given a window, that with the least in hand; `alone`: one that has nothing."""
        most = 1 if alone else _IN_HAND
        ready = {place: one for place, one in self._encoders.items() if one.preparing is None}
        place = min(ready, key=lambda place: len(ready[place].in_hand), default=None)
        return place if place is not None and len(ready[place].in_hand) < most else None

    def give(self, place: Place, what: T, model: int, studies: Sequence[Any]) -> None:
        """Have studies encoded.

        Args:
            place: an encoder process that is free.
            what: returned by `take` if the process is lost.
            model: position of the model in the sequence of encoders of the run.
            studies: references to prepared studies.
        """
        encoder = self._encoders[place]
        encoder.in_hand.append((encoder.actor.encode.remote(model, *studies), what))

    def take(self, reference: Any) -> tuple[Any, list[T]]:
        """What came of a reference: the answer, or None; and what was lost with an encoder that is lost.

        Raises:
            UsageError: prima-features cannot be used there, or is another version.
        """
        place = next(place for place, one in self._encoders.items() if _belongs(reference, one))
        encoder = self._encoders[place]
        try:
            answer = ray.get(reference)
        except RayTaskError as error:
            raise cannot_run(error) from error
        except RayError as error:
            logger.debug("An encoder process was lost", exc_info=error)
            return None, self._lose(place)
        if reference == encoder.preparing:
            encoder.preparing = None
            if answer != __version__:
                raise UsageError(
                    f"The Ray cluster has prima-features {answer}, but this machine has {__version__}: install "
                    f"the same version on the cluster"
                )
            return None, []
        encoder.in_hand = deque(one for one in encoder.in_hand if one[0] != reference)
        self._starts[place] = 1  # it works: what it dies of later is not the place
        return answer, []

    def _lose(self, place: Place) -> list[T]:
        encoder = self._encoders.pop(place)
        ray.kill(encoder.actor)
        return [what for _, what in encoder.in_hand]

    def cancel_waiting(self) -> None:
        """Give back what is not begun."""
        for encoder in self._encoders.values():
            while len(encoder.in_hand) > 1:
                reference, _ = encoder.in_hand.pop()
                ray.cancel(reference)

    def close(self) -> None:
        """End all encoders."""
        for place in list(self._encoders):
            self._lose(place)
        self._looked = -_LOOK_S


def _belongs(reference: Any, encoder: _Started[Any]) -> bool:
    return reference == encoder.preparing or any(reference == one for one, _ in encoder.in_hand)


def _places(on_gpus: bool) -> tuple[dict[Place, float], float]:
    """Where encoders can be, with the processors of each place's machine that Ray may use; and of all machines."""
    resources = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    n_cpus = {node: has.get("CPU", 0.0) for node, has in resources.items()}
    places = {
        (node, i): n_cpus[node]
        for node, has in resources.items()
        for i in range(int(has.get("GPU", 0)) if on_gpus else int(n_cpus[node] >= 1))
    }
    return places, sum(n_cpus.values())


def cannot_run(error: RayTaskError) -> UsageError:
    """Error message if prima-features itself fails on another machine. Only messages that name no scan are quoted."""
    cause = error.cause if isinstance(error.cause, Exception) else error
    if isinstance(cause, PrimaError):
        return UsageError(f"A machine of the Ray cluster cannot embed: {cause}")
    if isinstance(cause, ImportError):
        return UsageError(f"A machine of the Ray cluster lacks a package that is installed here: {cause}")
    return UsageError(
        f"A machine of the Ray cluster cannot embed ({type(cause).__name__}); use --debug for details"
    )
