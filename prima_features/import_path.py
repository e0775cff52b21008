"""What processes of this package may import: no code from the current folder, which may be one of scans.

Only modules that every Python process has loaded already are imported here: until the path is set right, any other
could be taken from the current folder.
"""

import os
import sys


def safe_path() -> list[str]:
    """The entries of `sys.path` that this process, and those started from here, may import from.

    The empty entry and the current folder are left out: Python puts them first for `python -m` and `python -c` and for
    an empty entry of PYTHONPATH, and a `numpy.py` in a folder of scans would be run. A current folder that PYTHONPATH
    names by its name stays.
    """
    named = {_real(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    here = _real(os.curdir)
    return [entry for entry in sys.path if entry and (_real(entry) != here or here in named)]


def is_command() -> bool:
    """Whether this process is `python -m prima_features...` or `prima`, and not somebody's own script."""
    script = (getattr(sys, "argv", None) or [""])[0]
    # While Python imports the package for `-m`, the arguments begin so.
    return script == "-m" or os.path.basename(script).partition(".")[0] == "prima"  # noqa: PTH119


def _real(path: str) -> str:
    try:
        return os.path.realpath(path)  # not pathlib: see above
    except OSError:  # the current folder was deleted
        return path
