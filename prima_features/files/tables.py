"""Reading a table that a person made (TSV, CSV or Excel, in any usual encoding) as text, and writing one as TSV.

All tables of users are read here: labels, reports, manifests. No cell is interpreted, and nothing is stripped.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.files.excel import excel_rows, is_excel
from prima_features.files.safe import TABLE_BYTES, UnsafeFileError, read_bytes
from prima_features.files.text import to_cell
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = {".tsv": "\t", ".csv": ",", ".txt": "\t"}
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SAMPLE = 200
"""Rows from which the separator is detected."""

csv.field_size_limit(2**24)


class EmptyTableError(UsageError):
    """A table without a header."""


@dataclass(frozen=True)
class Table:
    """Cells as text."""

    header: list[str]
    rows: list[list[str]]
    """As wide as the header; rows without text are left out."""
    numbers: list[int]
    """Of each row as a spreadsheet counts, in which the header is mostly row 1."""
    warnings: tuple[str, ...] = ()
    """Sentences on how the table was read."""


def read_table(path: Path, what: str = "the table", *, free_text: bool = False) -> Table:
    """Read a TSV, CSV or Excel table.

    The separator (tab, comma, semicolon or bar) is the one that gives most rows the header's number of cells. Lines
    end in LF, CRLF or CR, also inside quotes. Text is UTF-8, UTF-16 or UTF-32, else cp1252. Excel files are recognised
    by their content; the first sheet is read, or the one named as `FILE.xlsx#SHEET`. Missing cells at the end of a row
    are empty.

    Args:
        path: the file.
        what: names it in error messages.
        free_text: quoted cells may contain several lines with separators, such as radiology reports. Otherwise such a
            cell is refused, because a quote is probably missing.

    Raises:
        EmptyTableError: there is no header.
        UsageError: the file cannot be read as a table, or a row has more cells than the header.
    """
    path, sheet = _sheet_of(path)
    try:
        content = read_bytes(path, TABLE_BYTES)
    except FileNotFoundError as error:
        raise UsageError(f"{what} {path} does not exist") from error
    except OSError as error:
        raise UsageError(f"{what} {path} cannot be read: {error.strerror}") from error
    except UnsafeFileError as error:
        raise UsageError(f"{what} {path} {error}") from error
    if content.startswith(b"\x1f\x8b"):
        raise UsageError(f"{what} {path} is compressed: unpack it first")
    if is_excel(content):
        cells, warnings = excel_rows(path, content, sheet)
    else:
        cells, warnings = _text_rows(path, content, free_text)
    filled = [(number, row) for number, row in enumerate(cells, 1) if any(map(str.strip, row))]
    if not filled:
        raise EmptyTableError(f"{path} is empty: expected a table with a header")
    (_, header), *below = filled
    for number, row in below:
        if any(map(str.strip, row[len(header) :])):
            raise UsageError(
                f"{path}, row {number} has more cells than the header ({len(row)} and {len(header)}): put cells that "
                "contain a separator in quotes"
            )
    short = sum(len(row) < len(header) for _, row in below)
    if short:
        warnings += (
            f"{count(short, 'row')} of {path.name} {verb(short, 'has', 'have')} fewer cells than the header; the "
            "missing cells are taken as empty",
        )
    rows = [row[: len(header)] + [""] * (len(header) - len(row)) for _, row in below]
    return Table(header, rows, [number for number, _ in below], warnings)


def find_column(path: Path, header: Sequence[str], names: Iterable[str]) -> int | None:
    """Position of the first of some names that a header has, spelled as in `spelling`.

    Raises:
        UsageError: the header has that name more than once.
    """
    spelled = [spelling(cell) for cell in header]
    for name in map(spelling, names):
        if spelled.count(name) > 1:
            raise UsageError(f"{path} has more than one column {name}: rename or remove one of them")
        if name in spelled:
            return spelled.index(name)
    return None


def spelling(name: str) -> str:
    """A column's name in lower case, with `_` between words instead of spaces and hyphens."""
    return re.sub(r"[\s_-]+", "_", name.strip()).lower()


