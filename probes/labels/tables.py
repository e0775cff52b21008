"""Reading one label table as text, whatever program wrote it: nothing is guessed about any cell here."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.files.excel import excel_rows, is_excel
from prima_features.files.safe import TABLE_BYTES, UnsafeFileError, read_bytes
from prima_features.files.text import from_cell
from prima_features.probes.labels.values import tidy
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

WARNINGS = "prima_warnings"
"""Key of `DataFrame.attrs`: sentences on how the table was read."""

_SEPARATORS = {".tsv": "\t", ".csv": ",", ".txt": "\t"}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 200
"""Rows by which the separator is found."""

csv.field_size_limit(2**24)


def read_table(path: Path) -> pd.DataFrame:
    """A CSV, TSV or Excel table; every cell and header is a string (see `values.tidy`), absent cells are empty.

    The separator is the one of comma, semicolon, tab and bar that gives most rows the header's number of cells.
    Lines end in any of the usual ways, also inside quotes. Text is UTF-8, UTF-16 or UTF-32, else cp1252. An Excel
    file is recognised by its content; its first sheet is read, or the one named as `FILE.xlsx#SHEET`. `attrs` has
    warnings under `WARNINGS`.

    Raises:
        UsageError: the file does not exist, cannot be read as a table, or names two columns alike.
    """
    import pandas as pd

    path, sheet = _sheet_of(path)
    if not path.is_file():
        raise UsageError(f"the label table {path} does not exist or is not a file")
    try:
        content = read_bytes(path, TABLE_BYTES)
    except UnsafeFileError as error:
        raise UsageError(f"the label table {path} {error}") from error
    if content.startswith(b"\x1f\x8b"):
        raise UsageError(f"the label table {path} is compressed: unpack it first")
    if is_excel(content):
        (header, *rows), warnings = excel_rows(path, content, sheet)
    else:
        (header, *rows), warnings = _text_rows(path, content)
    header = [tidy(name) for name in header]
    twice = [name for name, times in Counter(header).items() if name and times > 1]
    if twice:
        raise UsageError(f"{path} has more than one column {twice[0]!r}: rename or remove one of them")
    if not rows:
        raise UsageError(f"the label table {path} has a header and no rows")
    cells = [
        [from_cell(tidy(cell)) for cell in _fit(path, i, row, len(header))] for i, row in enumerate(rows, 1)
    ]
    short = sum(len(row) < len(header) for row in rows)
    if short:
        warnings += (
            f"{count(short, 'row')} of {path.name} {verb(short, 'has', 'have')} fewer cells than the header; the "
            "missing cells are taken as empty",
        )
    table = pd.DataFrame(cells, columns=header, dtype=object).drop(columns="", errors="ignore")
    table.attrs[WARNINGS] = warnings
    return table


def _sheet_of(path: Path) -> tuple[Path, str]:
    """A path and the sheet named after `#`, if the whole is no file itself."""
    name, mark, sheet = path.name.rpartition("#")
    return (path.with_name(name), sheet) if mark and name and not path.exists() else (path, "")


def _text_rows(path: Path, content: bytes) -> tuple[list[list[str]], tuple[str, ...]]:
    text, warnings = _decode(path, content)
    text = text.replace("\0", "")
    hint = re.match(r'"?sep=(.)"?[ \t,;]*(?:\r\n|\r|\n)', text)
    separator = hint[1] if hint else _separator(path, text)
    rows = list(_rows(path, text[hint.end() :] if hint else text, separator))
    if not rows:
        raise UsageError(f"{path} is empty: expected a table with a header")
    return rows, warnings


def _rows(path: Path, text: str, separator: str) -> Iterator[list[str]]:
    """Rows that are not blank.

    Raises:
        UsageError: a quote is not closed, or is closed so late that whole rows are inside it.
    """
    # Translated here, so that carriage returns alone end lines too.
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator, strict=True)
    width = 0
    try:
        for row in reader:
            if not any(map(str.strip, row)):
                continue
            width = width or len(row)
            for cell in row:
                if width > 2 and any(line.count(separator) >= width - 1 for line in cell.split("\n")[1:]):
                    raise UsageError(
                        f"{path} has whole rows inside a quoted cell that ends in line {reader.line_num}: "
                        "check the quotes"
                    )
            yield [" ".join(cell.split("\n")) for cell in row]
    except csv.Error as error:
        raise UsageError(f"{path} cannot be read as a table: line {reader.line_num}, {error}") from error


def _fit(path: Path, number: int, row: list[str], width: int) -> list[str]:
    """The row as wide as the header: cells left off at its end are empty, empty ones too many are dropped."""
    if any(map(str.strip, row[width:])):
        raise UsageError(
            f"{path} has {len(row)} cells in row {number} below the header, and {width} columns: "
            "check its separators and quotes"
        )
    return row[:width] + [""] * (width - len(row))


def _decode(path: Path, content: bytes) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            with suppress(UnicodeDecodeError):
                return content.decode(encoding), ()
    for encoding in (*_without_mark(content), "utf-8"):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding), ()
    with suppress(UnicodeDecodeError):
        told = f"{path.name} is not UTF-8 and was read as Windows text (cp1252): check letters with accents"
        return content.decode("cp1252"), (told,)
    raise UsageError(f"{path} is text in neither UTF-8 nor cp1252: save it as UTF-8")


def _without_mark(content: bytes) -> tuple[str, ...]:
    """UTF-16 without byte order mark, which has a NUL next to each letter of its header."""
    head = content[:200]
    if len(content) % 2 or head.count(0) < len(head) / 4:
        return ()
    return ("utf-16-le",) if head[1::2].count(0) > head[0::2].count(0) else ("utf-16-be",)


def _separator(path: Path, text: str) -> str:
    """The separator by which most rows have as many cells as the header, and more than one; the usual one first."""
    usual = _SEPARATORS.get(path.suffix.lower(), ",")
    candidates = list(dict.fromkeys((usual, ",", ";", "\t", "|")))
    return max(candidates, key=lambda separator: _regularity(text, separator))


def _regularity(text: str, separator: str) -> tuple[float, int]:
    """The share of rows as wide as the header, and that width; nothing for a single column."""
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator)
    widths: list[int] = []
    with suppress(csv.Error):
        for row in reader:
            if any(map(str.strip, row)):
                widths.append(len(row))
            if len(widths) > _SAMPLE:
                break
    if not widths or widths[0] < 2:
        return 0.0, 0
    return round(sum(width == widths[0] for width in widths) / len(widths), 2), widths[0]
