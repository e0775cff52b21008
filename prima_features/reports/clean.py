"""Removing names, dates and references to single images from a report's text.

This lowers the risk and does not replace de-identification: a name within a sentence, without a title before it,
cannot be distinguished from another word.
"""

from __future__ import annotations

import re

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\.?"
)
_DATE = (
    r"\b\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})\b(?!\s*(?:mm|cm))",
    r"\b(?:19|20)\d\d[/.-]\d{1,2}[/.-]\d{1,2}\b",
    rf"\b{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}}\b",
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?[\s-]{_MONTH}[\s-]\d{{2,4}}\b",
    rf"\b{_MONTH},?\s+(?:19|20)\d\d\b",
)
_TIME = (
    r"\b\d{1,2}:\d{2}(?::\d{2})?(?:\s*[AaPp]\.?[Mm]\b)?(?:\s+(?:hours|hrs|EST|EDT|CST|PST|UTC))?",
    r"\b\d{1,2}\s*[AaPp]\.?[Mm]\b",
)
# MIMIC-III's `[**...**]`, MIMIC-IV's `___`, Indiana's `XXXX`, and other usual ones.
_PLACEHOLDER = (
    r"\[\*\*.*?\*\*\]", r"_{2,}", r"\bX{3,}\b", r"<+[A-Z][A-Z_ ]*>+", r"\[(?i:redacted|removed|name|date)\]",
)  # fmt: skip
_NAME = r"[A-Z][\w'’-]+"
_TITLE = (
    r"\b(?:D[Rr]|Prof|PROF|Professor|Mr|Mrs|Ms|Miss)\b\.?\s+"
    rf"(?:[A-Z]\.\s*)*{_NAME}(?:\s+(?:[A-Z]\.\s*)?{_NAME}){{0,2}}"
)
_DEGREE = (
    rf"\b{_NAME}(?:\s+[A-Z]\.?)?\s+{_NAME},?\s+"
    r"(?:M\.D\.|MD|D\.O\.|DO|Ph\.D\.|PhD|MBBS|FRCR|FRCPC|FFR)(?!\w)"
)
_NUMBER = r"\b(?i:accession|acc|mrn|medical record)(?:\s*(?i:number|no)\b)?\W{0,3}[A-Z]{0,3}[\d-]{4,}\b"
_LINK = r"(?:\b(?i:since|from|on|dated?|of|to|with|at|by|as of|compared|comparison|prior|performed|obtained)\s+){0,4}"
_HOLE = re.compile(
    rf"{_LINK}(?:{'|'.join([_TITLE, _DEGREE, _NUMBER, *_DATE, *_PLACEHOLDER])})(?:\s*(?:at\s+)?(?:{'|'.join(_TIME)}))?"
    rf"|{_LINK}(?:{'|'.join(_TIME)})"
)
_IMAGE = re.compile(
    r"\s*[(\[](?:(?:for example|e\.g\.,?|see|best seen on)\s+)?"
    r"(?:series|images?|se|im|slice|axial|sequence)\b[^)\]]{0,60}?\d[^)\]]{0,60}[)\]]",
    re.IGNORECASE,
)
_SIGNED_LINE = re.compile(
    rf"^[ \t]*(?:(?:D[Rr]|Prof|Professor)\b\.?\s.{{0,60}}|{_DEGREE}.{{0,40}})$", re.MULTILINE
)


def clean(text: str) -> str:
    """The text without persons' names that a title or degree marks, dates, times, accession and record numbers,
    placeholders of de-identification, and references to single images. Lines stay; measurements and years stay."""
    text = _SIGNED_LINE.sub("", text)
    text = _IMAGE.sub("", text)
    text = _HOLE.sub(" ", text)
    text = re.sub(r"\(\s*[,;]*\s*\)|\[\s*\]", "", text)
    text = re.sub(r"[ \t\u00a0]+", " ", text)
    text = re.sub(r" +(?=[.,;:)\n])", "", text)
    return re.sub(r"(?:[,;] ?)+(?=[.,;])", "", text).strip()
