"""What one cell of a label table means: missing, a number, a sex, a value that has a code."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

MISSING = frozenset(
    {
        "", "n/a", "na", "#n/a", "nan", "nat", "null", "unknown", "unk", "not available", "not known",
        "not reported", "missing", "-9999", "`", "?", ".", "-", "--",
    }
)  # fmt: skip
"""Cells that hold no value, as `code` writes them. `none` is not here: it is a finding in many tables."""

_NUMBER = re.compile(r">?\s*([+-]?\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?)\s*(\+?)")
_SEX = {"f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}


def code(text: str) -> str:
    """The cell as mappings write it: lower case, `1.0` and `01` as `1`, `0,5` as `0.5`."""
    text = text.strip().casefold()
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] or text.startswith(">"):
        return text
    return f"{float(match[1].replace(',', '.')):g}"


def is_missing(text: str, extra: Collection[str] = ()) -> bool:
    """Whether the cell holds no value, for every table or by the `extra` codes of this one."""
    return code(text) in MISSING or code(text) in extra


def number(text: str) -> float | None:
    """The cell as a number, decimal comma or point; `89+` and `>89` as 89. None where it is none."""
    match = _NUMBER.fullmatch(text.strip())
    return float(match[1].replace(",", ".")) if match else None


def is_top_coded(text: str) -> bool:
    """Whether the cell stands for this number or more, as `89+` does."""
    match = _NUMBER.fullmatch(text.strip())
    return match is not None and bool(match[2] or text.strip().startswith(">"))


def sex(text: str, codes: Mapping[str, str]) -> str:
    """`F` or `M` by the words that are clear by themselves and the table's own codes; else empty."""
    return codes.get(code(text), _SEX.get(code(text), ""))
