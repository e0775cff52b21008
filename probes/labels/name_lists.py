"""A column whose cells list the names of what is present, such as `glioma; stroke`, as one label for each name."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from prima_features.errors import UsageError
from prima_features.probes.labels.cells import LabelColumn
from prima_features.probes.labels.values import code, is_missing, tidy
from prima_features.wording import count, verb

_SEPARATORS = re.compile(r"[;|]")
_NONE = "none"
"""A cell with this word alone is the empty list, as `[]` is."""
_QUOTED = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")
_PYTHON_LIST = re.compile(rf"\[\s*(?:(?:{_QUOTED.pattern})\s*(?:,\s*|(?=\])))*\]")
"""As pandas writes a list of texts to CSV."""


def by_names(
    column: LabelColumn, wanted: Sequence[str] = (), *, all_occur: bool = True
) -> tuple[tuple[str, ...], list[tuple[float | None, ...]], tuple[str, ...]]:
    """Which names each cell lists.

    Names are separated by `;` or `|`, or are a JSON or Python list of texts. They are compared as other values are:
    regardless of case and of spaces around them. A missing cell leaves all labels unknown; `[]` and `none` are the
    empty list.

    Args:
        column: the cells.
        wanted: the names to look for; by default all that occur, in alphabetical order.
        all_occur: refuse a wanted name that no cell has; otherwise it is absent in all.

    Returns:
        the names as written first; 1, 0 or None of each name for each cell; and warnings, a sentence each.

    Raises:
        UsageError: no cell lists several names, a cell in brackets is not a list of texts, or a wanted name does not
            occur.
    """
    cells = [None if is_missing(cell, column.missing) else _names(cell, column.name) for cell in column.cells]
    if all_occur and not any(cell is not None and len(cell) > 1 for cell in cells):
        raise UsageError(
            f"no cell of {column.name} lists several names: separate names with ; or |, or write a JSON list (a comma "
            "does not separate), name two or more columns of yes and no with --label-columns, or use custom "
            f"--target-column {column.name} for classes of which each study has one"
        )
    spellings: dict[str, str] = {}
    for cell in cells:
        for value, text in (cell or {}).items():
            spellings.setdefault(value, text)
    if all_occur and (missing := [name for name in wanted if code(name) not in spellings]):
        raise UsageError(
            f"--classes names {', '.join(missing)}, but no cell of {column.name} lists this: found "
            f"{', '.join(sorted(spellings.values(), key=str.casefold)[:10])}"
        )
    names = tuple(wanted) or tuple(sorted(spellings.values(), key=str.casefold))
    codes = [code(name) for name in names]
    rows: list[tuple[float | None, ...]] = [
        (None,) * len(codes) if cell is None else tuple(float(one in cell) for one in codes) for cell in cells
    ]
    return names, rows, tuple(_notes(column, cells, spellings, codes))


def _names(cell: str, column: str) -> dict[str, str] | None:
    """The code of each name in a cell to the name as written; None if there are separators without a name."""
    text = tidy(cell)
    if text.startswith("["):
        listed = _bracketed(text)
        if listed is None:
            raise UsageError(
                f'{column} contains {text[:60]!r}, which is not a list of names: expected one like ["glioma", "stroke"]'
            )
        return {code(name): tidy(name) for name in listed if code(name)}
    if code(text) == _NONE:
        return {}
    return {code(name): tidy(name) for name in _SEPARATORS.split(text) if code(name)} or None


def _bracketed(text: str) -> list[str] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        if not _PYTHON_LIST.fullmatch(text):
            return None
        found = [one or other for one, other in _QUOTED.findall(text)]
    is_list = isinstance(found, list) and all(isinstance(name, str) for name in found)
    return found if is_list else None


def _notes(
    column: LabelColumn, cells: list[dict[str, str] | None], spellings: dict[str, str], codes: list[str]
) -> list[str]:
    notes = []
    if n := sum(cell is None for cell in cells):
        notes.append(
            f"{count(n, 'blank cell')} of {column.name} {verb(n, 'counts', 'count')} as unknown, not as without any "
            "label: write [] where none is present"
        )
    if others := [name for value, name in spellings.items() if value not in codes]:
        more = f" and {len(others) - 8} more" if len(others) > 8 else ""
        notes.append(
            f"{count(len(others), 'name')} in {column.name} {verb(len(others), 'is', 'are')} not among the labels: "
            f"{', '.join(others[:8])}{more}"
        )
    if absent := [value for value in codes if value not in spellings]:
        notes.append(f"no cell of {column.name} has {', '.join(absent)}: taken as absent in all studies")
    return notes
