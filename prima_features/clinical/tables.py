"""Tables of clinical outputs, tab-separated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prima_features.files.text import to_cell

if TYPE_CHECKING:
    import pandas as pd


def table_bytes(table: pd.DataFrame, caveat: str = "") -> bytes:
    """A table as TSV, in which no text is run by a spreadsheet.

    Args:
        table: any columns; float32 numbers are written in the digits that give the same float32 back.
        caveat: what must be said with every number; repeated in a column `caveat` unless it is empty.
    """
    texts = table.select_dtypes(include=["object", "string"])
    table = table.assign(**{str(name): texts[name].map(to_cell) for name in texts})
    table = table.rename(columns={name: to_cell(str(name)) for name in table})
    if caveat:
        table = table.assign(caveat=to_cell(caveat))
    return bytes(table.to_csv(sep="\t", index=False, lineterminator="\n").encode())
