"""Repeat scans: which studies are of one subject, and on which scanner each was made."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prima_features.errors import UsageError
from prima_features.files.tables import find_column, read_table
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

_NAMES = {"study": ("study", "study_id", "id"), "subject": ("subject", "participant_id", "subject_id")}
_SCANNER, _SITE = ("scanner",), ("site",)


@dataclass(frozen=True)
class Repeats:
    """n scans of subjects who were scanned at least twice."""

    rows: np.ndarray
    """(n,) rows of the shared studies."""
    subject: np.ndarray
    """(n,) text."""
    scanner: np.ndarray
    """(n,) text; all empty if scanners are unknown, as for sessions."""
    site: np.ndarray
    """(n,) text, empty if unknown."""
    occasion: np.ndarray
    """(n,) text: first, second ... scan of the subject, in the order given."""
    warnings: tuple[str, ...] = ()

    @property
    def n_subjects(self) -> int:
        """Number of different subjects."""
        return len(np.unique(self.subject))

    @property
    def scanners(self) -> list[str]:
        """The known scanners, in alphabetical order."""
        return sorted(set(self.scanner.tolist()) - {""})

    @property
    def raters(self) -> np.ndarray:
        """(n,) what a subject's scans differ in: scanners if there are several, else occasions."""
        return self.scanner if len(self.scanners) > 1 else self.occasion


def from_table(path: Path, studies: pd.DataFrame) -> Repeats:
    """Repeat scans as a table names them.

    Args:
        path: table with the columns study, subject and scanner, and site if known.
        studies: the shared studies (see `inputs.Shared`).

    Raises:
        UsageError: a column is missing, a study is in two rows, or no subject has two of the studies.
    """
    table = read_table(path, "the table of repeat scans")
    place = {name: find_column(path, table.header, spellings) for name, spellings in _NAMES.items()}
    place |= {
        "scanner": find_column(path, table.header, _SCANNER),
        "site": find_column(path, table.header, _SITE),
    }
    if missing := [name for name in ("study", "subject", "scanner") if place[name] is None]:
        raise UsageError(
            f"{path} has no column {missing[0]}: a table of repeat scans needs study, subject and scanner, and has "
            f"{', '.join(table.header[:12])}"
        )
    cells = {
        name: [row[column].strip() if column is not None else "" for row in table.rows]
        for name, column in place.items()
    }
    known = {name: i for i, name in enumerate(studies["study"])}
    rows = [known.get(name, known.get(f"sub-{name}", -1)) for name in cells["study"]]
    found = np.flatnonzero(np.array(rows, dtype=int) >= 0)
    if twice := [row for row, n in Counter(rows[i] for i in found).items() if n > 1]:
        raise UsageError(f"{path} has several rows for the study {studies['study'].iloc[twice[0]]}: give one")
    if not all(cells["subject"][i] and cells["scanner"][i] for i in found):
        raise UsageError(f"{path} has a row without subject or scanner: fill the cell or delete the row")
    lost = len(rows) - len(found)
    said = (
        f"{count(lost, 'row')} of {path.name} {verb(lost, 'names', 'name')} a study that is not in all embeddings "
        f"files and {verb(lost, 'is', 'are')} left out"
    )
    subject, scanner, site = (
        np.array([cells[name][i] for i in found], dtype=str) for name in ("subject", "scanner", "site")
    )
    warnings = (*table.warnings, *([said] if lost else []))
    return _repeated(str(path), np.array(rows)[found], subject, scanner, site, warnings)


def from_sessions(studies: pd.DataFrame) -> Repeats:
    """The sessions of each subject as repeat scans, in the order of their names; scanners are unknown.

    Raises:
        UsageError: no subject has two sessions.
    """
    order = np.lexsort((studies["session"], studies["subject"]))
    subject = studies["subject"].to_numpy(dtype=str)[order]
    nothing = np.full(len(order), "")
    return _repeated("the embeddings files", order, subject, nothing, nothing)


def _repeated(
    source: str,
    rows: np.ndarray,
    subject: np.ndarray,
    scanner: np.ndarray,
    site: np.ndarray,
    warnings: tuple[str, ...] = (),
) -> Repeats:
    """The scans of subjects with two or more."""
    names, counts = np.unique(subject[subject != ""], return_counts=True)
    kept = np.isin(subject, names[counts > 1])
    if len(set(subject[kept].tolist())) < 2:
        raise UsageError(
            f"{source} has fewer than two subjects with two scans or more, which reliability needs: check the "
            "columns study and subject"
        )
    seen: Counter[str] = Counter()
    occasion = []
    for name in subject[kept].tolist():
        seen[name] += 1
        occasion.append(str(seen[name]))
    return Repeats(rows[kept], subject[kept], scanner[kept], site[kept], np.array(occasion), warnings)


@dataclass(frozen=True)
class Block:
    """Subjects that were all scanned by the same raters: a complete two-way design."""

    rows: np.ndarray
    """(subjects, raters) positions among the n scans."""
    raters: tuple[str, ...]

    @property
    def usable(self) -> bool:
        """Whether there are two subjects and two raters."""
        return min(self.rows.shape) >= 2


def complete_block(subject: np.ndarray, rater: np.ndarray) -> Block:
    """The complete design with most (subjects - 1) x (raters - 1), over raters by their number of subjects.

    Of several scans of a subject by one rater the first is taken.
    """
    first: dict[tuple[str, str], int] = {}
    for i, key in enumerate(zip(subject.tolist(), rater.tolist(), strict=True)):
        if key[1]:
            first.setdefault(key, i)
    by_rater = Counter(name for _, name in first)
    order = [name for name, _ in sorted(by_rater.items(), key=lambda pair: (-pair[1], pair[0]))]
    names = list(dict.fromkeys(subject.tolist()))
    best, best_size = Block(np.empty((0, 0), dtype=int), ()), 0
    for n in range(2, len(order) + 1):
        raters = order[:n]
        whole = [one for one in names if all((one, rater) in first for rater in raters)]
        size = (len(whole) - 1) * (n - 1)
        if size > best_size:
            rows = np.array([[first[one, rater] for rater in raters] for one in whole])
            best, best_size = Block(rows, tuple(raters)), size
    return best
