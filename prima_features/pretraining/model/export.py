"""Writes the trained model and its card as a model directory in the folder of the run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from prima_features._version import __version__
from prima_features.encoders.prima.model_config import read_config, write_config
from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.networks.config import HeadsConfig, TextConfig
from prima_features.errors import UsageError
from prima_features.files.new_directory import new_directory
from prima_features.files.paths import utf8_name
from prima_features.files.targets import check_name, same_file, starts_with
from prima_features.models import directory
from prima_features.pretraining.data.reports import ReportVocabulary
from prima_features.pretraining.settings import Training
from prima_features.pretraining.settings.common import CACHE, CHECKPOINTS, TRAINING, VOCABULARY

_FILES = (
    directory.MODEL,
    directory.TEXT,
    directory.HEADS,
    directory.VOCABULARY,
    directory.CARD,
    directory.CONFIG,
)
"""In the order in which they are moved into place: config.json makes a folder a model directory and comes last."""
_RUN_FILES = (
    *(CHECKPOINTS, CACHE, VOCABULARY, "log.jsonl", ".log.jsonl.tmp", "plots", "tensorboard"),
    *("studies.ids.tsv", "studies.h5.parts"),
)
"""What a run keeps in its folder `training`."""


def check_output(settings: Training) -> None:
    """Check that the output folder may hold the run and its model.

    Raises:
        UsageError: its name cannot be stored; it is a file or an input, such as the model that the run starts from; or
            a file that it would replace is an input, or of no run.
    """
    folder = settings.output
    check_name(folder)
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(f"{folder} is a file; output must be a folder")
    written = [folder / name for name in (*_FILES, directory.CHECKSUMS)]
    for path in _inputs(settings):
        if any(same_file(one, path) for one in (folder, folder / TRAINING, *written)):
            raise UsageError(f"{path} is an input of the run and would be overwritten; choose another output")
    if _is_run(folder / TRAINING):
        return
    strange = [path for path in written if os.path.lexists(path)]
    for inner, known in ((TRAINING, _RUN_FILES), (f"{TRAINING}/{VOCABULARY}", (directory.VOCABULARY,))):
        if os.path.lexists(folder / inner) and not (folder / inner).is_dir():
            strange.append(folder / inner)
        elif (folder / inner).is_dir():
            strange += [path for path in (folder / inner).iterdir() if path.name not in known]
    if strange:
        raise UsageError(
            f"{folder} contains {strange[0].relative_to(folder)}, which prima pretrain did not write; "
            "choose another output"
        )


def _inputs(settings: Any) -> Iterator[Path]:
    """Files and folders that settings name, except the output and the cache."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if is_dataclass(value):
            yield from _inputs(value)
        elif (isinstance(value, Path) and field.name not in ("output", "cache")) or (
            value and field.metadata.get("place")
        ):
            yield Path(value)


def _is_run(folder: Path) -> bool:
    """Whether a folder `training` holds a checkpoint or the log of a run, by their content."""
    return any(
        starts_with(beginning)(path)
        for pattern, beginning in (("log.jsonl", b'{"step":'), (f"{CHECKPOINTS}/*.pt", b"PK"))
        for path in folder.glob(pattern)
        if path.is_file()
    )


def write_model(
    folder: Path,
    prima: Prima,
    card: str,
    text: tuple[TextConfig, nn.Module, ReportVocabulary] | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write an encoder, with its text tower if there is one; heads of an earlier model do not fit any more.

    Args:
        folder: of the run.
        prima: the encoder.
        card: the model card.
        text: sizes, weights and vocabulary of the text tower.
        dtype: number type of the weights in the files; loading widens them again.

    Raises:
        OutputError: the disk is full or the folder cannot be written to.
    """
    config = replace(prima.config, text=text[0] if text else None, heads=None)
    with new_directory(_scratch(folder), overwrite=True) as made:
        _save(prima, made / directory.MODEL, dtype)
        if text is not None:
            _save(text[1], made / directory.TEXT, dtype)
            text[2].save(made)
        write_config(made, config)
        (made / directory.CARD).write_text(card, encoding="utf-8")
        directory.write_checksums(made)
    _put_in_place(folder)


def write_heads(
    folder: Path,
    source: Path,
    config: HeadsConfig,
    heads: Mapping[str, Tensor],
    card: str,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a copy of a model with other heads.

    Args:
        folder: of the run.
        source: the model's directory.
        config: the heads' names and thresholds.
        heads: their tensors, `diagnosis.NAME.0.weight` and so on.
        card: the new model card.
        dtype: number type of the heads' weights in the file; loading widens them again.

    Raises:
        OutputError: as `write_model`.
    """
    base = read_config(source)
    with new_directory(_scratch(folder), overwrite=True) as made:
        for name in (directory.MODEL, directory.TEXT, directory.VOCABULARY):
            if (source / name).is_file():
                shutil.copyfile(source / name, made / name)
        _write({name: _as(tensor, dtype) for name, tensor in heads.items()}, made / directory.HEADS)
        write_config(made, replace(base, heads=config))
        (made / directory.CARD).write_text(card, encoding="utf-8")
        directory.write_checksums(made)
    _put_in_place(folder)


def _scratch(folder: Path) -> Path:
    return folder / ".model"


def _save(module: nn.Module, path: Path, dtype: torch.dtype) -> None:
    _write({name: _as(tensor.detach().cpu(), dtype) for name, tensor in module.state_dict().items()}, path)


def _as(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Floating-point tensors in another type; unchanged if that type would overflow."""
    if not tensor.is_floating_point():
        return tensor
    narrow = tensor.to(dtype)
    return narrow if narrow.isfinite().equal(tensor.isfinite()) else tensor


def _write(tensors: Mapping[str, Tensor], path: Path) -> None:
    with utf8_name(path) as file:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file, {"format": "pt"})
    # The library lets nobody but the owner read what it writes; a model is read by whom its folder lets.
    path.chmod(path.parent.stat().st_mode & 0o666)


def _put_in_place(folder: Path) -> None:
    """Move the new files over the old; a model that was there stops being one until all are."""
    made = _scratch(folder)
    for name in (directory.CONFIG, directory.CHECKSUMS, *_FILES):
        if name == directory.CONFIG or not (made / name).exists():
            (folder / name).unlink(missing_ok=True)
    for name in (*_FILES, directory.CHECKSUMS):
        if (made / name).exists():
            (made / name).replace(folder / name)
    shutil.rmtree(made)


_HEAD = """---
library_name: prima-features
pipeline_tag: image-feature-extraction
tags: [mri, brain, neuroimaging, medical]
---

# Prima, trained by `prima pretrain {stage}`

**For research use only. This is not a medical device, and nothing it computes may guide the care of a patient.**

The architecture is that of Prima ([arXiv 2509.18638](https://arxiv.org/abs/2509.18638)). Trained with prima-features
{version}. What the training data were, and whom they leave out, is for the one who trained it to say here.
"""


def model_card(stage: str, record: Mapping[str, Any]) -> str:
    """A card that says what the run was: the stage, its data, steps and last validation."""
    rows = "".join(f"| {name} | {_shown(value)} |\n" for name, value in record.items())
    return f"{_HEAD.format(stage=stage, version=__version__)}\n| | |\n|---|---|\n{rows}"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
