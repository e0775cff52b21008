"""What a stage starts from: weights of an earlier model where sizes match, new ones elsewhere; and its text tower."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks import Prima, PrimaConfig, TextTower
from prima_features.encoders.prima.networks.config import ContrastConfig, TextConfig
from prima_features.encoders.prima.text import load_text
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.files.plain import from_plain
from prima_features.models import directory
from prima_features.models.caveats import caveat_of, inherited
from prima_features.models.directory import VOCABULARY
from prima_features.models.loading import read_tensors
from prima_features.models.resolve import ModelSource, resolve
from prima_features.pretraining.data.reports import ReportVocabulary, train_vocabulary
from prima_features.pretraining.settings import ClipTraining, NetworkTraining
from prima_features.reports.numbered import numbered

PARTS = ("tokenizer.", "names.sequence.", "names.study.", "sequence.", "study.", "contrast.")
"""Parts of the network whose weights are loaded or newly initialised as a whole, by their prefix in the state dict."""


@dataclass(frozen=True, eq=False)
class Start:
    """An encoder to train."""

    prima: Prima
    taken: tuple[str, ...]
    """Parts whose weights are those of the model that it starts from."""
    directory: Path | None
    """That model's directory."""
    base: PrimaConfig | None
    """Its configuration."""

    @property
    def config(self) -> PrimaConfig:
        """Sizes of the encoder."""
        return self.prima.config


def start(settings: NetworkTraining, contrast: bool = False) -> Start:
    """The encoder that a stage trains or builds on, without text tower and heads.

    Args:
        settings: name the model, sizes that differ from its, and the seed of new weights.
        contrast: give it the projection and temperatures of contrastive training, if it has none.

    Raises:
        UsageError: there is no such model, or the sizes are unknown or do not fit together.
    """
    source = resolve(settings.model) if settings.model else None
    found = source.directory if source is not None else None
    base = read_config(found) if found is not None else None
    config = _config(base, settings.network, contrast)
    taken: tuple[str, ...] = ()
    if source is not None and base is not None:
        taken = tuple(part for part in PARTS if _size(base, part) == _size(config, part))
        if taken and "caveat" not in settings.network:
            config = replace(config, caveat=inherited(_caveat(source, base)))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        try:
            prima = Prima(config)
        except (ValueError, RuntimeError, ZeroDivisionError) as error:
            raise UsageError(f"network: invalid sizes: {error}".splitlines()[0]) from error
    if found is not None:
        tensors = read_tensors(found / directory.MODEL)
        _take(prima, {name: tensor for name, tensor in tensors.items() if name.startswith(taken)})
    return Start(prima, taken, found, base)


def _caveat(source: ModelSource, base: PrimaConfig) -> str:
    return base.caveat or caveat_of(source.name, sha256(source.directory / directory.MODEL))


def _config(base: PrimaConfig | None, network: Mapping[str, Any], contrast: bool) -> PrimaConfig:
    table = {key: value for key, value in network.items() if key != "text"}
    if "heads" in table:
        raise UsageError("network.heads cannot be set; heads are trained with prima pretrain heads")
    default = replace(base or PrimaConfig(), text=None, heads=None)
    try:
        config = from_plain(PrimaConfig, table, "network.", folder=Path(), default=default)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if contrast and config.contrast is None:
        config = replace(config, contrast=ContrastConfig())
    return config


def _size(config: PrimaConfig, part: str) -> Any:
    """What a part's weights depend on: its own sizes, and those of what it reads."""
    match part:
        case "tokenizer.":
            return config.tokenizer, config.preprocessing
        case "names.sequence.":
            return config.names.sequence
        case "names.study.":
            return config.names.study
        case "contrast.":
            return config.contrast, config.sequence.flat_dim
        case _:
            return asdict(config)[part.removesuffix(".")]


def _take(prima: Prima, tensors: Mapping[str, Tensor]) -> None:
    floats = {name: tensor.float() for name, tensor in tensors.items()}
    try:
        prima.load_state_dict(floats, strict=False)
    except RuntimeError as error:
        raise UsageError(f"the weights of the initial model do not match its config.json: {error}") from error


@dataclass(frozen=True, eq=False)
class TextStart:
    """A text tower and its vocabulary."""

    tower: TextTower
    vocabulary: ReportVocabulary
    config: TextConfig


