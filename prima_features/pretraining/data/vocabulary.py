"""The text tower's vocabulary: trained on reports, or taken over, and always kept in the model directory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from prima_features.errors import UsageError
from prima_features.models.directory import VOCABULARY
from prima_features.pretraining.data.reports import fitting_text

END = "<|endoftext|>"


class Vocabulary:
    """Reports to token ids.

    Args:
        tokenizer: has `<|endoftext|>`.
        max_tokens: that a report may have, the end mark counted.

    Raises:
        UsageError: the tokenizer lacks the end mark.
    """

    def __init__(self, tokenizer: Tokenizer, max_tokens: int) -> None:
        end = tokenizer.token_to_id(END)
        if end is None:
            raise UsageError(
                f"the text tower's tokenizer has no {END}, which ends every report: use GPT-2's kind"
            )
        self.tokenizer, self.end, self.max_tokens = tokenizer, end, max_tokens

    @property
    def digest(self) -> str:
        """Hash of all that it does."""
        return hashlib.sha256(self.tokenizer.to_str().encode()).hexdigest()

    @property
    def size(self) -> int:
        """Different tokens."""
        return self.tokenizer.get_vocab_size()

    def encode(self, findings: Sequence[str]) -> list[int]:
        """Ids of a report, its end mark last; findings are dropped from the end until it fits."""
        text = fitting_text(findings, self.max_tokens - 1, lambda text: len(self._ids(text)))
        return [*self._ids(text)[: self.max_tokens - 1], self.end]

    def batch(self, reports: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Ids (B, L) int64, padded on the right, and the number of each report's own (B,) int64."""
        ids = [self.encode(findings) for findings in reports]
        padded = torch.full((len(ids), max(map(len, ids))), self.end)
        for row, one in zip(padded, ids, strict=True):
            row[: len(one)] = torch.tensor(one)
        return padded, torch.tensor([len(one) for one in ids])

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json`."""
        (folder / VOCABULARY).write_text(self.tokenizer.to_str(pretty=True), encoding="utf-8")

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids


def train_vocabulary(texts: Iterable[str], size: int, max_tokens: int) -> Vocabulary:
    """A byte-level BPE vocabulary (as GPT-2's) of at most `size` tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return Vocabulary(tokenizer, max_tokens)


def read_vocabulary(folder: Path, max_tokens: int) -> Vocabulary:
    """The vocabulary of a model directory or a transformers directory.

    Raises:
        UsageError: there is none in it, or it is not one of the tokenizers library.
    """
    path = folder / VOCABULARY
    if not path.is_file():
        raise UsageError(f"{folder} has no {VOCABULARY}, the text tower's vocabulary: copy it there")
    try:
        return Vocabulary(Tokenizer.from_str(path.read_text(encoding="utf-8")), max_tokens)
    except UsageError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise UsageError(f"{path} is not a tokenizer of the tokenizers library: {error}") from error
