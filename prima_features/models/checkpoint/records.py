"""What a pickle names, kept as inert records: nothing here can be called, and nothing is looked up."""

from __future__ import annotations

from dataclasses import dataclass


class CheckpointError(ValueError):
    """A checkpoint that is damaged or laid out in another way. The message does not name the file."""


@dataclass(frozen=True)
class Global:
    """The name of a class or function; only ever compared."""

    module: str
    name: str


@dataclass(eq=False, slots=True)
class Record:
    """What unpickling would have built by calling `of` with `args` and then setting `state`.

    Compared and hashed by identity, so that a deeply nested one costs nothing.
    """

    of: object
    args: object
    state: object = None


@dataclass(frozen=True)
class PersistentId:
    """A reference to what lies outside the pickle: in a torch archive, a storage."""

    value: object
