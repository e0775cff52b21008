"""A report's findings by rules: its sections cut, cleaned, and cut to what is not normal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from prima_features.reports.clean import clean
from prima_features.reports.diagnoses import mention_spans
from prima_features.reports.language import Assertion, any_of, assertion_of, language, plain, scopes
from prima_features.reports.records import Options, ReportError
from prima_features.reports.sections import cut, statements

_FILLER = re.compile(
    r"^(?:again (?:seen|noted|demonstrated) (?:is|are)|there (?:is|are|was|were)(?: again)?"
    r"|(?:incidental )?note is made of)\s+(?:an?\s+|the\s+)?(?=\w)",
    re.IGNORECASE,
)


def findings(report: str, options: Options = Options()) -> list[str]:
    """The findings of a report, those of its impression first.

    Normal and negative statements are left out unless `keep_normal` is set. If a report has no others, those of the
    impression are kept (without an impression, of the findings), since a normal study needs a text, too. A
    statement whose every word is in another one is left out.

    Raises:
        ReportError: the report is empty, or nothing in it is a statement.
    """
    impression, found = report_statements(report)
    everything = _distinct([*impression, *found])
    kept = everything if options.keep_normal else [one for one in everything if not is_normal(one)]
    kept = kept or _distinct(impression or found)
    return [_sentence(one) for one in kept[: options.max_items]]


def report_statements(report: str) -> tuple[list[str], list[str]]:
    """The statements of a report's impression and of its findings, cleaned, without boilerplate.

    Raises:
        ReportError: as `findings`.
    """
    if not report.strip():
        raise ReportError("the report is empty")
    sections = cut(report)
    parts = [_statements(section) for section in (sections.impression, sections.findings)]
    if not any(parts):
        raise ReportError(
            "the report has no findings: nothing but headings, technique, history or signatures"
        )
    return parts[0], parts[1]


def is_normal(statement: str) -> bool:
    """Whether a statement says only that something is normal or absent.

    It does if it negates or uses a word such as `unremarkable`, and mentions nothing abnormal outside a negation.
    """
    sentence = plain(statement)
    among = scopes(sentence)
    denies = any(scope.assertion is Assertion.ABSENT for scope in among)
    if not denies and not _words("normal").search(sentence):
        return False
    spans = [match.span() for match in _words("abnormal").finditer(sentence)]
    spans += [span for _, span in mention_spans(sentence)]
    return all(assertion_of(span, among) is Assertion.ABSENT for span in spans)


def _statements(section: str) -> list[str]:
    boilerplate = _boilerplate()
    found = statements(clean(section))
    return [one for one in found if not any(pattern.search(plain(one)) for pattern in boilerplate)]


@cache
def _boilerplate() -> list[re.Pattern[str]]:
    return [re.compile(pattern) for pattern in language("report_text")["sentences"]["boilerplate"]]


@cache
def _words(kind: str) -> re.Pattern[str]:
    return any_of(language("report_text")["sentences"][kind])


def _distinct(among: Sequence[str]) -> list[str]:
    """Without those whose words are all in another; the longer one takes the place of the first of them."""
    kept: list[tuple[str, frozenset[str]]] = []
    for one in among:
        words = _content(one)
        if any(words <= other for _, other in kept):
            continue
        covered = [i for i, (_, other) in enumerate(kept) if other < words]
        for i in reversed(covered):
            del kept[i]
        kept.insert(covered[0] if covered else len(kept), (one, words))
    return [one for one, _ in kept]


def _content(statement: str) -> frozenset[str]:
    words = re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", _words("empty").sub(" ", plain(statement)))
    return frozenset(word.rstrip("s") for word in words)


def _sentence(statement: str) -> str:
    text = _FILLER.sub("", statement).strip(" ,;:-")
    return text[:1].upper() + text[1:]
