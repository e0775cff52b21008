"""The model that clinical outputs are computed with must be the one that made the embeddings."""

from __future__ import annotations

from pathlib import Path

from prima_features.embedding.file.read import Embeddings
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.models import directory
from prima_features.models.resolve import ModelSource, resolve


def model_of(file: Embeddings, name: str | Path, part: str, what: str) -> ModelSource:
    """Find a model and check that the embeddings of a file were made with its encoder.

    Args:
        file: the embeddings file.
        name: bundled name, model directory, or Hub id with optional @REVISION.
        part: a file of the model directory that is needed, such as heads.safetensors.
        what: that part, in messages.

    Raises:
        UsageError: there is no such model, it lacks the part, or it is another model than the file's.
    """
    source = resolve(name, files=(directory.CONFIG, directory.MODEL))
    if not (source.directory / part).is_file():
        raise UsageError(
            f"the model {source.name} has no {what} ({part}): choose a model that has this file (--model)"
        )
    stored = str(file.attributes["model_sha256"])
    if stored != (found := sha256(source.directory / directory.MODEL)):
        raise UsageError(
            f"{file.path} was made with other weights than those of {source.name}: the file's model is "
            f"{file.attributes['model']} with SHA-256 {stored[:12] or 'not recorded'}, not {found[:12]}; "
            "give the file's model with --model, or embed again"
        )
    return source
