"""From the published checkpoint files to a model directory, without unpickling and in constant memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from prima_features import model_cards
from prima_features.encoders.prima.convert.full_model import FullModel, full_model
from prima_features.encoders.prima.convert.tokenizer import tokenizer as vqvae
from prima_features.encoders.prima.model_config import network_shapes, write_config
from prima_features.encoders.prima.networks.config import PrimaConfig
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.files.new_directory import new_directory
from prima_features.files.targets import Maker, as_inputs, check_folder
from prima_features.files.text import printable
from prima_features.models import directory
from prima_features.models.checkpoint.records import CheckpointError
from prima_features.models.checkpoint.safetensors_file import write_safetensors
from prima_features.models.checkpoint.stored_tensor import StoredTensor
from prima_features.models.checkpoint.torch_archive import TorchArchive
from prima_features.models.loading import difference

log = logging.getLogger(__name__)


class _Source(NamedTuple):
    """A tensor and the archive it lies in."""

    archive: TorchArchive
    tensor: StoredTensor


def convert(full: Path, tokenizer: Path, output: Path, overwrite: bool = False) -> PrimaConfig:
    """Make a model directory from the published files (docs/model.md, section 8).

    No class or function that a file names is imported or called. Tensors go from file to file in pieces of a
    few MB, in the number type they are stored in.

    Args:
        full: the whole pickled model, e.g. primafullmodel107.pt.
        tokenizer: the VQ-VAE's state dict, e.g. vqvae_model_step16799.pth.
        output: the directory to make; it appears complete or not at all.
        overwrite: replace `output` if it is there.

    Returns:
        The model's configuration, sizes as read from the files.

    Raises:
        UsageError: a file is missing, damaged or of another kind, the two do not fit together, or `output`
            holds something.
        OutputError: the directory could not be written.
    """
    maker = Maker("prima weights convert", as_inputs(full, tokenizer), option="--overwrite")
    check_folder(output, maker, overwrite)
    with TorchArchive(full) as full_archive, TorchArchive(tokenizer) as tokenizer_archive:
        with _naming(full):
            model = full_model(full_archive.root)
        with _naming(tokenizer):
            tokenizer_config, tokenizer_tensors = vqvae(tokenizer_archive.root)
        sources = {name: _Source(full_archive, tensor) for name, tensor in model.encoder_tensors.items()}
        for name, tensor in tokenizer_tensors.items():
            sources[f"tokenizer.{name}"] = _Source(tokenizer_archive, tensor)
        try:
            config = model.config(tokenizer_config)
            expected = network_shapes(config)
        except ValueError as error:
            raise UsageError(f"{full.name} and {tokenizer.name} do not match: {error}") from error
        if problem := difference(expected, {name: source.tensor.shape for name, source in sources.items()}):
            raise UsageError(f"{full.name} and {tokenizer.name} do not contain Prima's tensors ({problem})")
        files = {directory.MODEL: sources} | _extra_files(model, full_archive)
        with new_directory(output, overwrite, maker) as made:
            _write(made, config, files, {full: sha256(full), tokenizer: sha256(tokenizer)})
    return config


def _extra_files(model: FullModel, archive: TorchArchive) -> dict[str, dict[str, _Source]]:
    parts = {directory.TEXT: model.text_tensors, directory.HEADS: model.heads_tensors}
    return {
        file: {name: _Source(archive, tensor) for name, tensor in tensors.items()}
        for file, tensors in parts.items()
        if tensors
    }


def _write(
    made: Path,
    config: PrimaConfig,
    files: Mapping[str, Mapping[str, _Source]],
    origins: Mapping[Path, str],
) -> None:
    metadata = {"format": "pt"} | {
        f"sha256 of {printable(path.name)}": digest for path, digest in origins.items()
    }
    for file, sources in files.items():
        log.info("writing %d tensors to %s", len(sources), file)
        tensors = {name: source.tensor for name, source in sources.items()}
        write_safetensors(made / file, tensors, _reader(sources), metadata)
    write_config(made, config)
    (made / directory.CARD).write_text(_card(origins), encoding="utf-8")
    directory.write_checksums(made)


def _reader(sources: Mapping[str, _Source]) -> Callable[[str], Iterator[bytes]]:
    def chunks(name: str) -> Iterator[bytes]:
        archive, tensor = sources[name]
        with _naming(archive.path):
            yield from archive.chunks(tensor)

    return chunks


def _card(origins: Mapping[Path, str]) -> str:
    rows = "".join(f"| {printable(path.name)} | `{digest}` |\n" for path, digest in origins.items())
    return f"{model_cards.card('prima')}\n## Converted from\n\n| file | SHA-256 |\n|---|---|\n{rows}"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name in front of what is wrong with it."""
    try:
        yield
    except CheckpointError as error:
        raise UsageError(f"{path} {error}") from error
