"""Options that take several values, separated by spaces, commas or repeats alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from prima_features.errors import UsageError

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup


def split_values(values: Iterable[str] | None, option: str = "") -> tuple[str, ...]:
    """`["01,02", "03"]` to `("01", "02", "03")`, and None to none.

    Args:
        values: as given on the command line.
        option: its name, for the error message.

    Raises:
        UsageError: one of the values is empty, as an unset shell variable makes it. It is not taken for "no selection".
    """
    items = [item.strip() for value in values or () for item in value.split(",")]
    if "" in items:
        raise UsageError(
            f"{option or 'An option'} has an empty value: give one (an unset shell variable?) or leave the option out"
        )
    return tuple(items)


def check_no_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument or option value, which `Path` would take for the current folder.

    Raises:
        UsageError: one is empty or blank.
    """
    before = ""
    for text in arguments:
        name, equals, value = text.partition("=")
        if not text.startswith("--") or not equals:
            name, value = before, text
        if not value.strip():
            if name.startswith("-"):
                raise UsageError(
                    f"{name} has an empty value: give one (an unset shell variable?) or leave the option out"
                )
            where = f"The argument after {name}" if name else "The first argument"
            raise UsageError(f"{where} is empty: give a value (an unset shell variable?)")
        before = text


def spread(arguments: Sequence[str], command: TyperCommand | TyperGroup) -> list[str]:
    """Repeat each option that takes several values before each of them, as Click wants it.

    `--participant-label 01 02` becomes `--participant-label 01 --participant-label 02`. Values run up to the
    next option; where no positional argument would be left then, the last ones are taken for those:
    `--participant-label 01 02 SOURCE OUTPUT` works as well.

    Raises:
        UsageError: such an option has no value and another option follows, which would be taken for the value.
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
            if rest and not n_values:
                raise UsageError(
                    f"{token} has no value: give one (an unset shell variable?) or leave the option out"
                )
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
