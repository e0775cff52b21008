"""Labelling Prima's 52 diagnoses by rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from prima_features.reports.language import Assertion, any_of, assertion_of, language, plain, scopes

Label = int | None
"""1 present, 0 not, None undecided."""

DIAGNOSES: tuple[str, ...] = tuple(language("diagnoses"))
"""The names of the published heads, in the published order."""


@dataclass(frozen=True)
class _Diagnosis:
    mention: re.Pattern[str]
    no_mention: re.Pattern[str]
    broader: str
    lasting: bool


def label(statements: Iterable[str], unmentioned: Label = 0) -> dict[str, Label]:
    """The diagnoses of a report.

    A diagnosis is 1 if any statement says that it is present, whatever others say. Else it is None if any
    mentions it as a possibility or as history; else 0 if it is denied or said to have resolved;
    else it is not mentioned. For what surgery leaves (craniotomy, cavity, catheter) history counts as present.
    What is said of a narrower diagnosis is said of the broader one, but for a denial. The patient's age plays
    no part: a medulloblastoma is labelled as such at any age.

    Args:
        statements: one sentence each.
        unmentioned: the label of a diagnosis that is not mentioned.
    """
    mentions: dict[str, set[Assertion]] = {name: set() for name in DIAGNOSES}
    for statement in statements:
        for name, assertion in _mentions(plain(statement)):
            mentions[name].add(assertion)
    for name, diagnosis in _diagnoses().items():
        if diagnosis.broader:
            mentions[diagnosis.broader] |= mentions[name] - {Assertion.ABSENT}
    return {name: _decide(found, unmentioned) for name, found in mentions.items()}


def is_abnormal(labels: Mapping[str, Label]) -> bool:
    """Whether any diagnosis of a report is 1; undecided ones do not count.

    Each of the 52 is a disease, a change of the brain, or what surgery leaves. None of them names a normal
    finding, so all count. Abnormalities beyond the 52 are not recognised.
    """
    return any(value == 1 for value in labels.values())


def mention_spans(sentence: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """Each diagnosis that a sentence, as `language.plain` gives it, mentions, with its span."""
    for name, diagnosis in _diagnoses().items():
        hidden = [match.span() for match in diagnosis.no_mention.finditer(sentence)]
        for match in diagnosis.mention.finditer(sentence):
            if not any(start <= match.start() and match.end() <= end for start, end in hidden):
                yield name, match.span()


def _mentions(sentence: str) -> Iterator[tuple[str, Assertion]]:
    among = scopes(sentence)
    for name, span in mention_spans(sentence):
        assertion = assertion_of(span, among)
        if assertion is Assertion.HISTORICAL and _diagnoses()[name].lasting:
            assertion = Assertion.PRESENT
        yield name, assertion


def _decide(found: set[Assertion], unmentioned: Label) -> Label:
    if Assertion.PRESENT in found:
        return 1
    if found & {Assertion.UNCERTAIN, Assertion.HISTORICAL}:
        return None
    return 0 if found else unmentioned


_ANY_WORD = r"(?!(?:no|not|non|nor|without|never)\b)\w+"
"""A negation inside a mention would be no part of it: `ventricles are not enlarged` is none."""


@cache
def _diagnoses() -> dict[str, _Diagnosis]:
    return {
        name: _Diagnosis(
            any_of(pattern.replace(r"\w+", _ANY_WORD) for pattern in entry["any"]),
            any_of(entry.get("except", ())),
            entry.get("broader", ""),
            entry.get("lasting", False),
        )
        for name, entry in language("diagnoses").items()
    }
