"""The published Prima checkpoint: where it is, and from there to a model directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prima_features.encoders.prima.convert.run import convert
from prima_features.encoders.prima.networks.config import HeadsConfig, PrimaConfig
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import output_errors, sha256
from prima_features.files.targets import Maker, check_folder
from prima_features.models.catalog import drive_file
from prima_features.models.published import published_model

NAME = "prima"
SOURCE = published_model(NAME).source.page
LICENCE = (
    "the repository's LICENSE is the MIT licence and speaks of the software; the weights have no licence statement of "
    "their own"
)
ABOUT_GB = 22
"""Room on the disk for the downloaded files and the model made of them."""


@dataclass(frozen=True)
class PublishedFile:
    """A file that the repository's README links."""

    name: str
    drive_id: str
    what: str


FULL = PublishedFile(
    "primafullmodel107.pt", "119kKMcdk1GPww69IQAf6JkXuNMIEEAIk", "encoders, text tower, heads"
)
TOKENIZER = PublishedFile("vqvae_model_step16799.pth", "11EitVfPVXmdPSJviQQ5ZKasFNbQqD5Bt", "tokenizer")
FILES = (FULL, TOKENIZER)

EARLIER_PRIORITY = (
    "the priority head has four levels, as files published before 19 February 2026 most likely have: on that day the "
    "authors corrected it, and newer files most likely have three; download the file again if it is older"
)


def priority_warning(heads: HeadsConfig | None) -> str:
    """What must be said of a converted checkpoint's priority head; empty if it looks like the corrected one."""
    return EARLIER_PRIORITY if heads is not None and len(heads.priority) == 4 else ""


def download_published(
    output: Path,
    *,
    overwrite: bool = False,
    keep_files: bool = False,
    on_file: Callable[[PublishedFile], Callable[[int, int | None], None]] = lambda file: (
        lambda done, total: None
    ),
    on_checksum: Callable[[PublishedFile, int, str], None] = lambda file, size, checksum: None,
) -> PrimaConfig:
    """Download the published files and convert them.

    The files are kept in `OUTPUT.download` until the model is made, so that an interrupted call continues.

    Args:
        output: the model directory to make.
        overwrite: replace `output` if it contains something.
        keep_files: keep the downloaded files.
        on_file: called before each download; returns a function of the number of bytes done and in all.
        on_checksum: called with each file, its size in bytes and its SHA-256. The authors publish no checksums to
            compare it with.

    Returns:
        The model's configuration.

    Raises:
        UsageError: a file cannot be downloaded or converted, or `output` contains something.
        OutputError: the disk is full or cannot be written to.
    """
    check_folder(output, Maker("prima weights download", option="--overwrite"), overwrite)
    folder = output.with_name(f"{output.name}.download")
    with output_errors(folder):
        folder.mkdir(exist_ok=True)
    for file in FILES:
        path = folder / file.name
        drive_file(file.drive_id, path, on_file(file))
        on_checksum(file, path.stat().st_size, sha256(path))
    try:
        config = convert(folder / FULL.name, folder / TOKENIZER.name, output, overwrite)
    except OutputError:
        raise
    except UsageError as error:
        raise UsageError(
            f"{error}; the downloaded files are kept in {folder}: delete them to download again"
        ) from error
    if not keep_files:
        shutil.rmtree(folder, ignore_errors=True)
    return config
