"""From plain containers, as JSON and TOML give them, to a (nested) frozen dataclass; errors name the key.

Own code, and not pydantic: importing it and building the validator of a model's configuration take 0.14 s of processor
time in every command, this 0.001 s. Inner tables that keep the values of an outer default, unknown keys with the
nearest known one, and paths that start at the settings file would need a walk over the types with pydantic, too.
"""

from __future__ import annotations

import math
import types
import typing
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from prima_features.files.paths import expanded, is_folder

T = TypeVar("T")

PLACE = {"place": True}
"""Metadata of a text field that may name a folder; taken from the settings file's own folder if it is there."""
_LONGEST = 60
_WORDS = {str: "text", int: "a whole number", bool: "true or false", dict: "a table"}
_hints = cache(typing.get_type_hints)


def from_plain(
    cls: type[T], values: Any, where: str = "", *, folder: Path | None = None, default: T | None = None
) -> T:
    """A dataclass from plain containers.

    Args:
        cls: the dataclass. Its fields are dataclasses, tuples, dicts, paths, literals, texts, numbers, or None.
        values: a dict by field name.
        where: put in front of keys in messages, such as `optimiser.`.
        folder: of a settings file: where relative paths start. The keys that an inner table does not give keep the
            values of the outer class's default then. None for records, whose tables are complete.
        default: what keys that are not given are taken from, before the dataclass's own defaults.

    Raises:
        ValueError: a key is unknown, missing, of a wrong type, or in contradiction to another. The message names it.
    """
    kinds = _hints(cast(Any, cls))
    known = {f.name: f for f in fields(cast(Any, cls))}
    for key in _checked(values, dict, where.rstrip(".") or "the content"):
        if key not in known:
            raise ValueError(_unknown(cls, where, key, list(known)))
    made = {} if default is None else {name: getattr(default, name) for name in known}
    for key, given in values.items():
        inner = made.get(key, known[key].default) if folder is not None else None
        made[key] = _convert(kinds[key], given, where + key, folder, inner)
        if (
            folder is not None
            and known[key].metadata.get("place")
            and made[key]
            and is_folder(folder / made[key])
        ):
            made[key] = str(folder / made[key])
    for name, field in known.items():
        if name not in made and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"{where}{name} is missing: give it")
    try:
        return cls(**made)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _unknown(cls: type, where: str, key: str, known: list[str]) -> str:
    if key in getattr(cls, "moved", {}):
        return (
            f"unknown key {where}{key}: it belongs to the recipe of the bundled model; train with "
            "recipes/prima_synth/train.py of the repository, or leave it out"
        )
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
    return f"unknown key {where}{key}; {hint}"


def _convert(kind: Any, given: Any, where: str, folder: Path | None, default: Any) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if given is None and type(None) in arguments:
            return None
        kind = next(argument for argument in arguments if argument is not type(None))
        return _convert(kind, given, where, folder, default)
    if origin is Literal:
        if not any(type(given) is type(one) and given == one for one in arguments):  # True equals 1
            raise ValueError(f"{where} is one of {', '.join(map(repr, arguments))}, not {_short(given)}")
        return given
    if origin is tuple:
        items = _checked(given, (list, tuple), where)
        inner = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else list(arguments)
        if len(inner) != len(items):
            raise ValueError(f"{where} has {len(inner)} values, not {len(items)}")
        places = (f"{where}[{i}]" for i in range(len(items)))
        return tuple(
            _convert(one, item, place, folder, None)
            for one, item, place in zip(inner, items, places, strict=False)
        )
    if is_dataclass(kind):
        inherited = default if isinstance(default, cast(type, kind)) else None
        return from_plain(cast(type, kind), given, f"{where}.", folder=folder, default=inherited)
    if kind is Path:
        return (folder or Path()) / expanded(Path(_checked(given, str, where)))
    if kind is float:
        try:
            number = float(_checked(given, (int, float), where))
        except OverflowError:  # of a whole number with hundreds of digits
            number = math.inf
        if not math.isfinite(number):  # TOML has nan and inf, and no comparison would find nan
            raise ValueError(f"{where} is a finite number, not {number}")
        return number
    return _checked(given, origin or kind, where)


def _checked(given: Any, kind: Any, where: str) -> Any:
    # True is an int to Python, and never what a number was meant to be.
    if isinstance(given, kind) and (kind is bool or not isinstance(given, bool)):
        return given
    word = _WORDS.get(kind, "a list" if kind == (list, tuple) else "a number")
    raise ValueError(f"{where} is {word}, not {_short(given)}")


def _short(given: Any) -> str:
    text = repr(given)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
