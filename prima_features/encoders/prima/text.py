"""The text tower: loading it, which only search and pretraining need, and encoding texts with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks.text import TextTower
from prima_features.errors import UsageError
from prima_features.files.text import printable
from prima_features.models import directory as files
from prima_features.models.loading import fill
from prima_features.models.resolve import resolve

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer
    from torch import Tensor

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


class Vocabulary:
    """Texts to token ids.

    Args:
        tokenizer: has `<|endoftext|>`.
        max_tokens: that a text may have, the end mark counted.

    Attributes:
        end: id of the end mark.

    Raises:
        UsageError: the tokenizer lacks the end mark.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        end = tokenizer.token_to_id(END)
        if end is None:
            raise UsageError(
                f"the tokenizer of the text tower has no {END} token, which must end every report; use a "
                "GPT-2 tokenizer"
            )
        self.tokenizer, self.end, self.max_tokens = tokenizer, end, max_tokens

    @classmethod
    def read(cls, folder: Path, max_tokens: int, name: str = files.VOCABULARY) -> Self:
        """The vocabulary of a model directory or a transformers directory.

        Args:
            folder: the directory.
            max_tokens: see the class.
            name: a repository on the Hub that has the vocabulary if the folder has none (`TextConfig.tokenizer`).

        Raises:
            UsageError: there is none, or it is not one of the tokenizers library.
        """
        from tokenizers import Tokenizer

        path = folder / files.VOCABULARY
        if not path.is_file():
            if name == files.VOCABULARY:
                raise UsageError(
                    f"{folder} has no {files.VOCABULARY} (the vocabulary of the text tower); copy it there"
                )
            path = resolve(name, files=[files.VOCABULARY]).directory / files.VOCABULARY
        try:
            return cls(Tokenizer.from_str(path.read_text(encoding="utf-8")), max_tokens)
        except UsageError:
            raise
        except Exception as error:  # the library raises plain Exception
            raise UsageError(
                f"{path} cannot be read by the tokenizers library ({error}); give a tokenizer.json"
            ) from error

    @property
    def digest(self) -> str:
        """Hash of all that it does."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    @property
    def size(self) -> int:
        """Different tokens."""
        return self.tokenizer.get_vocab_size()

    def count(self, text: str) -> int:
        """Number of a text's tokens, without the end mark."""
        return len(self._ids(text))

    def ids(self, text: str) -> list[int]:
        """Ids of a text, the end mark last. Of a text that is too long only the beginning, as in the public code."""
        return [*self._ids(text)[: self.max_tokens - 1], self.end]

    def padded(self, texts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Ids (B, L) int64, padded on the right, and the number of each text's own (B,) int64."""
        import torch

        padded = torch.full((len(texts), max(map(len, texts))), self.end)
        for row, one in zip(padded, texts, strict=True):
            row[: len(one)] = torch.tensor(one)
        return padded, torch.tensor([len(one) for one in texts])

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`."""
        (folder / files.VOCABULARY).write_text(self.tokenizer.to_str(pretty=True), encoding="utf-8")

    def _ids(self, text: str) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"the text {printable(text)[:50]} has a character that is not valid in UTF-8: type or save it again"
            ) from error
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)


class TextEncoder:
    """A text tower with its vocabulary: texts in, vectors out that are comparable with `/study/clip`."""

    def __init__(self, tower: TextTower, vocabulary: Vocabulary) -> None:
        self._tower, self.vocabulary = tower, vocabulary

    @classmethod
    def from_directory(cls, directory: Path, device: torch.device | str = "cpu") -> TextEncoder:
        """Load the text tower and the vocabulary of a model directory.

        Raises:
            UsageError: the model has no text tower, a file is missing or damaged, or a package of the extra `text` is
                not installed.
        """
        tower = load_text(directory, device)
        config = read_config(directory).text
        assert config is not None  # load_text has read it
        return cls(tower, Vocabulary.read(directory, config.max_tokens, config.tokenizer))

    def is_cut(self, text: str) -> bool:
        """Whether a text has more tokens than the tower reads."""
        return self.vocabulary.count(text) >= self.vocabulary.max_tokens

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
            ids = [self.vocabulary.ids(text) for text in texts[first : first + batch_size]]
            padded, lengths = self.vocabulary.padded(ids)
            with torch.inference_mode():
                vectors.append(self._tower(padded.to(device), lengths.to(device)).float().cpu().numpy())
        found = np.concatenate(vectors)
        if not np.isfinite(found).all():
            raise UsageError(
                f"the model's {files.TEXT} gives vectors that are not finite: convert or download the model again"
            )
        return found
