"""Models inside the package, one folder each: usable without internet."""

from pathlib import Path

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Names of the models in the package."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/config.json"))


def path(name: str) -> Path:
    """The directory of a bundled model.

    Raises:
        KeyError: there is no such model.
    """
    if name not in names():
        raise KeyError(f"no bundled model {name!r}; available: {', '.join(names())}")
    return _FOLDER / name
