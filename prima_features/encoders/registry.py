"""The installed encoders, and loading and verifying the models that their config.json names.

An encoder of another package registers a function in its own metadata, under the entry-point group of `GROUP`:

    [project.entry-points."prima_features.encoders"]
    myencoder = "my_package:load"

The name is the `model_type` in config.json; the function takes a `ModelSource` and returns an `Encoder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from prima_features.encoders.base import Encoder
from prima_features.encoders.checks import checked_info, encoder_code, first_line
from prima_features.errors import UsageError
from prima_features.files.text import printable
from prima_features.models.directory import CHECKSUMS, CONFIG, CheckedFile, check_files, read_config
from prima_features.models.resolve import ModelSource, resolve

if TYPE_CHECKING:
    from prima_features.encoders.series_encoder import SeriesArchitecture

GROUP = "prima_features.encoders"

_SERIES: dict[str, str] = {
    "acquisition": "prima_features.encoders.baselines.weights:ACQUISITION_MODEL",
    "brainiac": "prima_features.encoders.brainiac.weights:ARCHITECTURE",
    "dinov2-slices": "prima_features.encoders.dino_slices.weights:DINOV2",
    "dinov3-slices": "prima_features.encoders.dino_slices.weights:DINOV3",
    "dinov3d-neuro": "prima_features.encoders.dinov3d_neuro.weights:ARCHITECTURE",
    "intensity": "prima_features.encoders.baselines.weights:INTENSITY_MODEL",
    "neurovfm": "prima_features.encoders.neurovfm.weights:ARCHITECTURE",
    "neurojepa": "prima_features.encoders.neurojepa.weights:ARCHITECTURE",
    "openmind-resencl": "prima_features.encoders.openmind_resencl.weights:ARCHITECTURE",
    "simclr3d": "prima_features.encoders.simclr3d.weights:ARCHITECTURE",
}
"""Where the `SeriesArchitecture` of each encoder of series is."""
_BUILT_IN = {"prima": "prima_features.encoders.prima.pretrained:load"} | {
    name: f"{where}.load" for name, where in _SERIES.items()
}


def installed() -> dict[str, list[EntryPoint]]:
    """The installed encoders by their model types: one each, unless several packages use the same name.

    An encoder of this package is never replaced by another package's.
    """
    found: dict[str, list[EntryPoint]] = {}
    for one in entry_points(group=GROUP):
        found.setdefault(one.name, []).append(one)
    return found | {name: [EntryPoint(name, value, GROUP)] for name, value in _BUILT_IN.items()}


def series_architecture(model_type: str) -> SeriesArchitecture[Any]:
    """How an encoder of this package that only knows series is built and converted.

    Raises:
        UsageError: there is no such encoder.
    """
    if model_type not in _SERIES:
        raise UsageError(
            f"this release cannot convert files of the encoder {model_type} yet: it converts those of "
            f"{', '.join(sorted(_SERIES))}"
        )
    return cast("SeriesArchitecture[Any]", EntryPoint(model_type, _SERIES[model_type], GROUP).load())


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
    load = _registered(source, model_type)
    if model_type in _BUILT_IN:
        return cast(Encoder, load(source))
    with encoder_code(model_type, f"load {source.directory}"):
        encoder = load(source)
    if not isinstance(encoder, Encoder):
        raise UsageError(
            f"The package of the encoder {model_type!r} returned an object of type {type(encoder).__name__}, not an "
            "Encoder: update it"
        )
    checked_info(encoder)
    return encoder


def with_options(encoder: Encoder, options: Mapping[str, str]) -> Encoder:
    """`Encoder.with_options`, checked.

    Raises:
        UsageError: the encoder has no such option or value, or its package fails.
    """
    name = encoder.info.encoder
    with encoder_code(name, f"be given the options {', '.join(sorted(options)) or '(none)'}"):
        changed = encoder.with_options(options)
    if not isinstance(changed, Encoder):
        raise UsageError(
            f"The encoder {printable(name)!r} returned an object of type {type(changed).__name__} for its options, not "
            "an Encoder: update the package that provides it"
        )
    return changed


def _registered(source: ModelSource, model_type: str) -> Callable[[ModelSource], object]:
    """The function that loads models of a type.

    Raises:
        UsageError: no package or several packages provide it, or it cannot be imported.
    """
    known = installed()
    if model_type not in known:
        raise UsageError(
            f"{source.directory / CONFIG} asks for the encoder {printable(model_type)!r}, which is not installed "
            f"(installed: {', '.join(sorted(known))}): install the package that provides it"
        )
    if len(known[model_type]) > 1:
        packages = ", ".join(sorted(one.dist.name if one.dist else one.value for one in known[model_type]))
        raise UsageError(
            f"Several packages provide the encoder {model_type!r} ({packages}): uninstall all but one"
        )
    try:
        return known[model_type][0].load()
    except (Exception, SystemExit) as error:  # importing runs a stranger's code, which can raise anything
        raise UsageError(
            f"The encoder {model_type!r} cannot be imported ({first_line(error)}): reinstall the package that "
            "provides it"
        ) from error


def verify(directory: Path) -> tuple[list[CheckedFile], list[str]]:
    """Check a model directory: `check_files`, then load every part.

    Returns:
        The files, and what was loaded, in words.

    Raises:
        UsageError: a file is missing, is not as recorded, or does not load.
    """
    checked = check_files(directory)
    if bad := [file.name for file in checked if not file.ok]:
        raise UsageError(
            f"the content of {', '.join(bad)} in {directory} does not match {CHECKSUMS}: download the model again"
        )
    return checked, load_encoder(directory).check_parts()
