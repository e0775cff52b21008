"""From findings to the tokens that the text tower reads, a vocabulary trained on them, and tables of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from prima_features.encoders.prima.text import END, Vocabulary
from prima_features.errors import UsageError
from prima_features.files.tables import read_table as read_cells
from prima_features.files.text import from_cell
from prima_features.reports.numbered import numbered

if TYPE_CHECKING:
    import pandas as pd


class ReportVocabulary(Vocabulary):
    """Reports to token ids. Unlike a query, a report that is too long loses findings from its end."""

    def encode(self, findings: Sequence[str]) -> list[int]:
        """Ids of a report, its end mark last; findings are dropped from the end until it fits."""
        return self.ids(fitting_text(findings, self.max_tokens - 1, self.count))

    def batch(self, reports: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """Ids (B, L) int64, padded on the right, and the number of each report's own (B,) int64."""
        return self.padded([self.encode(findings) for findings in reports])


def train_vocabulary(texts: Iterable[str], size: int, max_tokens: int) -> ReportVocabulary:
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
    return ReportVocabulary(tokenizer, max_tokens)


def fitting_text(findings: Sequence[str], limit: int, count: Callable[[str], int]) -> str:
    """The text of as many findings as fit, dropped from the end; of the first at least.

    Args:
        findings: at least one.
        limit: tokens that the text may have.
        count: tokens of a text.
    """
    for n in range(len(findings), 1, -1):
        if count(text := numbered(findings[:n])) <= limit:
            return text
    return numbered(findings[:1])


def read_table(path: Path) -> pd.DataFrame:
    """A table that `prima_features.files.tables.read_table` reads, as text; empty where a cell is.

    Raises:
        UsageError: it cannot be read as one, or has two columns of a name.
    """
    import pandas as pd

    read = read_cells(path, free_text=True)
    rows = [list(map(from_cell, row)) for row in read.rows]
    table = pd.DataFrame(rows, columns=read.header, dtype=object).drop(columns="", errors="ignore")
    if (twice := table.columns.duplicated()).any():
        name = table.columns[twice][0]
        raise UsageError(f"{path} has more than one column {name}; rename or remove one of them")
    return table
