"""Options that take several values, separated by spaces, commas or repeats alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup


def split_values(values: Iterable[str] | None) -> tuple[str, ...]:
    """`["01,02", "03"]` to `("01", "02", "03")`."""
    return tuple(item for value in values or () for item in value.split(",") if item)


def spread(arguments: Sequence[str], command: TyperCommand | TyperGroup) -> list[str]:
    """Repeat each option that takes several values before each of them, as Click wants it.

    `--participant-label 01 02` becomes `--participant-label 01 --participant-label 02`. Values run up to the
    next option; where no positional argument would be left then, the last ones are taken for those:
    `--participant-label 01 02 SOURCE OUTPUT` works as well.
    """
    options = {
        name: option
        for option in command.params
        if option.param_type_name == "option"
        for name in (*option.opts, *option.secondary_opts)
    }
    n_arguments = sum(option.param_type_name == "argument" for option in command.params)
    pieces: list[tuple[str, list[str]]] = []  # (option taking several values, or "") and its tokens
    n_positional = 0
    rest = list(arguments)
    while rest:
        token = rest.pop(0)
        option = options.get(token)
        if token == "--":
            pieces.append(("", [token, *rest]))
            break
        if option is not None and option.multiple:
            n_values = next((i for i, text in enumerate(rest) if text.startswith("-")), len(rest))
            pieces.append((token, rest[:n_values]))
        else:
            n_values = 0 if option is None or option.is_flag else 1  # type: ignore[attr-defined]
            pieces.append(("", [token, *rest[:n_values]]))
            n_positional += option is None and not token.startswith("-")
        del rest[:n_values]

    last = next((values for name, values in reversed(pieces) if name), [])
    if n_positional == 0 and len(last) > n_arguments:
        pieces.append(("", last[-n_arguments:]))
        del last[-n_arguments:]
    return [text for name, values in pieces for text in _repeated(name, values)]


def _repeated(name: str, values: list[str]) -> list[str]:
    if not name:
        return values
    return [text for value in values for text in (name, value)] or [name]
