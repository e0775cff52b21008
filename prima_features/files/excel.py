"""Excel's cells as text: whole numbers without a decimal point, dates in ISO 8601."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

from prima_features.errors import UsageError
from prima_features.files.safe import TABLE_BYTES, UnsafeFileError, check_zip

_XLSX, _XLS = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_MOST_CELLS = 20_000_000
_MOST_ROWS = 1 << 20
"""Of a sheet, as Excel has it."""
_DAMAGE = (
    BadZipFile, ParseError, zlib.error, struct.error, EOFError, KeyError, IndexError, ValueError,
    AssertionError, RuntimeError,
)  # fmt: skip
"""What the readers raise on files that are cut or altered, beside their own errors."""


def is_excel(content: bytes) -> bool:
    """Whether a file's bytes are a workbook, new (.xlsx) or old (.xls), whatever its name."""
    return content.startswith((_XLSX, _XLS))


def excel_rows(path: Path, content: bytes, sheet: str = "") -> tuple[list[list[str]], tuple[str, ...]]:
    """A sheet's rows as text, empty ones included, and warnings in a sentence each.

    Args:
        path: for messages.
        content: the file's bytes.
        sheet: the sheet's name; default is the first.

    Raises:
        UsageError: the reader is not installed, the file is damaged, there is no such sheet, or it is empty.
    """
    new = content.startswith(_XLSX)
    try:
        check_zip(content, 2 * TABLE_BYTES)
    except UnsafeFileError as error:
        raise UsageError(f"{path} {error}: save the table as CSV") from error
    reader = _reader("openpyxl" if new else "xlrd", path)
    own_errors = () if new else (reader.XLRDError, import_module("xlrd.compdoc").CompDocError)
    try:
        sheets: dict[str, list[Any]] = dict(_new(reader, content) if new else _old(reader, content))
        name = sheet or next(iter(sheets), "")
        rows = [[_text(cell) for cell in row] for row in sheets.get(name, ())]
        others = [other for other, cells in sheets.items() if other != name and any(map(any, cells))]
    except (*_DAMAGE, *own_errors) as error:
        raise UsageError(f"{path} is a damaged Excel file ({error}): save the table as CSV") from error
    if name not in sheets:
        raise UsageError(f"{path} has no sheet {sheet!r}: it has {', '.join(sheets)}")
    width = next((len(row) for row in rows if any(row)), 0)
    if not width:
        raise UsageError(
            f"the {'sheet ' + sheet if sheet else 'first sheet'} of {path} is empty: expected a table with a header"
        )
    rows = [_as_wide(row, width) for row in rows]
    if sheet or not others:
        return rows, ()
    warning = (
        f"{path.name} has several sheets: {name} was read, not {', '.join(others)} (select another with "
        f"{path.name}#{others[0]})"
    )
    return rows, (warning,)


def _as_wide(row: list[str], width: int) -> list[str]:
    """The row filled up to a width, or without the empty cells beyond it."""
    n_used = max((i + 1 for i, cell in enumerate(row) if cell), default=0)
    return row[: max(n_used, width)] + [""] * (width - len(row))


def _reader(name: str, path: Path) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(
            f'{path} is an Excel file, which needs {name}: pip install "prima-features[tables]", '
            "or save the table as CSV"
        ) from error


def _new(openpyxl: Any, content: bytes) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # what the file states of its size, and some programs state too little
        yield sheet.title, list(_bounded(sheet.iter_rows(values_only=True)))


def _bounded(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows as long as they are few: one cell at the end of a sheet makes billions of empty ones."""
    count = 0
    for number, row in enumerate(rows):
        # Rows without cells are made as well: as many as the number of the next one says.
        if (count := count + len(row)) > _MOST_CELLS or number >= _MOST_ROWS:
            raise ValueError(f"more than {_MOST_CELLS} cells or {_MOST_ROWS} rows")
        yield row


def _old(xlrd: Any, content: bytes) -> Iterator[tuple[str, list[list[Any]]]]:
    book = xlrd.open_workbook(file_contents=content, logfile=io.StringIO())
    for sheet in book.sheets():
        yield (
            sheet.name,
            [[_old_cell(xlrd, book, cell) for cell in sheet.row(row)] for row in range(sheet.nrows)],
        )


def _old_cell(xlrd: Any, book: Any, cell: Any) -> Any:
    if cell.ctype == xlrd.XL_CELL_DATE:
        return xlrd.xldate_as_datetime(cell.value, book.datemode)
    if cell.ctype == xlrd.XL_CELL_BOOLEAN:
        return bool(cell.value)
    return "" if cell.ctype == xlrd.XL_CELL_ERROR else cell.value


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime) and cell.time() == datetime.min.time():
        return cell.date().isoformat()
    return cell.isoformat() if isinstance(cell, date) else str(cell).strip()
