"""From the published file of an encoder that only knows series to a model directory, without unpickling."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prima_features import model_cards
from prima_features.encoders.registry import series_architecture
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.files.new_directory import new_directory
from prima_features.files.safe import load_json, load_yaml, read_text
from prima_features.files.targets import Maker, as_inputs, check_folder
from prima_features.files.text import printable
from prima_features.models import directory
from prima_features.models.checkpoint.published_file import PublishedFile
from prima_features.models.checkpoint.records import CheckpointError
from prima_features.models.checkpoint.safetensors_file import write_safetensors
from prima_features.models.checkpoint.stored_tensor import StoredTensor
from prima_features.models.loading import Shapes, difference, hollow
from prima_features.models.published import PublishedModel, published_model

log = logging.getLogger(__name__)


def convert(file: Path, name: str, output: Path, overwrite: bool = False) -> None:
    """Make a model directory from a published file.

    Tensors keep their numbers and number types; names change to those of this package's network. Names and shapes must
    agree with the network in full. The authors' configuration, such as `config.json` next to the file, is read if it is
    there (`SeriesArchitecture.published_configs`).

    Args:
        file: safetensors, or as `torch.save` writes it.
        name: of a published model (see `models.published`).
        output: the directory to make; it appears complete or not at all.
        overwrite: replace `output` if it contains something.

    Raises:
        UsageError: the file is missing, damaged or of another kind, or `output` contains something.
        OutputError: the directory could not be written.
    """
    model = published_model(name)
    architecture = series_architecture(model.model_type)
    if architecture.sizes is None:
        raise UsageError(f"{name} is in the package and has no published file: use it with --model {name}")
    beside = [file.parent / one for one in architecture.published_configs]
    maker = Maker("prima weights convert", as_inputs([file, *beside]), option="--overwrite")
    check_folder(output, maker, overwrite)
    with PublishedFile(file) as published, _naming(file):
        stored = published.tensors(architecture.containers)
        tensors = _renamed(stored, architecture.rename)
        shapes = {name: tensor.shape for name, tensor in tensors.items()}
        config = _sizes(architecture.sizes, shapes, _published_config(beside), model, file)
        expected = hollow(lambda: architecture.network(config)).state_dict()
        if problem := difference({name: tuple(tensor.shape) for name, tensor in expected.items()}, shapes):
            raise UsageError(f"{file} does not contain the tensors of {model.title} ({problem})")
        log.info("writing %d of %d tensors", len(tensors), len(stored))
        checksum = sha256(file)
        with new_directory(output, overwrite, maker) as made:
            metadata = {"format": "pt", f"sha256 of {printable(file.name)}": checksum}
            write_safetensors(
                made / directory.MODEL, tensors, lambda name: published.chunks(tensors[name]), metadata
            )
            values = {
                "model_type": model.model_type,
                "format_version": 1,
                "published": model.name,
                "preprocessing": architecture.preprocessing,
                "network": asdict(config),
                "source": {"file": printable(file.name), "sha256": checksum},
            }
            directory.write_config(made, values)
            (made / directory.CARD).write_text(_card(model, file, checksum), encoding="utf-8")
            directory.write_checksums(made)


def _renamed(
    stored: Mapping[str, StoredTensor], rename: Callable[[str], str | None]
) -> dict[str, StoredTensor]:
    """The tensors that the network has, by its names.

    Raises:
        CheckpointError: two would have one name.
    """
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        new = rename(name)
        if new is None:
            continue
        if new in tensors:
            raise CheckpointError(f"contains two tensors for {new}, such as {printable(name)}")
        tensors[new] = tensor
    return tensors


def _sizes(
    sizes: Callable[[Shapes, Mapping[str, Any], Mapping[str, Any]], Any],
    shapes: Shapes,
    config: Mapping[str, Any],
    model: PublishedModel,
    file: Path,
) -> Any:
    try:
        return sizes(shapes, config, model.settings)
    except KeyError as error:
        raise UsageError(
            f"{file} does not contain the tensors of {model.title} (missing: {error.args[0]}): give the published file"
        ) from error
    except (ValueError, TypeError, IndexError, AttributeError, ArithmeticError) as error:
        raise UsageError(f"{file} does not have the sizes of {model.title}: {error}") from error


def _published_config(paths: Sequence[Path]) -> dict[str, Any]:
    """The configuration of the authors, in JSON or YAML: the first file that is there; empty if none is.

    Raises:
        UsageError: it cannot be read.
    """
    path = next(filter(Path.is_file, paths), None)
    if path is None:
        return {}
    try:
        values = (load_yaml if path.suffix == ".yaml" else load_json)(read_text(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error}): download it again, or remove it") from error
    return values if isinstance(values, dict) else {}


def _card(model: PublishedModel, file: Path, checksum: str) -> str:
    text = (
        model_cards.card(model.model_type)
        if model.model_type in model_cards.names()
        else f"# {model.title}\n"
    )
    return f"{text}\n## Converted from\n\n| file | SHA-256 |\n|---|---|\n| {printable(file.name)} | `{checksum}` |\n"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name in front of what is wrong with it."""
    try:
        yield
    except CheckpointError as error:
        raise UsageError(f"{path} {error}") from error
