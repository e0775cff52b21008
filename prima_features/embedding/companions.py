"""The files next to a complete output: `OUTPUT.run.json` and `OUTPUT.report.html`.

The output does not need them: an error here is a warning and never fails a run.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from prima_features.embedding.record.journal import Record
from prima_features.embedding.record.output import report_path
from prima_features.embedding.record.run_file import run_path, write_run_file
from prima_features.errors import PrimaError
from prima_features.studies.study import Failure

logger = logging.getLogger(__name__)


def write_companions(
    output: Path,
    runs: Iterable[Record],
    failures: Sequence[Failure],
    parts: Iterable[Path] = (),
    earlier: Iterable[Path] = (),
    report: bool = True,
    pictures: bool = True,
) -> Path | None:
    """Write the run file and the HTML report of an output.

    Args:
        runs: records of all runs that made it.
        failures: what is missing in it.
        parts: parts folders with its pictures.
        earlier: files whose HTML reports have its pictures.
        report: also write the HTML report.
        pictures: include pictures in it.

    Returns:
        Path of the HTML report; None if it was not written.
    """
    try:
        write_run_file(output, runs, failures)
        if report:
            from prima_features.embedding.report import write_report  # and with it pandas

            return write_report(output, parts, earlier, pictures)
    except Exception as error:
        logger.debug("The report failed", exc_info=error)
        why = str(error) if isinstance(error, PrimaError) else f"unexpected {type(error).__name__}"
        logger.warning("The report was not written, and the embeddings are not affected: %s", why)
    return None


def is_stale(output: Path, report: bool = True) -> bool:
    """Whether the files next to an existing output are missing, or older than the output."""
    wanted = [run_path(output), *([report_path(output)] if report else [])]
    made = output.stat().st_mtime_ns
    return any(not path.exists() or path.stat().st_mtime_ns < made for path in wanted)
