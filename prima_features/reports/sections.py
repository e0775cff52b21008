"""From a report's text to statements: its findings and impression are cut out, and split into items and sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from prima_features.reports.language import language

_KEPT = ("findings", "impression")
_MARKS = " \t\n*#_"
"""White space, and what Markdown puts around headings."""


@dataclass(frozen=True)
class Sections:
    """The two parts of a report that describe the images; either can be empty."""

    findings: str
    impression: str


@dataclass(frozen=True)
class _Heading:
    kind: str
    start: int
    end: int


def cut(report: str) -> Sections:
    """The findings and the impression of a report.

    Headings count in any case, with a colon, alone on their line, or in capitals. Technique, comparison,
    history, the patient's and physicians' fields and the signature are cut. Without a heading of findings or
    impression, all text that is not under one of those counts as findings.
    """
    report = report.replace("\r\n", "\n").replace("\r", "\n")
    headings = list(_headings(report))
    parts: dict[str, list[str]] = {kind: [] for kind in _KEPT}
    if any(heading.kind in _KEPT for heading in headings):
        for heading, end in _with_ends(headings, len(report)):
            if heading.kind in _KEPT:
                parts[heading.kind].append(report[heading.end : end].strip(_MARKS))
    else:
        parts["findings"].append(_without(report, headings))
    return Sections(*("\n\n".join(parts[kind]).strip() for kind in _KEPT))


def _headings(report: str) -> Iterator[_Heading]:
    kinds, pattern = _patterns()
    for match in pattern.finditer(report):
        kind = kinds[_spelled(match["name"])]
        if _is_heading(report, match, kind):
            yield _Heading(kind, match.start(), match.end())


@cache
def _patterns() -> tuple[dict[str, str], re.Pattern[str]]:
    kinds = {name: kind for kind, names in language("report_text")["headings"].items() for name in names}
    names = "|".join(
        re.escape(name).replace(r"\ ", r"[ \t]+") for name in sorted(kinds, key=len, reverse=True)
    )
    pattern = rf"(?<![\w/-])(?P<name>{names})(?:\(s\))?(?!\w)[ \t*_]*(?P<mark>:|-+(?=\s)|#)?[*_]*"
    return kinds, re.compile(pattern, re.IGNORECASE)


def _spelled(name: str) -> str:
    return " ".join(name.lower().split())


def _is_heading(report: str, match: re.Match[str], kind: str) -> bool:
    line_start = report.rfind("\n", 0, match.start()) + 1
    line_end = report.find("\n", match.end())
    first = not report[line_start : match.start()].strip(" \t*#_")
    rest = report[match.end() : None if line_end < 0 else line_end]
    if kind == "signature" and (first or match["name"][0].isupper()):
        return True
    if match["mark"] == ":" or (match["mark"] and kind == "fields"):
        return first or match["name"][0].isupper()
    if first and (match["mark"] or not rest.strip(" \t*_")):
        return True
    # Tables often lose line breaks: `FINDINGS The brain ... IMPRESSION 1. Normal`. In a report that is written
    # in capitals throughout a word is no heading for its capitals.
    return match["name"].isupper() and bool(re.match(r"\s*(?:[A-Z][a-z]|\d|[-•*])", rest))


def _with_ends(headings: list[_Heading], length: int) -> Iterator[tuple[_Heading, int]]:
    following = [heading.start for heading in headings[1:]]
    return zip(headings, [*following, length], strict=False)


def _without(report: str, headings: list[_Heading]) -> str:
    """The report less the sections of its headings: fields end with their line, others with their paragraph."""
    kept, position = [], 0
    for heading, next_start in _with_ends(headings, len(report)):
        kept.append(report[position : max(position, heading.start)])
        stop = {"fields": "\n", "other": "\n\n"}.get(heading.kind)
        end = report.find(stop, heading.end) if stop else -1
        position = next_start if end < 0 else min(end, next_start)
    return "".join([*kept, report[position:]]).strip()


_LIST_MARK = r"(?:\(?\d{1,2}[.)]|[-*•–>·]|[a-hA-H][.)])"
_ITEM_LINE = re.compile(rf"^\s*{_LIST_MARK}\s+")
_INLINE_ITEM = re.compile(r"(?:^|(?<=[.:;)]))\s*\(?\d{1,2}[.)]\s+(?=\S)")
_LABEL_LINE = re.compile(r"^\s*[A-Z][\w ,/&()-]{2,40}:")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)]?\s+(?=[\"“(]?[A-Z0-9])")
_ABBREVIATION = re.compile(r"\b(?:vs|approx|e\.g|i\.e|cf|incl|resp|fig|no|st|dr|ca)\.$", re.IGNORECASE)
_WRAPPED = 60
"""A line at least that long, without a full stop at its end, goes on in the next one."""


def statements(section: str) -> list[str]:
    """The statements of a section in their order, each on one line, without list marks and bare headings."""
    found = []
    for block in _blocks(section):
        for item in _INLINE_ITEM.split(block):
            found += _sentences(item)
    return [statement for statement in found if re.search(r"[^\W\d_]{2}", statement) and statement[-1] != ":"]


def _blocks(section: str) -> list[str]:
    """Lines, with those that wrap joined to the one they began on."""
    blocks: list[str] = []
    last = ""
    for line in section.split("\n"):
        if last and line.strip() and not _begins_anew(last, line):
            blocks[-1] += " " + line.strip()
        elif line.strip():
            blocks.append(_ITEM_LINE.sub("", line).strip())
        last = line
    return blocks


def _begins_anew(last: str, line: str) -> bool:
    if not last.strip() or _ITEM_LINE.match(line) or _LABEL_LINE.match(line):
        return True
    if last.rstrip()[-1] in ".:;!?":
        return True
    return len(last.strip()) < _WRAPPED and line.strip()[0].isupper()


def _sentences(text: str) -> list[str]:
    pieces: list[str] = []
    for piece in _SENTENCE_END.split(text.strip()):
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] += " " + piece
        else:
            pieces.append(piece)
    return [" ".join(piece.split()) for piece in pieces if piece.strip()]
