"""An engine on Ray: the machines of a cluster read and encode, this process keeps what comes back.

Tasks read studies, on any machine; actors encode, one a GPU (`encoders`). A prepared study goes from the one to the
other without passing through here. Ray Data is not used: it wants the whole list of studies when it starts, where
studies are claimed one by one as their turn comes, so that several runs can share them; it makes batches of a number of
rows, where windows are as many studies as fill the network; and a study whose reader dies ends its run.
"""

from __future__ import annotations

import copy
import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from prima_features.embedding.engine.device import compute_dtype
from prima_features.embedding.engine.options import EngineOptions, StageTimes
from prima_features.embedding.engine.prepare import StudyRequest
from prima_features.embedding.engine.ray.workers import EncoderActor, best_dtype
from prima_features.embedding.file.records import Result
from prima_features.encoders.base import Encoder
from prima_features.errors import UsageError

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no telemetry: read when Ray starts
os.environ.setdefault("RAY_worker_niceness", "0")  # as the processes of the local engine; Ray takes 15
try:
    import ray
    from ray.exceptions import RayError, RayTaskError

    from prima_features.embedding.engine.ray.encoders import Encoders, cannot_run
    from prima_features.embedding.engine.ray.run import POLL_S, OnItsWay, Patience, StudiesOnRay
except ImportError as error:
    raise UsageError("the Ray engine needs ray: pip install 'prima-features[ray]'") from error


_ANSWER_S = 10.0
"""Seconds in which the head of a cluster has to answer."""


class RayEngine:
    """An `Engine` on a Ray cluster, to be used in a `with` block.

    Ray is started on this machine for the block, or joined if it is running. What was started is stopped at the end.

    Args:
        address: `HOST:PORT` of the cluster's head, or `auto` for one that runs on this machine; by default what
            RAY_ADDRESS says, else a Ray of its own.
        device: `cuda` encodes on GPUs, `cpu` on CPUs, `auto` on GPUs if the cluster has any.
    """

    def __init__(self, address: str | None = None, device: str = "auto"):
        if device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"Ray chooses the GPUs itself: --device auto, cpu or cuda, not {device}")
        self._address, self._device = address, device
        self._joined = False
        self._encoders: Encoders[list[OnItsWay]] | None = None
        self._made_for: tuple[Any, ...] = ()

    def __enter__(self) -> RayEngine:
        if not ray.is_initialized():
            self._join()
            self._joined = True
        with ExitStack() as undo:
            undo.callback(self.close)
            self.on_gpus = self._device != "cpu" and ray.cluster_resources().get("GPU", 0) >= 1
            if self._device == "cuda" and not self.on_gpus:
                raise UsageError("The Ray cluster has no GPU: use --device cpu or auto to encode on its CPUs")
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the encoders, and Ray if it was started or joined here."""
        if self._encoders is not None:
            with suppress(RayError):
                self._encoders.close()
            self._encoders = None
        if self._joined:
            ray.shutdown()
            self._joined = False

    def _join(self) -> None:
        address = self._address or os.environ.get("RAY_ADDRESS") or "local"
        if address not in ("auto", "local"):
            _check_that_it_answers(address)
        of_its_own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        try:
            with _in_no_folder():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **of_its_own)
        except ConnectionError as error:
            raise _no_answer(address) from error
        # Ray raises no class of its own, for example if its processes do not start within 30 s on a busy machine.
        except Exception as error:
            where = "cannot be started here" if address == "local" else f"cannot be used at {address}"
            why = str(error).strip().partition("\n")[0]
            raise UsageError(f"Ray {where}: {why}") from error

    def options(self, options: EngineOptions) -> EngineOptions:
        """Options with `auto` decided by the cluster's GPUs, which this machine may not have.

        Raises:
            UsageError: prima-features cannot be used there.
        """
        options = replace(options, batch_size=self._batch_size(options))
        if options.precision != "auto":
            return options
        if not self.on_gpus:
            return replace(options, precision="fp32")
        answer = ray.remote(best_dtype).options(num_gpus=1, num_cpus=0).remote()
        patience = Patience()
        while not ray.wait([answer], timeout=POLL_S)[0]:
            patience.look()
        try:
            return replace(options, precision=ray.get(answer))
        except RayTaskError as error:
            raise cannot_run(error) from error

    def __call__(
        self,
        requests: Iterable[StudyRequest],
        encoders: Sequence[Encoder],
        options: EngineOptions = EngineOptions(),
        stopping: Callable[[], bool] = lambda: False,
        times: Sequence[StageTimes] = (),
    ) -> Iterator[tuple[int, Result]]:
        """Embed studies; yields each result when it is ready, in any order. See `embed_requests`.

        `options.workers` are the studies that are read at a time, by default as many as there is room for.

        Raises:
            SourceError: the disk with the scans does not answer any more, or a machine does not see it.
            UsageError: prima-features cannot be used on the cluster.
        """
        requests = iter(requests)
        if (first := next(requests, None)) is None:  # nothing to do: no reason to start encoders
            return
        run = StudiesOnRay(
            self._encoders_for(encoders, options),
            encoders,
            options,
            self.on_gpus,
            times or [StageTimes() for _ in encoders],
        )
        try:
            yield from run.results(first, requests, stopping)
        finally:
            run.abandon()

    def _batch_size(self, options: EngineOptions) -> int:
        return options.batch_for("cuda" if self.on_gpus else "cpu")

    def _encoders_for(self, encoders: Sequence[Encoder], options: EngineOptions) -> Encoders[list[OnItsWay]]:
        named = torch.device(options.devices[0]) if options.devices else None
        dtypes = tuple(
            str(compute_dtype(options.precision, named or encoder.device)).removeprefix("torch.")
            for encoder in encoders
        )
        batch_size = self._batch_size(options)
        made_for = (tuple(map(id, encoders)), dtypes, batch_size, options.keep_tokens)
        if self._encoders is not None and made_for != self._made_for:
            self._encoders.close()
            self._encoders = None
        if self._encoders is None:
            shared = ray.put([_on_cpu(encoder) for encoder in encoders])
            actors = ray.remote(EncoderActor)

            def start(room: dict[str, Any], n_threads: int) -> Any:
                arguments = (shared, dtypes, batch_size, self.on_gpus, n_threads, options.keep_tokens)
                return actors.options(max_restarts=0, **room).remote(*arguments)

            self._encoders, self._made_for = Encoders(self.on_gpus, start), made_for
        return self._encoders


def _on_cpu(encoder: Encoder) -> Encoder:
    return encoder if encoder.device.type == "cpu" else copy.deepcopy(encoder).cpu()


@contextmanager
def _in_no_folder() -> Iterator[None]:
    """Ray's workers import from the folder in which Ray was started or joined, which may be one of scans.

    They get the root folder instead, and change to the run's own folder for each study (`workers.read_study`).
    """
    here = Path.cwd()
    os.chdir(here.anchor)
    try:
        yield
    finally:
        os.chdir(here)


def _check_that_it_answers(address: str) -> None:
    """Ray itself would try for ten minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        raise UsageError(
            f"The Ray address {address} is not HOST:PORT or auto: run prima on a machine of the cluster"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address) from error


def _no_answer(address: str) -> UsageError:
    return UsageError(
        f"No Ray cluster answers at {address}: check that it is running with `ray status` on its head node"
    )
