"""What the commands print: one style for errors, tables and progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from prima_features.embedding.records import Failure
    from prima_features.embedding.run import StudyDone

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
_MOST_ROWS = 30


def print_error(sentence: str) -> None:
    """`Error: ...` on stderr."""
    err.print(f"[bold red]Error:[/] {escape(sentence)}")


def table(*columns: str) -> Table:
    """An empty table in the project's style."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def print_failures(failures: Iterable[Failure], only_defects: bool = True) -> None:
    """What was left out and why, on stderr; what a rule leaves out by design is only counted."""
    everything = list(failures)
    shown = [failure for failure in everything if failure.defect or not only_defects]
    for failure in shown[:_MOST_ROWS]:
        where = " ".join(part for part in (failure.study, failure.series) if part) or "source"
        hint = f" ({failure.hint})" if failure.hint else ""
        err.print(f"[yellow]{escape(where)}[/]: {escape(failure.error + hint)}")
    if len(shown) > _MOST_ROWS:
        err.print(f"... and {len(shown) - _MOST_ROWS} more")
    if by_design := len(everything) - len(shown):
        err.print(f"{by_design} left out by design (see prima inspect)")
