"""Loading the text tower, which only search and pretraining need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks.text import TextTower
from prima_features.errors import UsageError
from prima_features.models import directory as files
from prima_features.models.loading import fill

if TYPE_CHECKING:
    import torch


def load_text(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> TextTower:
    """The text tower of a model directory, in evaluation mode.

    Args:
        directory: a model directory.
        device: where the weights go.
        dtype: number type of the weights; float32 if None.

    Raises:
        UsageError: the model has none, its file is damaged, or transformers is not installed.
    """
    import torch

    config = read_config(directory).text
    if config is None:
        raise UsageError(
            f"the model in {directory} has no text tower: search needs a model with a text tower"
        )
    # Unlike the encoder, the tower is made with numbers: of a size that the file can fill, or not at all.
    numbers = (config.vocab_size + config.positions) * config.dim + 12 * config.depth * config.dim**2
    path = directory / files.TEXT
    if not path.is_file() or path.stat().st_size < numbers:
        raise UsageError(
            f"{path} does not contain the tensors that config.json requires: download or convert the model again"
        )
    tower = TextTower(config)
    fill(tower, directory / files.TEXT, device, dtype or torch.float32)
    return tower
