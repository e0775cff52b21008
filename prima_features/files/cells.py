"""What one cell of a user's table means: missing, a number, a code, or an id as it is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
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

NUMBER = re.compile(r">?\s*([+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?)\s*(\+?)")
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
    match = NUMBER.fullmatch(text)
    if match is None or match[2] or text.startswith(">"):
        return text
    return f"{float(match[1].replace(',', '.')):.12g}"


def is_missing(text: str, extra: Collection[str] = ()) -> bool:
    """Whether the cell has no value, for every table or by the `extra` codes of this one."""
    return code(text) in MISSING or code(text) in extra


def number(text: str) -> float | None:
    """The cell as a number, decimal comma or point; `89+` and `>89` as 89. None if it is none."""
    match = NUMBER.fullmatch(tidy(text))
    value = float(match[1].replace(",", ".")) if match else None
    return value if value is not None and isfinite(value) else None


@lru_cache(maxsize=65536)
def written(text: str) -> str:
    """An id as it is written, without `sub-` and upper case: ids that differ here may be two subjects."""
    text = unicodedata.normalize("NFKC", tidy(text)).casefold()
    text = unicodedata.normalize("NFC", re.sub(r"^sub-", "", text).strip())
    # A number that passed through a spreadsheet comes back as `12.0`.
    return re.sub(r"^(\d+)\.0+$", r"\1", text)