def start_text(
    settings: ClipTraining,
    initial: Start,
    reports: Iterable[Sequence[str]],
    folder: Path,
    accelerator: Accelerator,
) -> TextStart:
    """The text tower of a run, in evaluation mode, which here only means without dropout.

    Args:
        settings: `text.source`, a GPT-2's directory, or `network.text`, sizes of a new one; neither takes the
            tower of the model that the stage starts from.
        initial: the encoder.
        reports: findings of the training studies, which a new vocabulary is trained on.
        folder: of a new vocabulary; resuming reads it from there.
        accelerator: of the run.

    Raises:
        UsageError: there is no text tower to take, or it does not fit the encoder.
    """
    out_dim = initial.config.study.out_dim
    if settings.text.source is not None:
        initial_text = _from_transformers(settings.text.source, out_dim, settings.seed)
    elif (sizes := settings.network.get("text")) is not None:
        vocabulary = _new_vocabulary(_sizes(sizes, out_dim), reports, folder, accelerator)
        config = replace(_sizes(sizes, out_dim), vocab_size=vocabulary.size)
        initial_text = TextStart(_new_tower(config, settings.seed), vocabulary, config)
    else:
        initial_text = _from_model(initial)
    initial_text.tower.eval()
    return initial_text


def check_text(settings: ClipTraining, initial: Start) -> None:
    """Raise UsageError where `start_text` would, but for what a GPT-2's own files hold."""
    if settings.text.source is None:
        if (sizes := settings.network.get("text")) is not None:
            _new_tower(_sizes(sizes, initial.config.study.out_dim), settings.seed)
        else:
            _models_text(initial)


def _from_model(initial: Start) -> TextStart:
    config, folder = _models_text(initial)
    return TextStart(load_text(folder), ReportVocabulary.read(folder, config.max_tokens), config)


def _models_text(initial: Start) -> tuple[TextConfig, Path]:
    """Sizes and folder of the tower of the model that the stage starts from."""
    config = initial.base.text if initial.base else None
    if config is None or initial.directory is None:
        raise UsageError(
            "the initial model has no text tower; set text.source (a folder with a GPT-2) or network.text "
            "(the sizes of a new one)"
        )
    if config.out_dim != initial.config.study.out_dim:
        raise UsageError(
            f"network.study.out_dim is {initial.config.study.out_dim}, but the text tower of the model has out_dim "
            f"{config.out_dim}; remove the setting, or set network.text"
        )
    return config, initial.directory


def _from_transformers(source: Path, out_dim: int, seed: int) -> TextStart:
    from transformers import GPT2Config, GPT2Model

    try:
        gpt2_config = GPT2Config.from_pretrained(source, local_files_only=True)
        gpt2 = GPT2Model.from_pretrained(source, local_files_only=True).float()
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"text.source {source} is not a GPT-2 directory: {str(error).splitlines()[0]}"
        ) from error
    config = TextConfig(
        vocab_size=gpt2_config.vocab_size,
        positions=gpt2_config.n_positions,
        dim=gpt2_config.n_embd,
        depth=gpt2_config.n_layer,
        heads=gpt2_config.n_head,
        out_dim=out_dim,
        layer_norm_eps=gpt2_config.layer_norm_epsilon,
        tokenizer=VOCABULARY,
        max_tokens=min(TextConfig.max_tokens, gpt2_config.n_positions),
    )
    vocabulary = ReportVocabulary.read(source, config.max_tokens)
    if vocabulary.size > config.vocab_size:
        raise UsageError(
            f"text.source {source}: the tokenizer has {vocabulary.size} tokens, but the GPT-2 only {config.vocab_size}"
        )
    tower = _new_tower(config, seed)
    tower.gpt2.load_state_dict(gpt2.state_dict())
    return TextStart(tower, vocabulary, config)


def _sizes(table: Mapping[str, Any], out_dim: int) -> TextConfig:
    try:
        default = TextConfig(out_dim=out_dim, tokenizer=VOCABULARY)
        config = from_plain(TextConfig, dict(table), "network.text.", folder=Path(), default=default)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if config.out_dim != out_dim:
        raise UsageError(
            f"network.text.out_dim is {config.out_dim} but must equal network.study.out_dim ({out_dim})"
        )
    if config.max_tokens > config.positions:
        raise UsageError(
            f"network.text.max_tokens is {config.max_tokens} but must not exceed network.text.positions "
            f"({config.positions})"
        )
    return config


def _new_tower(config: TextConfig, seed: int) -> TextTower:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return TextTower(config)
        except ValueError as error:
            raise UsageError(f"network.text: invalid sizes: {error}") from error


def _new_vocabulary(
    config: TextConfig, reports: Iterable[Sequence[str]], folder: Path, accelerator: Accelerator
) -> ReportVocabulary:
    if accelerator.is_main_process and not (folder / VOCABULARY).is_file():
        folder.mkdir(exist_ok=True)
        made = train_vocabulary(map(numbered, reports), config.vocab_size, config.max_tokens)
        made.save(folder)
    accelerator.wait_for_everyone()
    return ReportVocabulary.read(folder, config.max_tokens)
