"""Walking a folder tree."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path


def walk(root: Path, on_error: Callable[[OSError], None] | None = None) -> Iterator[Path]:
    """Files at and below `root` in the order of their names, a folder's own before those of its subfolders.

    Hidden files and folders are passed over. Links are followed, but never in circles.

    Args:
        root: a folder.
        on_error: called with the error of each folder that cannot be listed.
    """
    seen = set()
    for folder, subfolders, names in os.walk(root, followlinks=True, onerror=on_error):
        real = os.path.realpath(folder)
        if real in seen:
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))
