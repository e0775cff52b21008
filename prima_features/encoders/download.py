"""From the published file of an encoder that only knows series, wherever it is, to a model directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from prima_features.encoders.convert import convert
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import output_errors, sha256
from prima_features.files.targets import Maker, check_folder
from prima_features.models.catalog import fetch_published
from prima_features.models.published import PublishedModel

OnBytes = Callable[[int, int | None], None]


def download(
    model: PublishedModel,
    output: Path,
    *,
    overwrite: bool = False,
    keep_files: bool = False,
    on_file: Callable[[str], OnBytes] = lambda name: lambda done, total: None,
    on_checksum: Callable[[str, int, str], None] = lambda name, size, checksum: None,
) -> None:
    """Download a published file under the user's own account, and convert it.

    The file is kept in `OUTPUT.download` until the model is made, so that an interrupted call continues.

    Args:
        model: with a source on the Hub or at a public address.
        output: the model directory to make.
        overwrite: replace `output` if it contains something.
        keep_files: keep the downloaded file.
        on_file: called before the download; returns a function of the number of bytes done and in all.
        on_checksum: called with the file's name, size in bytes and SHA-256.

    Raises:
        UsageError: the file cannot be downloaded or converted, or `output` contains something.
        OutputError: the disk is full or cannot be written to.
    """
    check_folder(output, Maker("prima weights download", option="--overwrite"), overwrite)
    folder = output.with_name(f"{output.name}.download")
    with output_errors(folder):
        folder.mkdir(exist_ok=True)
    file = fetch_published(model, folder, on_file(model.name))
    on_checksum(file.name, file.stat().st_size, sha256(file))
    try:
        convert(file, model.name, output, overwrite)
    except OutputError:
        raise
    except UsageError as error:
        raise UsageError(
            f"{error}; the downloaded files are kept in {folder}: delete them to download again"
        ) from error
    if not keep_files:
        shutil.rmtree(folder, ignore_errors=True)
