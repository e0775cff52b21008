"""Several models in one run: their names, options and outputs."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from prima_features.encoders.base import Encoder
from prima_features.encoders.checks import checked_info
from prima_features.encoders.registry import load_encoder, with_options
from prima_features.errors import UnknownOptionError, UsageError
from prima_features.files.paths import expanded, is_folder
from prima_features.models.resolve import is_on_hub

_NAME = re.compile(r"[\w+-][\w.+-]*")
_SAFE = re.compile(r'[^:;<>"|?*\\]+')
"""Names of directories: what file systems do not accept, and what separates options, is left out."""


def load_models(output: Path, models: Sequence[str], options: Mapping[str, str]) -> dict[Path, Encoder]:
    """Load the models of one run.

    A model is called by its bundled name, or by the last part of its directory or Hub id. A single model without a name
    of its own writes `output`; otherwise the model A writes `OUTPUT.A.h5` for `OUTPUT.h5`.

    Args:
        output: the file that is asked for.
        models: each a bundled name, a directory, or a Hub id with optional @REVISION; or NAME=MODEL to call it NAME.
        options: values of the models' own options (`Encoder.with_options`) by name. An option is set in each model that
            has it; A:NAME sets the option NAME of the model A alone.

    Returns:
        The model of each output.

    Raises:
        UsageError: a model cannot be loaded, two have the same name, a name cannot be part of a file's name, or an
            option is unknown.
    """
    encoders: dict[str, Encoder] = {}
    known: dict[str, str] = {}
    is_plain = len(models) == 1
    for text in models:
        name, model = _split(text)
        is_plain = is_plain and not name
        encoder = load_encoder(model)
        name = name or checked_info(encoder).name.rpartition("/")[-1]
        if not is_plain and not (name.isprintable() and _SAFE.fullmatch(name)):
            raise UsageError(
                f"The model {model!r} cannot name its output after itself, because of a colon, line break or similar "
                f"character: give it a name, such as --model {shlex.quote(f'NAME={model}')}"
            )
        key = unicodedata.normalize("NFC", name).casefold()  # as file systems compare names
        if key in known:
            raise UsageError(
                f"The models {known[key]} and {model} are both called {name}: name one of them, such as "
                f"--model {shlex.quote(f'{name}2={model}')}"
            )
        known[key], encoders[name] = model, encoder
    encoders = _with_options(encoders, options)
    stem = output.name.removesuffix(".h5")
    return {
        output if is_plain else output.with_name(f"{stem}.{name}.h5"): encoder
        for name, encoder in encoders.items()
    }


def check_models(output: Path, models: Sequence[str], options: Mapping[str, str]) -> None:
    """Check what `load_models` gets, without asking the Hub: if one of the models is there, only the names.

    Raises:
        UsageError: as `load_models`.
    """
    on_hub = [text for text in models if is_on_hub(_split(text)[1])]
    if not on_hub:
        load_models(output, models, options)


def _split(text: str) -> tuple[str, str]:
    """NAME and MODEL of `NAME=MODEL`; the name is empty if there is none.

    Raises:
        UsageError: the name cannot be part of a file's name.
    """
    name, equals, model = text.partition("=")
    if not equals or "/" in name or is_folder(expanded(Path(text))):
        return "", text
    if not _NAME.fullmatch(name) or not model:
        raise UsageError(
            f"--model {text} is not of the form NAME=MODEL: the name becomes part of the output's name, so use "
            "letters, digits, hyphens, dots and underscores"
        )
    return name, model


def _with_options(encoders: Mapping[str, Encoder], options: Mapping[str, str]) -> dict[str, Encoder]:
    """The models with their options.

    Raises:
        UsageError: no model has an option, or a model does not accept its value.
    """
    chosen: dict[str, dict[str, str]] = {name: {} for name in encoders}
    for option, value in options.items():
        if ":" not in option:
            for name in _models_with(encoders, option, value):
                chosen[name][option] = value
    for option, value in options.items():
        model, colon, own = option.rpartition(":")
        if colon and model not in encoders:
            raise UsageError(
                f"--encoder-option {option}={value} is for the model {model}, but the models are called "
                f"{', '.join(encoders)}: correct the name"
            )
        if colon:
            chosen[model][own] = value
    return {name: with_options(encoder, chosen[name]) for name, encoder in encoders.items()}


def _models_with(encoders: Mapping[str, Encoder], option: str, value: str) -> list[str]:
    """Names of the models that have an option.

    Raises:
        UsageError: none has it, or one does not accept the value.
    """
    found, unknown = [], []
    for name, encoder in encoders.items():
        try:
            with_options(encoder, {option: value})
            found.append(name)
        except UnknownOptionError as error:
            unknown.append(error)
    if not found and len(unknown) == 1:
        raise unknown[0]
    if not found:
        raise UsageError(f"None of the models has an option {option}: leave it out")
    return found
