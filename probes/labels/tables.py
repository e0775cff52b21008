"""A label table as a DataFrame of text: nothing is guessed about any cell here."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.errors import UsageError
from prima_features.files import tables
from prima_features.files.text import from_cell
from prima_features.probes.labels.values import tidy

if TYPE_CHECKING:
    import pandas as pd

WARNINGS = "prima_warnings"
"""Key of `DataFrame.attrs`: sentences on how the table was read."""


def read_table(path: Path) -> pd.DataFrame:
    """A table that `files.tables` reads; every cell and header is a string (see `values.tidy`).

    `attrs` has warnings under `WARNINGS`.

    Raises:
        UsageError: the file cannot be read as a table, has no rows, or has two columns of the same name.
    """
    import pandas as pd

    table = tables.read_table(path, "the label table")
    header = [_tidy(name) for name in table.header]
    twice = [name for name, times in Counter(header).items() if name and times > 1]
    if twice:
        raise UsageError(f"{path} has more than one column {twice[0]!r}: rename or remove one of them")
    if not table.rows:
        raise UsageError(f"the label table {path} has a header and no rows")
    cells = [[from_cell(_tidy(cell)) for cell in row] for row in table.rows]
    frame = pd.DataFrame(cells, columns=header, dtype=object).drop(columns="", errors="ignore")
    frame.attrs[WARNINGS] = table.warnings
    return frame


def _tidy(cell: str) -> str:
    return tidy(cell.replace("\0", ""))
