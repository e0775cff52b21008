"""What is written beside a complete output: `OUTPUT.run.json` and `OUTPUT.report.html`.

The output does not need them. What goes wrong here is one warning, and never a lost run.
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
    """Write the run file and the page of an output.

    Args:
        runs: records of all runs that made it.
        failures: what is not in it.
        parts: folders of parts with its pictures.
        earlier: files whose pages have pictures of it.
        report: write the page as well.
        pictures: show pictures in it.

    Returns:
        the page's path, where it was written.
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
    """Whether an output that is there lacks what should be beside it, or has that of an earlier version."""
    wanted = [run_path(output), *([report_path(output)] if report else [])]
    made = output.stat().st_mtime_ns
    return any(not path.exists() or path.stat().st_mtime_ns < made for path in wanted)
