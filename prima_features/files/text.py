"""Text from outside (names of files and folders, headers, tables), made safe to store, print and share.

The rule for every writer: a character that Python does not call printable is written as in a Python string literal
(`\\n`, `\\x1b`, `\\u202e`), and a byte of a file name that is not UTF-8 as `\\xNN`. All other characters, backslashes
among them, stay as they are. Escaping twice changes nothing.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

MODEL_CHARACTERS = 1024
"""Characters of a series name or study description that the model reads at most. DICOM allows 64 in each of the
attributes that a name is made of; the time and memory of the network grow with the square of the length."""
STORED_CHARACTERS = 4096
"""Characters of one text in a file at most: the length of the longest path on Linux."""
_STEM_CHARACTERS = 80
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def printable(text: str, keep: str = "") -> str:
    r"""The text with every character escaped that is not printable (`str.isprintable`).

    Control characters, line breaks, terminal sequences, NUL, invisible and right-to-left marks and lone surrogates
    are written as `\n`, `\x00`, `\x1b` or `\u202e`.

    Args:
        keep: characters that stay as they are, such as line breaks.
    """
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in keep else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python keeps it in file names (PEP 383)
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def bounded(text: str, most: int = STORED_CHARACTERS) -> str:
    """`printable` text of at most `most` characters; a cut is marked and says how long the text was."""
    escaped = printable(text[: most + 1])
    if len(escaped) <= most:
        return escaped
    mark = f"... ({len(text)} characters)"
    return escaped[: most - len(mark)] + mark


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and end if it has more than `most` characters: the end says what to do."""
    if len(text) <= most:
        return text
    mark = f" ... ({len(text)} characters) ... "
    return text[: most * 3 // 4] + mark + text[-(most // 4) :]


def model_text(text: str) -> str:
    """What the model reads of a name or description: `printable`, and its first `MODEL_CHARACTERS` characters."""
    return printable(text[:MODEL_CHARACTERS])[:MODEL_CHARACTERS]


def printable_json(value: Any) -> Any:
    """A JSON document with all its texts `printable`, keys too, so that every reader takes it as UTF-8."""
    match value:
        case str():
            return printable(value)
        case dict():
            return {printable(str(key)): printable_json(one) for key, one in value.items()}
        case list() | tuple():
            return [printable_json(one) for one in value]
        case _:
            return value


def to_cell(text: str, keep: str = "") -> str:
    """A text as a cell of a CSV or TSV file that a spreadsheet does not run: see `from_cell`.

    A text that begins with `=`, `+`, `-` or `@` and is no number gets an apostrophe before it, and so does one that
    begins with an apostrophe and such a character, so that `from_cell` gives every text back.

    Args:
        keep: characters that `printable` keeps, such as line breaks where the file has quotes.
    """
    text = printable(text, keep)
    if text.lstrip("'").startswith(_FORMULA) and not _is_number(text):
        return f"'{text}"
    return text


def from_cell(text: str) -> str:
    """The text that `to_cell` was given (escaped characters stay escaped)."""
    if text.startswith("'") and text.lstrip("'").startswith(_FORMULA):
        return text[1:]
    return text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def file_stem(name: str) -> str:
    """A file name, without ending, for a study or the like: short, ASCII, and different for different names.

    Names of lower-case letters, digits, `_` and `-` stay as they are. All others get a digest, because file systems
    may ignore case, bring Unicode to another form, or refuse long names.
    """
    if re.fullmatch(rf"[a-z0-9_-]{{1,{_STEM_CHARACTERS}}}", name):
        return name
    kept = re.sub(r"[^a-zA-Z0-9_-]", "", name)[:_STEM_CHARACTERS]
    return f"{kept}.{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
