"""What is exported: a row a study or a series, its columns, and its vector in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

Level = Literal["study", "clip", "series"]
LEVELS: tuple[Level, ...] = get_args(Level)
_VECTORS: dict[Level, str] = {"study": "study/embedding", "clip": "study/clip", "series": "series/embedding"}

VECTOR = "embedding"
"""Name of the vectors' column, whatever the level."""
_BLOCK_ROWS = 512


@dataclass(frozen=True)
class VectorTable:
    """Rows of an embeddings file. Only the columns are in memory; vectors are read as they are asked for."""

    columns: pd.DataFrame
    """(N, ...) everything but the vectors; `id` comes first."""
    attributes: dict[str, Any]
    """The file's root attributes: model, preprocessing, version, and so on."""
    level: Level
    width: int
    """Numbers a vector."""
    file: Embeddings

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(map(str, self.columns))

    def blocks(self) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Columns and (n, width) float32 vectors of a few hundred rows at a time, in the file's order."""
        first = 0
        for vectors in self.file.blocks(_VECTORS[self.level], _BLOCK_ROWS):
            yield self.columns.iloc[first : first + len(vectors)], vectors.astype(np.float32)
            first += len(vectors)


def vector_table(file: Embeddings, level: Level, names: Sequence[str] = ()) -> VectorTable:
    """The rows of one level.

    Args:
        file: what to export.
        level: `study`: what probes read; `clip`: comparable with text; `series`: a row a series.
        names: columns to keep in addition to `id` and the vectors; none for all.

    Raises:
        UsageError: the file has no vectors of that level, or no such column.
    """
    if not file.has(_VECTORS[level]):
        raise UsageError(f"{file.path} has no {level} vectors: its encoder provides none")
    columns = _series_columns(file) if level == "series" else file.studies
    if unknown := [name for name in names if name not in columns]:
        known = ", ".join(map(str, columns))
        raise UsageError(f"no column {', '.join(unknown)} at level {level}; available: {known}")
    wanted = [name for name in columns if name == "id" or name in names or not names]
    return VectorTable(columns[wanted], file.attributes, level, file.width(_VECTORS[level]), file)


def _series_columns(file: Embeddings) -> pd.DataFrame:
    """The series' columns, with whose they are in place of the study's row."""
    series = file.series
    whose = file.studies[["id", "subject", "session"]].iloc[series["study"]].reset_index(drop=True)
    # What /token/series refers to, and all that tells series of the same name apart.
    whose["series"] = np.arange(len(series))
    return whose.join(series.drop(columns="study"))
