"""What one cell of a label table means: missing, a number, a sex, a value that has a code."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from functools import lru_cache
from math import isfinite

MISSING = frozenset(
    {
        "", "n/a", "na", "n.a.", "n.a", "n/k", "#n/a", "<na>", "nan", "nat", "null", "#null!", "nil", "unknown",
        "unk", "not available", "not known", "not reported", "not applicable", "not assessed", "not tested",
        "not done", "not recorded", "no data", "missing", "-999", "-9999", "-99999", "`", "?", ".", "..", "...",
        "-", "--", "#ref!", "#value!", "#div/0!", "#name?", "#num!",
    }
)  # fmt: skip
"""Cells without a value, as `code` writes them. `none` is not here: it is a finding in many tables."""

_NUMBER = re.compile(r">?\s*([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(\+?)")
_SEX = {"f": "F", "female": "F", "w": "F", "woman": "F", "m": "M", "male": "M", "man": "M"}
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"), "-")


@lru_cache(maxsize=65536)
def tidy(text: str) -> str:
    """The text in Unicode NFC with plain hyphens and single spaces, without invisible characters.

    Spreadsheets and web pages leave no-break spaces, zero-width characters and typographic dashes in cells, and
    file systems write accents as separate characters (NFD): none of them makes another value.
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    text = unicodedata.normalize("NFC", text).translate(_DASHES)
    visible = (character for character in text if unicodedata.category(character) not in ("Cf", "Cs", "Co"))
    return " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in visible).split())


@lru_cache(maxsize=65536)
def code(text: str) -> str:
    """The cell as mappings write it: lower case, `1.0` and `01` as `1`, `0,5` as `0.5`."""
    text = unicodedata.normalize("NFKC", tidy(text)).casefold()
    match = _NUMBER.fullmatch(text)
    if match is None or match[2] or text.startswith(">"):
        return text
    return f"{float(match[1].replace(',', '.')):.12g}"


def is_missing(text: str, extra: Collection[str] = ()) -> bool:
    """Whether the cell has no value, for every table or by the `extra` codes of this one."""
    return code(text) in MISSING or code(text) in extra


def number(text: str) -> float | None:
    """The cell as a number, decimal comma or point; `89+` and `>89` as 89. None if it is none."""
    match = _NUMBER.fullmatch(tidy(text))
    value = float(match[1].replace(",", ".")) if match else None
    return value if value is not None and isfinite(value) else None


def is_top_coded(text: str) -> bool:
    """Whether the cell stands for this number or more, as `89+` does."""
    match = _NUMBER.fullmatch(tidy(text))
    return match is not None and bool(match[2] or tidy(text).startswith(">"))


def may_be_thousands(text: str) -> bool:
    """Whether a comma or point in the number can separate thousands as well as decimals, as in `1,303`."""
    return re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", tidy(text)) is not None


def sex(text: str, codes: Mapping[str, str]) -> str:
    """`F` or `M` by the words that are clear by themselves and the table's own codes; else empty."""
    return codes.get(code(text), _SEX.get(code(text), ""))
