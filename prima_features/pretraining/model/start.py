"""What a stage starts from: an earlier model's weights where sizes are the same, new ones elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from prima_features.encoders.prima.model_config import read_config
from prima_features.encoders.prima.networks import Prima, PrimaConfig
from prima_features.encoders.prima.networks.config import ContrastConfig
from prima_features.errors import UsageError
from prima_features.files.disk import sha256
from prima_features.files.plain import from_plain
from prima_features.models import directory
from prima_features.models.caveats import caveat_of, inherited
from prima_features.models.loading import read_tensors
from prima_features.models.resolve import ModelSource, resolve
from prima_features.pretraining.settings import NetworkTraining

PARTS = ("tokenizer.", "names.sequence.", "names.study.", "sequence.", "study.", "contrast.")
"""Parts of the network whose weights are taken over or drawn anew as a whole, by their place in the config."""


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
            raise UsageError(f"network has impossible sizes: {error}".splitlines()[0]) from error
    if found is not None:
        tensors = read_tensors(found / directory.MODEL)
        _take(prima, {name: tensor for name, tensor in tensors.items() if name.startswith(taken)})
    return Start(prima, taken, found, base)


def _caveat(source: ModelSource, base: PrimaConfig) -> str:
    return base.caveat or caveat_of(source.name, sha256(source.directory / directory.MODEL))


def _config(base: PrimaConfig | None, network: Mapping[str, Any], contrast: bool) -> PrimaConfig:
    table = {key: value for key, value in network.items() if key != "text"}
    if "heads" in table:
        raise UsageError("network.heads cannot be set: heads come from `prima pretrain heads`")
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
        raise UsageError(
            f"the model to start from does not hold what its config.json says: {error}"
        ) from error
