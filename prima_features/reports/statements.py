"""Splitting a section into statements: list items and sentences."""

from __future__ import annotations

import re

_MARK = r"(?:\(?\d{1,2}[.)]|[-*•–>·]|[a-hA-H][.)])"
_ITEM_LINE = re.compile(rf"^\s*{_MARK}\s+")
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
