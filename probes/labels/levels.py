"""What a label table's JSON file says its codes mean: `Levels`, by which BIDS describes the values of a column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from prima_features.files.safe import load_json, read_text
from prima_features.probes.labels.values import code

LEVELS = "prima_levels"
"""The key in a table's `attrs`."""

Levels = Mapping[str, Mapping[str, str]]
"""Columns to their values' codes (see `values.code`) to what each means."""


def read_levels(tables: Iterable[Path]) -> tuple[dict[str, dict[str, str]], tuple[str, ...]]:
    """The levels of all columns that the JSON files next to these tables describe; the first file counts.

    Returns:
        the levels, and a warning for each file that could not be read.
    """
    levels: dict[str, dict[str, str]] = {}
    warnings = []
    for path in dict.fromkeys(table.with_suffix(".json") for table in tables):
        if not path.is_file():
            continue
        try:
            described = load_json(read_text(path, encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            warnings.append(
                f"{path.name} next to the labels could not be read, so its levels are not used: {error}"
            )
            continue
        for column, about in described.items() if isinstance(described, dict) else ():
            named = about.get("Levels") if isinstance(about, dict) else None
            if isinstance(named, dict):
                levels.setdefault(column, {code(value): _meaning(text) for value, text in named.items()})
    return levels, tuple(warnings)


def _meaning(level: object) -> str:
    """A level's text; BIDS allows an object with a description, too."""
    if isinstance(level, dict):
        level = level.get("Description", "")
    return level if isinstance(level, str) else ""
