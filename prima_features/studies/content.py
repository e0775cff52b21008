"""Whether the content of a file is available. Datasets are often cloned without their large files."""

from pathlib import Path

from prima_features.studies.study import Failure, not_embedded

_POINTERS = {
    b"/annex/objects/": "fetch it with `datalad get` or `git annex get`",
    b"version https://git-lfs": "fetch it with `git lfs pull`",
}
"""What a stand-in for a file's content starts with: git-annex's unlocked files, Git LFS."""

_LONGEST_POINTER = 1024

EMPTY = "the file is empty"


def find_absence(path: Path, study: str, what: str) -> Failure | None:
    """Why the file cannot be read: it is missing, empty, a broken link, a stand-in or forbidden; else None."""
    try:
        start, size = b"", path.stat().st_size
        if size == 0:
            return not_embedded(
                study, what, EMPTY, "fetch it again: an empty file is often a failed download", defect=True
            )
        if size <= _LONGEST_POINTER:
            with path.open("rb") as file:
                start = file.read(32)
    except FileNotFoundError:
        if not path.is_symlink():
            return not_embedded(study, what, "the file does not exist", defect=True)
        reason = "its content has not been fetched: the file is a broken link"
        return not_embedded(study, what, reason, _POINTERS[b"/annex/objects/"], defect=True)
    except OSError as error:
        return not_embedded(
            study, what, f"it cannot be read: {error.strerror or 'input/output error'}", defect=True
        )
    for prefix, hint in _POINTERS.items():
        if start.startswith(prefix):
            reason = "its content has not been fetched: the file is a placeholder"
            return not_embedded(study, what, reason, hint, defect=True)
    return None
