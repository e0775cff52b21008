"""Reading one label table as text, whatever program wrote it: nothing is guessed about any cell here."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.probes.labels.excel import excel_rows, is_excel

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {".tsv": "\t", ".csv": ",", ".txt": "\t"}


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV or Excel table; every cell and header a string without outer spaces, absent cells empty.

    The separator is the one of comma, semicolon and tab that the header has most of. Text is UTF-8, with or
    without byte order mark, else cp1252. An Excel file gives its first sheet, and is recognised by content.

    Raises:
        UsageError: the file does not exist, cannot be read as a table, or names two columns alike.
    """
    import pandas as pd

    if not path.is_file():
        raise UsageError(f"the label table {path} does not exist or is not a file")
    content = path.read_bytes()
    header, *rows = excel_rows(path, content) if is_excel(content) else _text_rows(path, content)
    twice = [name for name, times in Counter(header).items() if name and times > 1]
    if twice:
        raise UsageError(f"{path} has more than one column {twice[0]!r}: rename or remove one of them")
    return pd.DataFrame(rows, columns=header, dtype=object).drop(columns="", errors="ignore")


def _text_rows(path: Path, content: bytes) -> list[list[str]]:
    text = _decode(path, content)
    header = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text), delimiter=_separator(path, header))
    try:
        rows = [[cell.strip() for cell in row] for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise UsageError(f"{path} cannot be read as a table: line {reader.line_num}, {error}") from error
    if not rows:
        raise UsageError(f"{path} is empty: expected a table with a header")
    return [rows[0]] + [_fit(path, row, len(rows[0])) for row in rows[1:]]


def _fit(path: Path, row: list[str], width: int) -> list[str]:
    """The row as wide as the header: cells left off at its end are empty, empty ones too many are dropped."""
    if any(row[width:]):
        raise UsageError(
            f"{path} has {len(row)} cells in the row that starts with {row[0]!r} and {width} columns: "
            "check its separators and quotes"
        )
    return row[:width] + [""] * (width - len(row))


def _decode(path: Path, content: bytes) -> str:
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if utf16 else ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding)
    raise UsageError(f"{path} is text in neither UTF-8 nor cp1252: save it as UTF-8")


def _separator(path: Path, header: str) -> str:
    usual = _SEPARATORS.get(path.suffix.lower(), ",")
    return max((usual, ",", ";", "\t"), key=header.count)
