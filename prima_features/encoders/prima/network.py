"""A model made ready for inference on one device."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.undoubled import UndoubledEncoder

logger = logging.getLogger(__name__)


class Network:
    """A model on one device, computing in one number type.

    The tokenizer is a copy: channels-last, on slices that need not be doubled first, its weights in `dtype`. Both
    transformers keep their weights and sums in float32; with bfloat16 their matrix products are in it.

    Args:
        model: in evaluation mode; copied where it is on another device.
        batch_size: subvolumes in one call of the tokenizer. Halved, for good, where the device's memory does not do.
    """

    def __init__(self, model: Prima, device: torch.device, dtype: torch.dtype, batch_size: int) -> None:
        self.device, self.dtype, self.batch_size = device, dtype, batch_size
        self.model = model if model.device == device else copy.deepcopy(model).to(device)
        self._tokenizer = UndoubledEncoder(self.model.tokenizer.encoder, dtype)

    def latents(self, values: Tensor, slice_axis: int, check: Callable[[], None]) -> Tensor:
        """Latents (N, C, d, h, w) of subvolumes (N, z, y, x) in main memory, on the device, in the model's type.

        Args:
            check: called before each batch; may raise to give up.
        """
        parts, done = [], 0
        while done < len(values):
            check()
            batch = values[done : done + self.batch_size]
            try:
                parts.append(self._tokenizer(self._copied(batch), slice_axis))
                done += len(batch)
                continue
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
            # Behind the handler, where the error no longer holds on to the tensors of the call that failed.
            self._take_less(len(batch))
        return torch.cat(parts).to(self.model.dtype)

    def computing(self) -> AbstractContextManager[object]:
        """The context in which the transformers run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _copied(self, batch: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return batch.to(self.device, self.dtype)
        # From pinned memory the copy does not wait, so that the next batch is got ready while this one computes.
        return batch.pin_memory().to(self.device, non_blocking=True).to(self.dtype)

    def _take_less(self, tried: int) -> None:
        self.batch_size = tried // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        logger.warning(
            "The memory of %s does not do for %d subvolumes at once: %d", self.device, tried, tried // 2
        )
