"""The language of reports: patterns, which are data (three TOML files in this folder), and negation by NegEx."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
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


class Assertion(StrEnum):
    """How something is mentioned."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    HISTORICAL = "historical"


_CHANGED = (Assertion.ABSENT, Assertion.UNCERTAIN, Assertion.HISTORICAL)
"""The first of them whose words reach a mention decides."""


@dataclass(frozen=True)
class Scope:
    """The part of a sentence that a word such as `without` or `possible` reaches."""

    assertion: Assertion
    start: int
    end: int


def scopes(sentence: str) -> list[Scope]:
    """The scopes of a sentence's negations, uncertainties and histories.

    Follows NegEx (Chapman et al. 2001): a cue reaches from itself to the end of the sentence, or back to its
    beginning, but not across a word such as `but`, at which the statement turns. The cues are in assertion.toml.

    Args:
        sentence: one sentence, as `language.plain` gives it.
    """
    stops = [match.span() for match in _cues("stop", "any").finditer(sentence)]
    found = []
    for assertion in _CHANGED:
        for start, _ in _spans(sentence, assertion, "after"):
            found.append(Scope(assertion, max((end for _, end in stops if end <= start), default=0), start))
        for start, end in _spans(sentence, assertion, "before"):
            stop = min((begin for begin, _ in stops if begin >= end), default=len(sentence))
            found.append(Scope(assertion, start, stop))
    return found


def assertion_of(span: tuple[int, int], among: list[Scope]) -> Assertion:
    """How the mention at a span of the sentence is meant.

    Args:
        span: start and end of the mention.
        among: the sentence's `scopes`.
    """
    reaching = {scope.assertion for scope in among if scope.start <= span[0] and span[1] <= scope.end}
    return next((assertion for assertion in _CHANGED if assertion in reaching), Assertion.PRESENT)


def _spans(sentence: str, assertion: Assertion, side: str) -> Iterator[tuple[int, int]]:
    pseudo = [match.span() for match in _cues("pseudo", "any").finditer(sentence)]
    for match in _cues(assertion.value, side).finditer(sentence):
        hidden = any(start < match.end() and match.start() < end for start, end in pseudo)
        if not (hidden and assertion is Assertion.ABSENT):
            yield match.span()


@cache
def _cues(kind: str, side: str) -> re.Pattern[str]:
    return any_of(language("assertion")[kind][side])
