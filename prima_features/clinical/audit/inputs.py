"""Reading scores, labels and attributes, and joining them to one cohort.

Scores come from `prima diagnose` (`diagnosis/NAME`, `referral/NAME`), from a probe (`probability_CLASS`, `predicted`)
or from any other tool (one column per name). Labels have one column per name, 1 or 0 or words for them; what is missing
is unknown, never negative.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.files.cells import code, is_missing, number, tidy, written
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
_POSITIVE = {"1", "yes", "y", "true", "t", "present", "positive", "pos", "case"}
_NEGATIVE = {"0", "no", "n", "false", "f", "absent", "negative", "neg", "control"}
_UNCERTAIN = {"", "-1", "uncertain", "indeterminate", "equivocal"}
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


@dataclass(frozen=True, eq=False)
class Cohort:
    """N studies with scores, labels and attributes."""

    scores: Scores
    label: np.ndarray
    """(N, M) int8: 1 present, 0 absent, -1 unknown."""
    subject: np.ndarray
    """(N,) text: rows of one subject are resampled together."""
    table: pd.DataFrame
    """(N, columns) text of the scores, label and attribute tables; empty if unknown."""
    unmatched: pd.DataFrame
    """Rows without a partner: table, id, reason."""
    attribute_columns: tuple[str, ...] = ()
    """Columns of the attribute tables that are no ids."""
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the M scores."""
        return self.scores.names

    def column(self, name: str, why: str) -> np.ndarray:
        """(N,) text of a column.

        Raises:
            UsageError: there is none; `why` is the option that asked for it.
        """
        if (found := _find(self.table.columns, (name,))) is None:
            near = get_close_matches(name, list(self.table.columns), n=3, cutoff=0.4)
            hint = f", expected one such as {', '.join(near)}" if near else ""
            raise UsageError(f"no table has a column {name!r} ({why}){hint}")
        return self.table[found].to_numpy(dtype=str)


