"""Which encoders are installed, and loading a model by what its config.json names.

An encoder of another package registers a function in its own metadata, under the entry-point group of `GROUP`:

    [project.entry-points."prima_features.encoders"]
    myencoder = "my_package:load"

The name is the `model_type` in config.json; the function takes a `ModelSource` and returns an `Encoder`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from prima_features.encoders.base import Encoder
from prima_features.errors import UsageError
from prima_features.files.text import printable
from prima_features.models.directory import CONFIG, read_config
from prima_features.models.resolve import ModelSource, resolve

GROUP = "prima_features.encoders"

_BUILT_IN = {"prima": "prima_features.encoders.prima.pretrained:load"}


def installed() -> dict[str, EntryPoint]:
    """The installed encoders by their model types. One of this package is never replaced by another package's."""
    others = {one.name: one for one in entry_points(group=GROUP)}
    return others | {name: EntryPoint(name, value, GROUP) for name, value in _BUILT_IN.items()}


def load_encoder(name: str | Path, revision: str | None = None) -> Encoder:
    """Load a model, whatever encoder it is of.

    Args:
        name: a directory, the name of a bundled model, or a Hub id, the latter also as `OWNER/NAME@REVISION`.
        revision: branch, tag or commit of a Hub id.

    Raises:
        UsageError: there is no such model, it is damaged, or its encoder is not installed.
    """
    return load_from(resolve(name, revision))


def load_from(source: ModelSource) -> Encoder:
    """Load the model of a directory (see `load_encoder`)."""
    model_type = read_config(source.directory)["model_type"]
    known = installed()
    if model_type not in known:
        raise UsageError(
            f"{source.directory / CONFIG} asks for the encoder {printable(model_type)!r}, which is not installed "
            f"(installed: {', '.join(sorted(known))}): install the package that provides it"
        )
    try:
        load = known[model_type].load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The encoder {model_type!r} cannot be imported ({error}): reinstall the package that provides it"
        ) from error
    encoder = load(source)
    if not isinstance(encoder, Encoder):
        raise UsageError(
            f"The package of the encoder {model_type!r} returned a {type(encoder).__name__}, not an Encoder: update it"
        )
    return encoder
