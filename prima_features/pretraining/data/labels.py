"""Labels of embedded studies, for the heads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.embedding.file.read import read_embeddings
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.models import directory
from prima_features.pretraining.data.reports import read_table
from prima_features.pretraining.settings import Labels

if TYPE_CHECKING:
    import pandas as pd

_PRESENT, _ABSENT, _UNKNOWN = ("1", "true", "yes"), ("0", "false", "no"), ("", "n/a", "na", "nan")


@dataclass(frozen=True, eq=False)
class LabelledStudies:
    """Embedded studies with labels."""

    ids: tuple[str, ...]
    subjects: tuple[str, ...]
    embedding: np.ndarray
    """(N, D) float32."""
    presence: dict[tuple[str, str], np.ndarray]
    """(N,) float32 by kind and name: 0, 1, or NaN if unknown."""
    priority: np.ndarray
    """(N,) int64, a level, or -1 if unknown."""


def positive_weights(
    presence: Mapping[tuple[str, str], np.ndarray], train: np.ndarray
) -> dict[tuple[str, str], float]:
    """How many negatives there are for each positive, by head.

    Args:
        presence: as in `LabelledStudies`.
        train: rows of the studies to train on.

    Raises:
        UsageError: there are none of one kind to learn from.
    """
    weights = {}
    for (kind, name), values in presence.items():
        positives, negatives = (int((values[train] == value).sum()) for value in (1, 0))
        if not positives or not negatives:
            raise UsageError(
                f"{name} has {positives} positive and {negatives} negative training studies, but both "
                "kinds are needed; "
                f"remove it from data.{kind}, or hold out fewer studies"
            )
        weights[kind, name] = negatives / positives
    return weights


def read_labelled(settings: Labels, model: Path) -> LabelledStudies:
    """Join an embeddings file with a table of labels.

    Args:
        settings: the two files and the columns.
        model: the model directory that must have made the embeddings.

    Raises:
        UsageError: a file or column is missing, a cell is no label, a study is in the table twice, the
            embeddings are another model's, or no study is in both.
    """
    file = read_embeddings(settings.embeddings)
    if file.attributes["model_sha256"] != sha256(model / directory.MODEL):
        raise UsageError(
            f"{settings.embeddings} was made by another model than {model}; embed with {model}, or set "
            "model to the one that "
            "made it"
        )
    table = read_table(settings.labels)
    _check_columns(settings, list(table.columns))
    if (twice := table[settings.id_column].duplicated()).any():
        # Not whose: ids can name a patient, which nothing that is printed does.
        row = 2 + int(np.flatnonzero(twice)[0])
        raise UsageError(f"{settings.labels}, row {row}: the study already has a row; remove one of them")
    rows = {id: number for number, id in enumerate(table[settings.id_column].str.strip())}
    found = [number for number, id in enumerate(file.studies["id"]) if id in rows]
    if not found:
        raise UsageError(
            f"no study of {settings.embeddings} is in {settings.labels}; study ids look like "
            f"{file.studies['id'].iloc[0]}"
        )
    studies = file.studies.iloc[found]
    table = table.iloc[[rows[id] for id in studies["id"]]]
    return LabelledStudies(
        ids=tuple(studies["id"]),
        subjects=tuple(studies["subject"]),
        embedding=file.study_embedding[found].astype(np.float32),
        presence={
            (kind, name): _presence(table[name], settings.labels)
            for kind in ("diagnosis", "referral")
            for name in getattr(settings, kind)
        },
        priority=_levels(table, settings),
    )


def _check_columns(settings: Labels, header: Sequence[str]) -> None:
    wanted = {
        "id_column": [settings.id_column],
        "diagnosis": settings.diagnosis,
        "referral": settings.referral,
        "priority_column": [settings.priority_column] if settings.priority else [],
    }
    for name, columns in wanted.items():
        if missing := [column for column in columns if column not in header]:
            raise UsageError(
                f"{settings.labels} has no column {missing[0]}; its columns are {', '.join(header)}; set data.{name} "
                "to one of them"
            )


def _presence(column: pd.Series, path: Path) -> np.ndarray:
    values = []
    for cell in column.str.strip().str.lower():
        if cell in _PRESENT or cell in _ABSENT:
            values.append(float(cell in _PRESENT))
        elif cell in _UNKNOWN:
            values.append(np.nan)
        else:
            raise UsageError(f"{path}: {column.name} must be 0, 1 or empty, not {cell!r}")
    return np.array(values, dtype=np.float32)


def _levels(table: pd.DataFrame, settings: Labels) -> np.ndarray:
    if not settings.priority:
        return np.full(len(table), -1)
    known: Sequence[str] = [level.lower() for level in settings.priority]
    values = []
    for cell in table[settings.priority_column].str.strip().str.lower():
        if cell not in known and cell not in _UNKNOWN:
            raise UsageError(
                f"{settings.labels}: {settings.priority_column} must be one of "
                f"{', '.join(settings.priority)}, not {cell!r}"
            )
        values.append(known.index(cell) if cell in known else -1)
    return np.array(values, dtype=np.int64)
