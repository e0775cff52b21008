"""Models inside the package, one folder each: usable without internet."""

from pathlib import Path

_FOLDER = Path(__file__).parent
_CAVEATS = {
    "prima-untrained": "The weights of this model are random and untrained: its numbers mean nothing.",
    "prima-synth": "This model has learnt from made-up brains only: what its numbers say of real ones is not known.",
}


def names() -> list[str]:
    """Names of the models in the package."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/config.json"))


def caveat(name: str) -> str | None:
    """What is to be said with every number of a model; None where it is not one of the package's."""
    return _CAVEATS.get(name)


def path(name: str) -> Path:
    """The directory of a bundled model.

    Raises:
        KeyError: there is no such model.
    """
    if name not in names():
        raise KeyError(f"no bundled model {name!r}; there are {', '.join(names())}")
    return _FOLDER / name
