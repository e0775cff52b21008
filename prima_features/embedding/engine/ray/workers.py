"""What Ray runs on the machines of a cluster: `read_study`, and an `EncoderActor` with a device of its own.

Only `EncoderActor` imports torch, so that processes that only read start quickly and stay small.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

from prima_features._version import __version__
from prima_features.embedding.engine.options import Precision, StageTimes
from prima_features.embedding.engine.prepare import PreparedStudy, StudyReader
from prima_features.embedding.file.records import Result
from prima_features.encoders.base import Encoder, Inference
from prima_features.encoders.checks import checked_info, encoder_code
from prima_features.studies.study import Study


@dataclass(frozen=True)
class Receipt:
    """What the driver receives about a study that was read; the study stays on its machine until it is encoded."""

    weight: int
    """Of `PreparedStudy.weight`."""
    seconds: float
    host: str
    sees_scans: bool
    """False if none of the scans' folders exists."""


def read_study(read: StudyReader, study: Study, folder: Path) -> tuple[Receipt, PreparedStudy]:
    """Read a study on whichever machine this runs.

    Args:
        folder: what relative paths start from, the driver's working folder.

    Raises:
        SourceError: the disk with the scans does not answer any more.
    """
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    if folder.is_dir():
        os.chdir(folder)
    prepared = read(study)
    receipt = Receipt(prepared.weight, prepared.seconds, socket.gethostname(), sees_scans(study))
    return receipt, prepared


def sees_scans(study: Study) -> bool:
    """Whether a folder of the study's scans is on this machine."""
    return any(folder.is_dir() for folder in {file.parent for one in study.series for file in one.files})


class EncoderActor:
    """An encoder on a GPU, or on the processor if it was given none; an actor.

    Args:
        n_threads: CPU threads of the network, if there is no GPU.
        keep_tokens: also return each token's latent.
    """

    def __init__(
        self, encoder: Encoder, dtype: str, batch_size: int, on_gpu: bool, n_threads: int, keep_tokens: bool
    ) -> None:
        self._encoder, self._dtype, self._batch_size = encoder, dtype, batch_size
        self._on_gpu, self._n_threads, self._keep_tokens = on_gpu, n_threads, keep_tokens
        self._inference: Inference | None = None
        self._idle_since = 0.0

    def prepare(self) -> str:
        """Place the encoder; returns the version of prima-features here."""
        import torch

        # Studies come as views of Ray's shared memory. Nothing writes to them.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        if not self._on_gpu:
            torch.set_num_threads(self._n_threads)
        device = torch.device("cuda", 0) if self._on_gpu else torch.device("cpu")
        with encoder_code(self._encoder.info.encoder, f"be placed on {device}"):
            self._inference = self._encoder.on(device, getattr(torch, self._dtype), self._batch_size)
        self._idle_since = time.monotonic()
        return __version__

    def encode(self, *window: PreparedStudy) -> tuple[list[Result], StageTimes]:
        """Encode studies together, see `encode_window`, and what time it took."""
        from prima_features.embedding.engine.encode import encode_window

        assert self._inference is not None, "not prepared"
        times = StageTimes(wait=time.monotonic() - self._idle_since)
        try:
            widths = checked_info(self._encoder).widths
            return encode_window(self._inference, widths, window, times, self._keep_tokens), times
        finally:
            self._idle_since = time.monotonic()


def best_dtype() -> Precision:
    """What `--precision auto` means on the GPU that this runs on."""
    import torch

    from prima_features.embedding.engine.device import compute_dtype

    return "bf16" if compute_dtype("auto", torch.device("cuda", 0)) == torch.bfloat16 else "fp32"
