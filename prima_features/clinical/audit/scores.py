"""Reading scores: of `prima diagnose`, of a probe, or of any other tool; and tables as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.files.cells import is_missing, number, tidy
from prima_features.files.safe import SETTINGS_BYTES, load_json, read_text
from prima_features.files.tables import read_table, spelling
from prima_features.files.text import from_cell
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

STUDY_COLUMNS = ("study", "study_id", "studyid", "scan", "scan_id", "id", "accession", "accession_number")
SUBJECT_COLUMNS = ("subject", "participant_id", "subject_id", "patient", "patient_id", "participant")
SESSION_COLUMNS = ("session", "session_id", "visit")
_NO_SCORE = {
    *STUDY_COLUMNS, *SUBJECT_COLUMNS, *SESSION_COLUMNS, "group", "site", "sex", "age", "scanner", "field_strength",
    "target", "counts", "fold", "predicted", "worklist", "rank", "caveat", "gap", "gap_corrected",
    "prediction_corrected", "novelty", "date",
}  # fmt: skip
_KINDS = ("diagnosis/", "referral/")

Kind = Literal["score", "probability"]


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of N studies for M names."""

    names: tuple[str, ...]
    score: np.ndarray
    """(N, M) float64, NaN if missing; higher is more likely present."""
    called: np.ndarray
    """(N, M) whether the finding is called present."""
    thresholds: tuple[float | None, ...]
    """Of each name: called present at this score or above; None if the table has decisions of its own."""
    kind: Kind
    """Whether all scores are probabilities."""
    table: pd.DataFrame
    """All columns as text."""
    caveat: str = ""
    notes: tuple[str, ...] = ()
    """How the table was read, one sentence each."""
    heads: frozenset[str] = frozenset()
    """Names whose column is a head's of `prima diagnose`."""


def read_scores(
    path: Path, columns: Sequence[str] = (), threshold: float | None = None, labelled: Iterable[str] = ()
) -> Scores:
    """Read a table of scores.

    Args:
        path: the table.
        columns: of the scores, for other tools' tables; default is every column of numbers that no other meaning is
            known of or, if any have the names of labels, those.
        threshold: of all names, in place of the stored one.
        labelled: columns of the table of labels.

    Raises:
        UsageError: the table has no scores, or two different rows of one study.
    """
    table, notes = _each_study_once(read_frame(path, "the table of scores"), path)
    caveats = sorted(set(table["caveat"]) - {""}) if "caveat" in table else []
    caveat = " ".join(caveats)
    heads = [name for name in columns_of(table) if name.startswith(_KINDS)]
    if columns and set(columns) <= set(heads):
        heads, columns = list(columns), ()
    if heads and not columns:
        bare = [name.partition("/")[2] for name in heads]
        names = [one if bare.count(one) == 1 else full for one, full in zip(bare, heads, strict=True)]
        score = _numbers(table, heads, path)
        cut = 0.0 if threshold is None else threshold
        caveat = caveat or described(path).get("caveat", "")
        return Scores(
            tuple(names), score, score >= cut, (cut,) * len(names), "score", table, caveat, tuple(notes),
            heads=frozenset(names),
        )  # fmt: skip
    probabilities = [name for name in columns_of(table) if name.startswith("probability_")]
    if probabilities and "predicted" in table and not columns:
        found = _of_probe(path, table, probabilities, threshold, caveat)
        return replace(found, notes=(*notes, *found.notes))
    chosen = list(columns) or _score_columns(table, labelled)
    if absent := [name for name in chosen if name not in table]:
        raise UsageError(f"{path} has no column {absent[0]!r} (--score-columns)")
    if not chosen:
        raise UsageError(f"{path} has no column of scores: name them with --score-columns")
    score = _numbers(table, chosen, path)
    known = score[np.isfinite(score)]
    is_probability = bool(len(known) and known.min() >= 0 and known.max() <= 1)
    cut = threshold if threshold is not None else 0.5 if is_probability else 0.0
    if threshold is None:
        what = (
            "lie between 0 and 1 and are taken as probabilities"
            if is_probability
            else "are not all in [0, 1]"
        )
        notes.append(
            f"the scores of {path.name} {what}: {cut:g} or more means present (--threshold sets another)"
        )
    names = [name.rpartition("/")[2] for name in chosen]
    names = [one if names.count(one) == 1 else full for one, full in zip(names, chosen, strict=True)]
    kind: Kind = "probability" if is_probability else "score"
    return Scores(tuple(names), score, score >= cut, (cut,) * len(names), kind, table, caveat, tuple(notes))