def _sheet_of(path: Path) -> tuple[Path, str]:
    """A path and the sheet named after `#`, unless a file has the whole name."""
    name, mark, sheet = path.name.rpartition("#")
    return (path.with_name(name), sheet) if mark and name and not path.exists() else (path, "")


def _text_rows(path: Path, content: bytes, free_text: bool) -> tuple[list[list[str]], tuple[str, ...]]:
    text, warnings = _decode(path, content)
    hint = re.match(r'"?sep=(.)"?[ \t,;]*(?:\r\n|\r|\n)', text)
    separator = hint[1] if hint else _separator(path, text)
    return list(_rows(path, text[hint.end() :] if hint else text, separator, free_text)), warnings


def _rows(path: Path, text: str, separator: str, free_text: bool) -> Iterator[list[str]]:
    # newline=None translates line ends, so that CR alone ends lines too.
    reader = csv.reader(io.StringIO(text, newline=None), delimiter=separator, strict=True)
    width = 0
    try:
        for row in reader:
            width = width or (len(row) if any(map(str.strip, row)) else 0)
            for cell in row if width > 2 and not free_text else ():
                if any(line.count(separator) >= width - 1 for line in cell.split("\n")[1:]):
                    raise UsageError(
                        f"{path} has whole rows inside a quoted cell that ends in line {reader.line_num}: "
                        "check the quotes"
                    )
            yield row
    except csv.Error as error:
        raise UsageError(
            f"{path} cannot be read as a table: line {reader.line_num}, {error}; check its quotes"
        ) from error


def _decode(path: Path, content: bytes) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            with suppress(UnicodeDecodeError):
                return content.decode(encoding), ()
    for encoding in (*_without_mark(content), "utf-8"):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding), ()
    with suppress(UnicodeDecodeError):
        warning = (
            f"{path.name} is not UTF-8 and was read as Windows text (cp1252): check letters with accents"
        )
        return content.decode("cp1252"), (warning,)
    raise UsageError(f"{path} is text in neither UTF-8 nor cp1252: save it as UTF-8")


def _without_mark(content: bytes) -> tuple[str, ...]:
    """UTF-16 without a byte order mark, which has a NUL next to each letter of its header."""
    head = content[:200]
    if len(content) % 2 or head.count(0) < len(head) / 4:
        return ()
    return ("utf-16-le",) if head[1::2].count(0) > head[0::2].count(0) else ("utf-16-be",)


def _separator(path: Path, text: str) -> str:
    """The separator with which most rows are as wide as the header, and wider than 1; ties go to the file's ending."""
    usual = _SEPARATORS.get(path.suffix.lower(), ",")
    candidates = list(dict.fromkeys((usual, ",", ";", "\t", "|")))
    return max(candidates, key=lambda separator: _regularity(text, separator))


def _regularity(text: str, separator: str) -> tuple[float, int]:
    """The share of rows as wide as the header, and that width; 0 for a single column."""
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


def table_bytes(table: pd.DataFrame, caveat: str = "", missing: str = "") -> bytes:
    """A DataFrame as tab-separated UTF-8, in which no text is run by a spreadsheet (`text.to_cell`).

    Args:
        table: any columns; float32 numbers are written in the digits that give the same float32 back.
        caveat: what must be said with every number; repeated in a column `caveat` unless it is empty.
        missing: what stands for missing values.
    """
    if caveat:
        table = table.assign(caveat=caveat)
    texts = table.select_dtypes(exclude=["number", "bool"])
    safe = {
        str(name): [to_cell(one) if isinstance(one, str) else one for one in texts[name]] for name in texts
    }
    written = table.assign(**safe).rename(columns={name: to_cell(str(name)) for name in table})
    return bytes(written.to_csv(sep="\t", index=False, na_rep=missing, lineterminator="\n").encode())
