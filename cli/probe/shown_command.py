"""The command as it is kept with results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path


def shown_command(arguments: Sequence[str]) -> str:
    """The command line with the folders of its paths left out: those can carry names, and results are shared."""
    return shlex.join(["prima", *(Path(text).name if "/" in text else text for text in arguments)])
