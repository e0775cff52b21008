"""What Ray runs on the machines of a cluster: `read_study`, and an `EncoderActor` with a device of its own.

Only `EncoderActor` imports torch, so that processes that only read start quickly and stay small.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prima_features._version import __version__
from prima_features.embedding.engine.options import Precision, StageTimes
from prima_features.embedding.engine.prepare import PreparedStudy, StudyReader, StudyRequest
from prima_features.embedding.file.records import Result
from prima_features.encoders.base import Encoder, Inference
from prima_features.encoders.checks import checked_info, encoder_code
from prima_features.studies.study import Study


@dataclass(frozen=True)
class Receipt:
    """What the driver receives about a study that was read; the study stays on its machine until it is encoded."""

    weights: tuple[int, ...]
    """`PreparedStudy.weight` for each encoder of the request."""
    seconds: tuple[float, ...]
    """`PreparedStudy.seconds` for each encoder of the request."""
    host: str
    sees_scans: bool
    """False if none of the scans' folders exists."""


def read_study(read: StudyReader, request: StudyRequest, folder: Path) -> tuple[Receipt | PreparedStudy, ...]:
    """Read a study on whichever machine this runs.

    Args:
        folder: what relative paths start from, the driver's working folder.

    Returns:
        A receipt, and the study prepared for each encoder of the request.

    Raises:
        SourceError: the disk with the scans does not answer any more.
    """
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    if folder.is_dir():
        os.chdir(folder)
    prepared = read(request)
    weights, seconds = tuple(one.weight for one in prepared), tuple(one.seconds for one in prepared)
    return Receipt(weights, seconds, socket.gethostname(), sees_scans(request.study)), *prepared


def sees_scans(study: Study) -> bool:
    """Whether a folder of the study's scans is on this machine."""
    return any(folder.is_dir() for folder in {file.parent for one in study.series for file in one.files})


class EncoderActor:
    """The encoders of a run on a GPU, or on the processor if it was given none; an actor.

    Args:
        encoders: on the CPU.
        dtypes: number type that each computes in, by its name in torch.
        batch_size: in the unit of each encoder.
        n_threads: CPU threads of the networks, if there is no GPU.
        keep_tokens: also return each token's latent.
    """

    def __init__(
        self,
        encoders: Sequence[Encoder],
        dtypes: Sequence[str],
        batch_size: int,
        on_gpu: bool,
        n_threads: int,
        keep_tokens: bool,
    ) -> None:
        self._encoders, self._dtypes, self._batch_size = encoders, dtypes, batch_size
        self._on_gpu, self._n_threads, self._keep_tokens = on_gpu, n_threads, keep_tokens
        self._inferences: list[Inference] = []
        self._idle_since = 0.0

    def prepare(self) -> str:
        """Place the encoders; returns the version of prima-features here."""
        import torch

        # Studies come as views of Ray's shared memory. Nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        if not self._on_gpu:
            torch.set_num_threads(self._n_threads)
        device = torch.device("cuda", 0) if self._on_gpu else torch.device("cpu")
        for encoder, dtype in zip(self._encoders, self._dtypes, strict=True):
            with encoder_code(encoder.info.encoder, f"be placed on {device}"):
                self._inferences.append(encoder.on(device, getattr(torch, dtype), self._batch_size))
        self._idle_since = time.monotonic()
        return __version__

    def encode(self, encoder: int, *window: PreparedStudy) -> tuple[int, list[Result], StageTimes]:
        """Encode studies together with one of the encoders, see `encode_window`.

        Returns:
            The encoder's position, the results, and what time it took.
        """
        from prima_features.embedding.engine.encode import encode_window

        assert self._inferences, "not prepared"
        times = StageTimes(wait=time.monotonic() - self._idle_since)
        try:
            widths = checked_info(self._encoders[encoder]).widths
            inference = self._inferences[encoder]
            results = encode_window(inference, widths, window, times, self._keep_tokens)
            return encoder, results, times
        finally:
            self._idle_since = time.monotonic()


def best_dtype() -> Precision:
    """What `--precision auto` means on the GPU that this runs on."""
    import torch

    from prima_features.embedding.engine.device import compute_dtype

    return "bf16" if compute_dtype("auto", torch.device("cuda", 0)) == torch.bfloat16 else "fp32"
