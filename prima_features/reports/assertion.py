"""What a sentence says of something that it mentions: that it is there, is not, may be, or has been."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from prima_features.reports.language import any_of, language


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
    beginning, but not across a word where the statement turns, such as `but`. The cues are in assertion.toml.

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