def columns_of(table: pd.DataFrame) -> list[str]:
    """Names of the columns."""
    return [str(name) for name in table.columns]


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
        UsageError: the table has no scores.
    """
    table = read_frame(path, "the table of scores")
    caveats = sorted(set(table["caveat"]) - {""}) if "caveat" in table else []
    caveat, notes = " ".join(caveats), []
    heads = [name for name in columns_of(table) if name.startswith(_KINDS)]
    if heads and not columns:
        bare = [name.partition("/")[2] for name in heads]
        names = [one if bare.count(one) == 1 else full for one, full in zip(bare, heads, strict=True)]
        score = _numbers(table, heads, path)
        cut = 0.0 if threshold is None else threshold
        caveat = caveat or described(path).get("caveat", "")
        return Scores(
            tuple(names), score, score >= cut, (cut,) * len(names), "score", table, caveat,
            heads=frozenset(names),
        )  # fmt: skip
    probabilities = [name for name in columns_of(table) if name.startswith("probability_")]
    if probabilities and "predicted" in table and not columns:
        return _of_probe(path, table, probabilities, threshold, caveat)
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


def join(
    scores: Scores,
    labels: Path | None,
    attributes: Sequence[Path] = (),
    id_column: str = "",
    target_column: str = "",
) -> Cohort:
    """Add labels and attributes to scores.

    Args:
        scores: N studies.
        labels: the table; None if the scores' own column `target` has the truth, as a probe's predictions do.
        attributes: further tables.
        id_column: of labels and attributes, if it has no usual name.
        target_column: one column of the labels with a class per study, in place of a column per name.

    Raises:
        UsageError: a table matches no study, has two different rows for one, or has no column for any name.
    """
    import pandas as pd

    table, notes, lost = scores.table.copy(), list(scores.notes), []
    described: list[str] = []
    if labels is None:
        if "target" not in table:
            raise UsageError(
                "the table of scores has no column target: give a table with the truth, --labels TABLE"
            )
        truth = table
        target_column = target_column or "target"
    else:
        frame = read_frame(labels, "the table of labels")
        rows, unmatched = match(scores.table, frame, labels, id_column)
        truth = _taken(frame, rows)
        lost += unmatched
        without = np.flatnonzero(rows < 0)
        lost += [("scores", _id_of(scores.table, int(i)), "no label has the study's id") for i in without]
        table = _with(table, truth)
    label, more = _labels(scores, truth, target_column)
    notes += more
    for path in attributes:
        frame = read_frame(path, "the table of attributes")
        rows, unmatched = match(scores.table, frame, path, id_column)
        table = _with(table, _taken(frame, rows))
        ids = {*STUDY_COLUMNS, *SUBJECT_COLUMNS, *SESSION_COLUMNS, spelling(id_column)}
        described += [
            name for name in columns_of(frame) if spelling(name) not in ids and name not in described
        ]
        lost += [("attributes", one, reason) for _, one, reason in unmatched]
        if n := int((rows < 0).sum()):
            notes.append(
                f"{count(n, 'study')} {verb(n, 'has', 'have')} no row in {path.name}: attributes unknown"
            )
    if "counts" in scores.table:
        aside = (scores.table["counts"] == "0").to_numpy()
        label[aside] = -1
        if n := int(aside.sum()):
            notes.append(
                f"{count(n, 'row')} with counts 0 {verb(n, 'is', 'are')} left out, as in the probe's metrics"
            )
    subject, note = _subjects(table, is_probe="predicted" in scores.table)
    notes += note
    unmatched_table = pd.DataFrame(lost, columns=["table", "id", "reason"])
    return Cohort(scores, label, subject, table, unmatched_table, tuple(described), tuple(notes))


def match(
    studies: pd.DataFrame, other: pd.DataFrame, path: Path, id_column: str = ""
) -> tuple[np.ndarray, list[tuple[str, str, str]]]:
    """Find the row of each study in another table.

    Study ids are compared first, then subject and session, then the subject alone. A prefix `sub-` or `ses-` makes no
    difference.

    Returns:
        (N,) row of the other table, -1 if it has none; and the other table's rows that no study has: (table, id,
        reason).
    """
    named = _named(other, (id_column,), path) if id_column else None
    study_of, subject_of = _find(other.columns, STUDY_COLUMNS), _find(other.columns, SUBJECT_COLUMNS)
    session_of = _find(other.columns, SESSION_COLUMNS)
    own_study, own_subject, own_session = (
        _find(studies.columns, names) for names in (STUDY_COLUMNS, SUBJECT_COLUMNS, SESSION_COLUMNS)
    )
    study_of, subject_of = (named, named) if named else (study_of, subject_of)
    pairs = [([own_study], [study_of])]
    if session_of and own_session:
        pairs.append(([own_subject, own_session], [subject_of, session_of]))
    pairs += [([own_subject], [subject_of]), ([own_study], [subject_of]), ([own_subject], [study_of])]
    for mine, theirs in pairs:
        if None in mine or None in theirs:
            continue
        keys = [
            _keys(frame, [one for one in names if one]) for frame, names in ((studies, mine), (other, theirs))
        ]
        if set(keys[0]) & set(keys[1]) - {""}:
            break
    else:
        columns = ", ".join(other.columns[:6])
        example = _id_of(studies, 0)
        raise UsageError(
            f"{path} has none of the studies: their ids are such as {example!r}, and its columns are "
            f"{columns}; name "
            "the column with ids by --id-column"
        )
    place: dict[str, int] = {}
    values = other.to_numpy()
    for row, key in enumerate(keys[1]):
        if not key:
            continue
        first = place.setdefault(key, row)
        if first != row and (values[first] != values[row]).any():
            raise UsageError(f"{path} has two different rows of {key!r}: keep one of them")
    rows = np.array([place.get(key, -1) if key else -1 for key in keys[0]], dtype=np.int64)
    used = set(rows.tolist())
    return rows, [("labels", key, "no score has this id") for key, row in place.items() if row not in used]


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
                made[row, i] = float(cell)
            except ValueError as error:
                value = number(cell)
                if value is None:
                    raise UsageError(f"{path}, column {name}: {cell!r} is not a number") from error
                made[row, i] = value
    made[~np.isfinite(made)] = np.nan
    return made


def _labels(scores: Scores, truth: pd.DataFrame, target_column: str) -> tuple[np.ndarray, list[str]]:
    """(N, M) labels, and remarks."""
    n, names = len(scores.score), scores.names
    label = np.full((n, len(names)), -1, dtype=np.int8)
    notes: list[str] = []
    if target_column:
        column = _find(truth.columns, (target_column,))
        if column is None:
            raise UsageError(f"the labels have no column {target_column!r} (--target-column)")
        values = np.array([code(cell) for cell in truth[column]], dtype=object)
        known = values != ""
        for i, name in enumerate(names):
            label[known, i] = values[known] == code(name)
        if not (label == 1).any():
            found = sorted(set(values[known]))[:6]
            raise UsageError(
                f"no study has a class of the scores ({', '.join(names[:6])}) in the column {column}: it has "
                f"{', '.join(map(str, found)) or 'no values'}"
            )
        return label, notes
    absent = []
    for i, name in enumerate(names):
        column = _find(truth.columns, (f"diagnosis/{name}", f"referral/{name}", name))
        if column is None:
            absent.append(name)
        else:
            label[:, i] = _binary(truth[column].tolist(), column)
    if len(absent) == len(names):
        raise UsageError(
            f"the labels have no column of any name of the scores, such as {names[0]}: their columns are "
            f"{', '.join(truth.columns[:8])}; a single column with classes is named by --target-column"
        )
    if absent:
        notes.append(
            f"{count(len(absent), 'name')} of the scores {verb(len(absent), 'has', 'have')} no column "
            f"in the labels "
            f"and {verb(len(absent), 'is', 'are')} not audited: {', '.join(absent)}"
        )
    return label, notes


def _binary(cells: list[str], column: str) -> np.ndarray:
    """(N,) 1, 0 or -1 of one column of labels."""
    codes = {cell: code(cell) for cell in set(cells)}
    known = dict.fromkeys(_UNCERTAIN, -1) | dict.fromkeys(_POSITIVE, 1) | dict.fromkeys(_NEGATIVE, 0)
    for cell, one in codes.items():
        if one not in known:
            raise UsageError(
                f"the labels have {cell!r} in the column {column}: expected 1 (present), 0 (absent), or "
                f"nothing "
                "(unknown)"
            )
    return np.array([known[codes[cell]] for cell in cells], dtype=np.int8)


def _subjects(table: pd.DataFrame, is_probe: bool) -> tuple[np.ndarray, list[str]]:
    """(N,) what is resampled as a whole: families in a probe's predictions, else subjects."""
    column = _find(table.columns, (*["group"] * is_probe, *SUBJECT_COLUMNS))
    own = _find(table.columns, STUDY_COLUMNS)
    rows = np.array([f"row {i}" for i in range(len(table))], dtype=object)
    study = table[own].to_numpy(dtype=object) if own else rows
    study = np.where(study == "", rows, study)
    if column is None:
        note = "no table has a column of subjects: each study counts as a subject of its own in the intervals"
        return study.astype(str), [note]
    subject = table[column].to_numpy(dtype=object)
    return np.where(subject == "", study, subject).astype(str), []