def read_frame(path: Path, what: str) -> pd.DataFrame:
    """A table as text, with cells that mean "unknown" empty.

    Raises:
        UsageError: it cannot be read, has no rows, or has two columns of one name.
    """
    import pandas as pd

    table = read_table(path, what)
    header = [tidy(name) for name in table.header]
    twice = next((name for name in header if name and header.count(name) > 1), "")
    if twice:
        raise UsageError(f"{path} has more than one column {twice!r}: rename or remove one of them")
    if not table.rows:
        raise UsageError(f"{what} {path} has a header and no rows")
    cells = [["" if _is_blank(cell) else from_cell(tidy(cell)) for cell in row] for row in table.rows]
    return pd.DataFrame(cells, columns=header, dtype=object).drop(columns="", errors="ignore")


def _each_study_once(table: pd.DataFrame, path: Path) -> tuple[pd.DataFrame, list[str]]:
    """The table without rows that are there twice, and a remark if there are any."""
    names = [find_column(table.columns, (one,)) for one in STUDY_COLUMNS]
    study = next((name for name in names if name), None)
    if study is None:
        return table, []
    session = find_column(table.columns, SESSION_COLUMNS)
    kept = table[~table.duplicated() | (table[study] == "")]
    twice = kept.duplicated([study, session] if session else [study]) & (kept[study] != "")
    if twice.any():
        raise UsageError(
            f"{path} has two different rows of {kept[study][twice].iloc[0]!r}: keep one of them; if {study} has "
            "ids of subjects, call the column subject"
        )
    if not (n := len(table) - len(kept)):
        return table, []
    return kept.reset_index(drop=True), [
        f"{count(n, 'row')} of {path.name} {verb(n, 'is', 'are')} repeated and counted once"
    ]


def columns_of(table: pd.DataFrame) -> list[str]:
    """Names of the columns."""
    return [str(name) for name in table.columns]


def find_column(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """The first of some names that is a column, spelled as in `files.tables.spelling`."""
    columns = list(columns)
    spelled = {spelling(one): one for one in reversed(columns)}
    return next(
        (name if name in columns else spelled[spelling(name)] for name in names if spelling(name) in spelled),
        None,
    )


def described(path: Path) -> dict[str, str]:
    """Texts of the description next to a table of `prima diagnose`, such as its model; empty if there is none."""
    try:
        document = load_json(read_text(path.with_suffix(".json"), SETTINGS_BYTES))
    except (OSError, ValueError):
        return {}
    found = document.items() if isinstance(document, dict) else ()
    return {key: value for key, value in found if isinstance(value, str)}


def _is_blank(cell: str) -> bool:
    """`is_missing`, quick for the many cells that are plain decimal numbers."""
    return not (cell[:1].isdigit() or "." in cell[2:4]) and is_missing(cell)


def _of_probe(
    path: Path, table: pd.DataFrame, probabilities: list[str], threshold: float | None, caveat: str
) -> Scores:
    """A probe's predictions. Of two classes the one that `prediction` is the probability of is the positive one."""
    if "prediction" in table and len(probabilities) == 2:
        of = [one for one in probabilities if (table[one] == table["prediction"]).all()]
        probabilities = of[:1] or probabilities[1:]
    names = tuple(one.removeprefix("probability_") for one in probabilities)
    score = _numbers(table, probabilities, path)
    if threshold is not None:
        cuts: tuple[float | None, ...] = (threshold,) * len(names)
        return Scores(names, score, score >= threshold, cuts, "probability", table, caveat)
    called = np.column_stack([(table["predicted"] == name).to_numpy() for name in names])
    note = f"{path.name} has the probe's own decisions, which are used in place of a threshold"
    return Scores(names, score, called, (None,) * len(names), "probability", table, caveat, (note,))


def _score_columns(table: pd.DataFrame, labelled: Iterable[str]) -> list[str]:
    free = [
        name
        for name in columns_of(table)
        if spelling(name) not in _NO_SCORE and not name.startswith("priority/")
    ]
    known = {spelling(name) for name in labelled}
    shared = [name for name in free if spelling(name) in known]
    return shared or [name for name in free if all(not one or number(one) is not None for one in table[name])]


def _numbers(table: pd.DataFrame, columns: Sequence[str], path: Path) -> np.ndarray:
    """(N, M) numbers of some columns, NaN if missing."""
    made = np.full((len(table), len(columns)), np.nan)
    for i, name in enumerate(columns):
        for row, cell in enumerate(table[name].tolist()):
            if not cell:
                continue
            try:
                value: float | None = float(cell)
            except ValueError:
                # A decimal comma, but not `>3` or `3+`, which are no exact numbers.
                value = None if set(">+") & {cell[0], cell[-1]} else number(cell)
            if value is None or not isfinite(value):
                raise UsageError(
                    f"{path}, column {name}: {cell!r} is not a number; leave unknown scores empty"
                )
            made[row, i] = value
    return made
