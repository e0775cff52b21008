"""Refusing names that there are not."""

from __future__ import annotations

from collections.abc import Collection


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Raise ValueError where a name is none of the known ones.

    Args:
        what: it names, for the message.
    """
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, not {name!r}")