def _find(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """The first of some names that is a column, spelled as in `files.tables.spelling`."""
    columns = list(columns)
    spelled = {spelling(one): one for one in reversed(columns)}
    return next(
        (name if name in columns else spelled[spelling(name)] for name in names if spelling(name) in spelled),
        None,
    )


def _named(frame: pd.DataFrame, names: Sequence[str], path: Path) -> str:
    if (found := _find(frame.columns, names)) is None:
        raise UsageError(f"{path} has no column {names[0]!r}: it has {', '.join(frame.columns[:8])}")
    return found


def _keys(frame: pd.DataFrame, columns: list[str]) -> list[str]:
    """One id per row from one or two columns; empty if one of them is."""
    parts = [[re.sub(r"^ses-", "", written(cell)) for cell in frame[name].tolist()] for name in columns]
    return ["_".join(row) if all(row) else "" for row in zip(*parts, strict=True)]


def _id_of(frame: pd.DataFrame, row: int) -> str:
    column = _find(frame.columns, (*STUDY_COLUMNS, *SUBJECT_COLUMNS))
    return str(frame[column].iloc[row]) if column else f"row {row + 1}"


def _taken(frame: pd.DataFrame, rows: np.ndarray) -> pd.DataFrame:
    """Rows of a table, empty cells for -1."""
    taken = frame.iloc[np.maximum(rows, 0)].reset_index(drop=True)
    taken.loc[rows < 0, :] = ""
    return taken


def _with(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """The table with the other's further columns; empty cells of shared ones are filled."""
    import pandas as pd

    new = [name for name in other if name not in table]
    made = pd.concat([table, other[new]], axis=1)
    for name in other:
        if name in table:
            made[name] = table[name].where(table[name] != "", other[name])
    return made


def described(path: Path) -> dict[str, str]:
    """Texts of the description next to a table of `prima diagnose`, such as its model; empty if there is none."""
    try:
        document = load_json(read_text(path.with_suffix(".json"), SETTINGS_BYTES))
    except (OSError, ValueError):
        return {}
    found = document.items() if isinstance(document, dict) else ()
    return {key: value for key, value in found if isinstance(value, str)}
