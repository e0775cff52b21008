"""The patterns of reports' language, which are data: two TOML files beside this module."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Any

# Only what the patterns need: they are written in American spelling.
_SPELLING = (
    (re.compile(r"haem(?=[oa])"), "hem"),
    (re.compile(r"aemi"), "emi"),
    (re.compile(r"oedema"), "edema"),
    (re.compile(r"tumour"), "tumor"),
    (re.compile(r"grey"), "gray"),
    (re.compile(r"(?<=i)s(?=ed\b|ation)"), "z"),
    (re.compile(r"[’']s?\b"), "s"),
    (re.compile(r"[-‐‑–/\s]+"), " "),
)


@cache
def language(name: str) -> dict[str, Any]:
    """A file of patterns: `report_text`, `assertion` or `diagnoses`."""
    return tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def plain(text: str) -> str:
    """Text as the patterns expect it: lower case, American spelling, one space for hyphens and slashes."""
    text = text.lower()
    for pattern, replacement in _SPELLING:
        text = pattern.sub(replacement, text)
    return text.strip()


def any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """Any of some patterns, as whole words, the longest first; never one if there are none."""
    longest_first = sorted(patterns, key=len, reverse=True)
    alternatives = "|".join(longest_first) or "(?!)"
    # Whole words: no word character on both sides of either end; a pattern may begin or end with a sign.
    return re.compile(rf"(?:(?<!\w)|(?!\w))(?:{alternatives})(?:(?<!\w)|(?!\w))")
