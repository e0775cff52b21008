"""What the commands print: one style for errors, tables and progress."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from prima_features.files.text import printable, shortened
from prima_features.wording import count as count

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prima_features.embedding.run import EmbedSummary
    from prima_features.embedding.work import StudyDone
    from prima_features.studies.study import Failure


class _SafeConsole(Console):
    """A console that escapes what is not printable in the texts it is given, so that no name controls a terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable(text, keep="\n"), **options)


def _console(stream: TextIO | None, stderr: bool) -> Console:
    # In a pipe or a log, tables are as wide as their rows, so that each row is one line.
    width = None if stream is not None and stream.isatty() else 10_000
    return _SafeConsole(stderr=stderr, width=width, highlight=False, emoji=False, soft_wrap=True)


out, err = _console(sys.stdout, stderr=False), _console(sys.stderr, stderr=True)
_MOST_ROWS = 30
_MOST_CHARACTERS = 3000
"""Of a message: names and values of a stranger's file can be of any length."""


def print_error(sentence: str) -> None:
    """`Error: ...` on stderr."""
    err.print(f"[bold red]Error:[/] {escape(shortened(sentence, _MOST_CHARACTERS))}")


def table(*columns: str) -> Table:
    """An empty table in the project's style."""
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def print_failures(failures: Iterable[Failure]) -> None:
    """What was left out and why, on stderr; what a rule leaves out by design is only counted.

    What can be done about it is printed where it first applies: it can be the same for all scans of a cohort.
    """
    everything = list(failures)
    shown = [failure for failure in everything if failure.defect]
    hints = {""}
    for failure in shown[:_MOST_ROWS]:
        where = " ".join(part for part in (failure.study, failure.series) if part) or "source"
        hint = "" if failure.hint in hints else f" ({failure.hint})"
        hints.add(failure.hint)
        reason = shortened(failure.error + hint, _MOST_CHARACTERS)
        err.print(f"[yellow]{escape(shortened(where, _MOST_CHARACTERS))}[/]: {escape(reason)}")
    if len(shown) > _MOST_ROWS:
        err.print(f"... and {len(shown) - _MOST_ROWS} more")
    if by_design := len(everything) - len(shown):
        err.print(f"{by_design} left out by design (see prima inspect)")


def print_failures_of(summaries: Sequence[EmbedSummary]) -> None:
    """What the outputs of one run lack and why, on stderr.

    What is missing in all of them is printed once, and for the rest the output is named.
    """
    if len(summaries) == 1:
        print_failures(summaries[0].failures)
        return
    lacking: dict[Failure, list[str]] = {}
    for summary in summaries:
        for failure in dict.fromkeys(summary.failures):
            lacking.setdefault(failure, []).append(summary.output.name)
    print_failures(
        failure
        if len(outputs) == len(summaries)
        else replace(failure, error=f"{failure.error} [{', '.join(outputs)}]")
        for failure, outputs in lacking.items()
    )


def showing(show: Callable[[int, int, str, str], None], n_outputs: int) -> Callable[[StudyDone], None]:
    """A function that shows the progress of a run with one or more outputs.

    Args:
        show: from `study_progress`.
        n_outputs: number of outputs.
    """
    done: dict[Path, int] = {}

    def shown(study: StudyDone) -> None:
        done[study.output] = study.done
        result = f"{study.n_series} series" if study.n_series else "failed"
        if n_outputs > 1:
            result += f" ({study.output.name})"
        show(sum(done.values()), n_outputs * study.total, study.id, result)

    return shown


def print_summary(summary: EmbedSummary) -> None:
    """One line with the result of a run."""
    if summary.is_empty:
        print_error(f"{summary.output} was not written, because no study could be embedded{summary.because}")
        return
    defects = [failure.study for failure in summary.failures if failure.defect]
    failed, others = len(set(filter(None, defects))), defects.count("")
    kept = f", {summary.n_kept} of them from an earlier run or another process" if summary.n_kept else ""
    items = [
        *([count(failed, "study")] if failed else []),
        *([count(others, "other item")] if others else []),
    ]
    problems = f"; problems in {' and '.join(items)}" if items else ""
    what = str(summary.output)
    if not summary.shard.is_all:
        what = f"Shard {summary.shard} of {what}"
    out.print(
        f"[bold]{escape(what)}[/]: "
        f"{count(summary.n_studies, 'study')} with {summary.n_series} series{kept}{problems}, "
        f"in {summary.seconds:.1f} s"
    )
    print_flags(summary.flags)
    if not summary.shard.is_all:
        out.print(
            f"When all {summary.shard.count} shards are done: prima merge {escape(str(summary.output))}"
        )


def print_flags(flags: Mapping[str, int]) -> None:
    """One line with the number of series that have each flag; nothing if there are none."""
    if flags:
        counts = ", ".join(f"{flag} ({n})" for flag, n in flags.items())
        out.print(f"Flagged series: {escape(counts)}; prima inspect and the HTML report list them")


def print_report(path: Path | None) -> None:
    """Where the page is, if there is one."""
    if path is not None:
        out.print(f"Report: {escape(str(path))}")


def print_caveat(caveat: str) -> None:
    """What must be said with every number of a model, if anything, on stderr."""
    if caveat:
        err.print(f"[yellow]Warning:[/] {escape(caveat)}")


@contextmanager
def study_progress(doing: str, total: int | None = None) -> Iterator[Callable[[int, int, str, str], None]]:
    """A progress bar on a terminal, one plain line per study otherwise.

    Args:
        doing: shown on the bar before the first study.
        total: number of studies, if it is known before.

    Returns:
        A function of the numbers done and in all, the study's name, and what came of it.
    """
    if not err.is_terminal:
        yield lambda done, total, name, result: err.print(f"{done}/{total} {escape(name)}: {result}")
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda done, total, name, result: progress.update(
            task, description=escape(printable(name)), completed=done, total=total
        )


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal, nothing otherwise; yields a function of the numbers done and in all."""
    if not err.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def downloading() -> Iterator[Callable[[str], Callable[[int, int | None], None]]]:
    """A progress bar per file on a terminal, one line when it begins otherwise.

    Yields a function of a file's name, which returns a function of the numbers of bytes done and in all.
    """

    def announce(name: str) -> Callable[[int, int | None], None]:
        err.print(f"downloading {escape(name)}")
        return lambda done, total: None

    if not err.is_terminal:
        yield announce
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err) as progress:

        def start(name: str) -> Callable[[int, int | None], None]:
            task = progress.add_task(escape(name), total=None)
            return lambda done, total: progress.update(task, completed=done, total=total)

        yield start
