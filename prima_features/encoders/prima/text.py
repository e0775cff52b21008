"""The text tower: loading it, which only search and pretraining need, and encoding texts with it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks.text import TextTower
from prima_features.errors import UsageError
from prima_features.models import directory as files
from prima_features.models.loading import fill
from prima_features.models.resolve import resolve

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

END = "<|endoftext|>"
"""The token that ends every text; the tower's output at it is the text's vector."""


def load_text(
    directory: Path, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> TextTower:
    """The text tower of a model directory, in evaluation mode.

    Args:
        directory: a model directory.
        device: device of the weights.
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


class TextEncoder:
    """A text tower with its tokenizer: texts in, vectors out that are comparable with `/study/clip`.

    Attributes:
        max_tokens: of a text, the end mark counted. Of a longer text only the beginning is read, as in the public code.
    """

    def __init__(self, tower: TextTower, tokenizer: Tokenizer, max_tokens: int) -> None:
        end = tokenizer.token_to_id(END)
        if end is None:
            raise UsageError(f"the model's tokenizer has no {END}: download or convert the model again")
        self._tower, self._tokenizer, self._end, self.max_tokens = tower, tokenizer, end, max_tokens

    @classmethod
    def from_directory(cls, directory: Path, device: torch.device | str = "cpu") -> TextEncoder:
        """Load the text tower and the tokenizer of a model directory.

        Raises:
            UsageError: the model has no text tower, a file is missing or damaged, or a package of the extra `text` is
                not installed.
        """
        config = read_config(directory).text
        tower = load_text(directory, device)
        assert config is not None  # load_text has read it
        return cls(tower, _read_tokenizer(directory, config.tokenizer), config.max_tokens)

    def is_cut(self, text: str) -> bool:
        """Whether a text has more tokens than the tower reads."""
        return len(self._ids(text)) >= self.max_tokens

    def __call__(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """Vectors of texts.

        Args:
            texts: in the form of the training texts, numbered findings (`reports.numbered.numbered`).
            batch_size: texts in one call of the tower.

        Returns:
            (N, C) float32, L2-normalised.
        """
        import torch

        device = next(self._tower.parameters()).device
        vectors = []
        for first in range(0, len(texts), batch_size):
            ids = [
                [*self._ids(text)[: self.max_tokens - 1], self._end]
                for text in texts[first : first + batch_size]
            ]
            padded = torch.full((len(ids), max(map(len, ids))), self._end)  # (B, L)
            for row, one in zip(padded, ids, strict=True):
                row[: len(one)] = torch.tensor(one)
            lengths = torch.tensor([len(one) for one in ids], device=device)
            with torch.inference_mode():
                vectors.append(self._tower(padded.to(device), lengths).float().cpu().numpy())
        return np.concatenate(vectors)

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)


def _read_tokenizer(directory: Path, name: str) -> Tokenizer:
    """The tokenizer.json of a model directory, or of the repository on the Hub that config.json names."""
    from tokenizers import Tokenizer

    path = directory / files.VOCABULARY
    if not path.is_file():
        if name == files.VOCABULARY:
            raise UsageError(f"{path} is missing: download or convert the model again")
        path = resolve(name, files=[files.VOCABULARY]).directory / files.VOCABULARY
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises plain Exception
        raise UsageError(
            f"{path} is not a tokenizer of the tokenizers library ({error}): copy or download it again"
        ) from error
