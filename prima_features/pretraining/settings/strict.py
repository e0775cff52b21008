"""From a TOML table to a frozen dataclass: an unknown key, a wrong type and a contradiction each name their key."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import MISSING, Field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from prima_features.errors import UsageError
from prima_features.files.paths import expanded, is_folder
from prima_features.files.safe import TOML_BYTES, UnsafeFileError, load_toml, read_text

T = TypeVar("T")

PLACE = {"place": True}
"""Metadata of a text field that may name a folder, taken from the settings file's own folder where it is there."""


def read_settings(cls: type[T], path: Path) -> T:
    """Settings from a TOML file; relative paths are taken from its folder.

    Raises:
        UsageError: it cannot be read, is no TOML, or holds a key that is unknown, of a wrong type, missing, or at
            odds with another. The message names the key.
    """
    try:
        table = load_toml(read_text(path, TOML_BYTES))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}): give a settings file") from error
    except UnsafeFileError as error:
        raise UsageError(f"{path} {error}: give a settings file") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    try:
        return from_table(cls, table, path.absolute().parent)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def from_table(
    cls: type[T], table: dict[str, Any], folder: Path, default: T | None = None, where: str = ""
) -> T:
    """A (nested) dataclass from a table.

    Args:
        cls: a dataclass.
        table: as TOML gives it.
        folder: where relative paths start.
        default: what keys that are not given are taken from, before the dataclass's own defaults.
        where: put in front of keys in messages, such as `optimiser.`.

    Raises:
        ValueError: as `read_settings` tells.
    """
    kinds = typing.get_type_hints(cls)
    known = {f.name: f for f in fields(cast(Any, cls))}
    for key in table:
        if key in getattr(cls, "moved", {}) and key not in known:
            raise ValueError(
                f"unknown key {where}{key}: it belongs to the recipe of the bundled model; train with "
                "recipes/prima_synth/train.py of the repository, or leave it out"
            )
        if key not in known:
            raise ValueError(_unknown(where + key, key, list(known)))
    values = {} if default is None else {name: getattr(default, name) for name in known}
    for key, given in table.items():
        inner = values.get(key, known[key].default)
        values[key] = _convert(kinds[key], given, folder, inner, where + key)
        if known[key].metadata.get("place") and values[key] and is_folder(folder / values[key]):
            values[key] = str(folder / values[key])
    try:
        return cls(**values)
    except TypeError as error:
        missing = [name for name in known if name not in values and _is_required(known[name])]
        raise ValueError(f"{where}{missing[0]} is missing: give it") from error
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _unknown(place: str, key: str, known: list[str]) -> str:
    near = get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
    return f"unknown key {place}; {hint}"


def _convert(kind: Any, given: Any, folder: Path, default: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        kind = next(argument for argument in arguments if argument is not type(None))
        return _convert(kind, given, folder, default, where)
    if origin is Literal:
        if given not in arguments:
            raise ValueError(f"{where} is one of {', '.join(map(repr, arguments))}, not {given!r}")
        return given
    if origin is dict:
        return _checked(given, dict, where)
    if origin is tuple:
        return _tuple(arguments, given, folder, where)
    if is_dataclass(kind):
        inner = default if isinstance(default, cast(type, kind)) else None
        return from_table(cast(type, kind), _checked(given, dict, where), folder, inner, f"{where}.")
    if kind is Path:
        return folder / expanded(Path(_checked(given, str, where)))
    if kind is float:
        number = float(_checked(given, (int, float), where))
        if not math.isfinite(number):  # TOML has nan and inf, and no comparison would find nan
            raise ValueError(f"{where} is a finite number, not {number}")
        return number
    return _checked(given, kind, where)


def _tuple(arguments: tuple[Any, ...], given: Any, folder: Path, where: str) -> tuple[Any, ...]:
    items = _checked(given, (list, tuple), where)
    kinds = [arguments[0]] * len(items) if arguments[-1] is Ellipsis else list(arguments)
    if len(kinds) != len(items):
        raise ValueError(f"{where} has {len(kinds)} values, not {len(items)}")
    places = [f"{where}[{i}]" for i in range(len(items))]
    return tuple(
        _convert(kind, item, folder, None, place)
        for kind, item, place in zip(kinds, items, places, strict=True)
    )


_WORDS = {str: "text", int: "a whole number", bool: "true or false", dict: "a table"}


def _checked(given: Any, kind: Any, where: str) -> Any:
    # True is an int to Python, and never what a number was meant to be.
    if isinstance(given, kind) and (kind is bool or not isinstance(given, bool)):
        return given
    word = _WORDS.get(kind, "a list" if kind == (list, tuple) else "a number")
    raise ValueError(f"{where} is {word}, not {given!r}")
