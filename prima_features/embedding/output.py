"""What an output may be, checked before any work is done, and what its page is called."""

from __future__ import annotations

import os
from pathlib import Path

from prima_features.embedding.read import Embeddings
from prima_features.errors import UsageError


def report_path(output: Path) -> Path:
    """`OUTPUT.report.html` beside `OUTPUT.h5`."""
    return output.with_name(output.name.removesuffix(".h5") + ".report.html")


def check_output(output: Path) -> None:
    """Raise `UsageError` where the output cannot be written, before any work is done."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file in it, such as {output / 'embeddings.h5'}")
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} does not exist; create it or name another")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UsageError(f"The folder {output.parent} cannot be written to; choose another for {output.name}")
    if output.exists():
        try:
            Embeddings(output)
        except UsageError as error:
            raise UsageError(f"{output} exists and is not an embeddings file; name another output") from error
