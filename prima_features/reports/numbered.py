"""A list of findings as one text, one numbered item a line, and back.

This is the form in which Prima's public training code reads summarised reports (`preprocess_shortened_text`
in its tools/utilities.py: items are lines, and the text before the first `. ` of a line is its number).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LINE = re.compile(r"^\s*(?:[*_]*\d{1,2}[.):]|[-*•])[*_]*\s+(?P<item>\S.*)$")
_INLINE = re.compile(r"(?:^|(?<=\s))\d{1,2}[.)]\s+")


def numbered(items: Iterable[str]) -> str:
    """`1. A` and `2. B`, a line each. White space inside an item becomes single spaces."""
    return "\n".join(f"{n}. {' '.join(item.split())}" for n, item in enumerate(items, start=1))


def split_numbered(text: str) -> list[str]:
    """The items of a numbered or bulleted list; none if the text contains no list.

    Lines around the list, such as a language model's remarks, are passed over. A list on a single line is
    split at its numbers, which must count up from 1.
    """
    items = [match["item"].strip() for line in text.splitlines() if (match := _LINE.match(line))]
    if len(items) == 1 and len(inline := _split_inline(text)) > 1:
        return inline
    return items


def _split_inline(text: str) -> list[str]:
    marks: list[re.Match[str]] = []
    for match in _INLINE.finditer(text):
        if int(re.sub(r"\D", "", match[0])) == len(marks) + 1:
            marks.append(match)
    ends = [match.start() for match in marks[1:]] + [len(text)]
    return [text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
