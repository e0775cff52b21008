"""Reports: from a table to lists of findings, and from findings to the text that the text tower reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor

from prima_features.errors import UsageError
from prima_features.files.safe import load_json
from prima_features.files.tables import find_column
from prima_features.files.tables import read_table as read_cells
from prima_features.files.text import from_cell
from prima_features.models.directory import VOCABULARY
from prima_features.reports.numbered import numbered, split_numbered
from prima_features.reports.records import clean_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "study": ("study", "study_id", "id", "study_instance_uid", "studyinstanceuid"),
    "findings": ("findings", "summary", "report", "text"),
    "abnormal": ("abnormal", "is_abnormal"),
    "split": ("split",),
}
"""Columns, and the spellings that are taken for them; `study` and `findings` must be there. A table that
`prima reports summarize` wrote is read as it is."""
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")
_SPLITS = ("train", "validation", "")


@dataclass(frozen=True)
class StudyReport:
    """Report and metadata of a study."""

    findings: tuple[str, ...]
    abnormal: bool = False
    split: str = ""


def read_reports(path: Path) -> dict[str, StudyReport]:
    """Reports by study id, from a CSV, TSV or Excel table (see `prima_features.files.tables.read_table`).

    A cell of findings is a JSON list of texts, a numbered list, one finding a line, or one text. Rows without
    any are left out.

    Raises:
        UsageError: the table cannot be read, lacks a column, or contains a study twice; with the row if there
            is one.
    """
    table = read_cells(path, free_text=True)
    places = _find_columns(path, table.header)
    reports: dict[str, StudyReport] = {}
    for number, row in zip(table.numbers, table.rows, strict=True):
        cells = {name: from_cell(row[place]).strip() for name, place in places.items()}
        if cells["study"] in reports:
            # Not whose: in a table for DICOM, ids can name a patient, which nothing that is printed does.
            raise UsageError(f"{path}, row {number}: the study already has a report; remove one of them")
        if findings := split_findings(cells["findings"]):
            reports[cells["study"]] = _report(path, number, findings, cells)
    return reports


def split_findings(text: str) -> tuple[str, ...]:
    """The items of a cell; see `read_reports`."""
    text = text.strip()
    if text.startswith("["):
        try:
            items = load_json(text)
        except ValueError:
            items = None
        if isinstance(items, list) and all(isinstance(item, str) for item in items):
            return _clean(map(clean_text, items))
    return _clean(split_numbered(text) or text.splitlines())


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


def _find_columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    places = {}
    for column, spellings in COLUMNS.items():
        if (place := find_column(path, header, spellings)) is not None:
            places[column] = place
        elif column in ("study", "findings"):
            raise UsageError(
                f"{path} has no column for the {column} (one of {', '.join(spellings)}); its columns are "
                f"{', '.join(header)}"
            )
    return places


def _report(path: Path, number: int, findings: tuple[str, ...], cells: Mapping[str, str]) -> StudyReport:
    abnormal, split = cells.get("abnormal", "").lower(), cells.get("split", "").lower()
    if abnormal not in _TRUE + _FALSE:
        raise UsageError(f"{path}, row {number}: abnormal must be 0 or 1, not {abnormal!r}")
    if split not in _SPLITS:
        raise UsageError(f"{path}, row {number}: split must be train or validation, not {split!r}")
    return StudyReport(findings, abnormal in _TRUE, split)


def _clean(items: Iterable[str]) -> tuple[str, ...]:
    return tuple(item.strip() for item in items if item.strip())


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
                f"the tokenizer of the text tower has no {END} token, which must end every report; use a "
                "GPT-2 tokenizer"
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
        raise UsageError(f"{folder} has no {VOCABULARY} (the vocabulary of the text tower); copy it there")
    try:
        return Vocabulary(Tokenizer.from_str(path.read_text(encoding="utf-8")), max_tokens)
    except UsageError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise UsageError(
            f"{path} cannot be read by the tokenizers library ({error}); give a tokenizer.json"
        ) from error
