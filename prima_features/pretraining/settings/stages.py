"""The settings of each stage, with the published defaults (docs/pretraining.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from prima_features.encoders.prima.networks.config import Sizes
from prima_features.errors import UsageError
from prima_features.files.plain import PLACE, from_plain
from prima_features.files.safe import TOML_BYTES, UnsafeFileError, load_toml, read_text
from prima_features.pretraining.settings.common import (
    Labels,
    NetworkTraining,
    Optimiser,
    ReportedScans,
    Scans,
    Schedule,
    Training,
)


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation of each study. 0 or false switches each off."""

    drop_series: float = 0.08
    """Probability that a series is dropped; one always stays."""
    drop_token: float = 0.03
    """Probability that a token is dropped; if all would be dropped, all stay."""
    unknown_name: float = 0.07
    """Probability that the name of a series is replaced by `unk`."""
    move_threshold: int = 2
    """Maximum random shift of the foreground threshold in percent, up or down."""
    shuffle_series: bool = True
    """Shuffle the series."""
    shuffle_findings: bool = True
    """Shuffle the findings of the report."""
    abnormal_repeats: int = 3
    """Number of additional times that abnormal studies are seen per pass."""

    def __post_init__(self) -> None:
        for name in ("drop_series", "drop_token", "unknown_name"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be a probability between 0 and 1, not {getattr(self, name)}")
        for name in ("move_threshold", "abnormal_repeats"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class TokenizerTraining(NetworkTraining):
    """The 3-D VQ-VAE: L1 reconstruction and commitment."""

    batch: int = 256
    """Tokens per step, over all processes, all of one plane."""
    data: Scans
    optimiser: Optimiser = Optimiser(lr=1e-4)
    permute_axes: bool = True
    """Permute the three axes of the tokens of a step at random."""
    revive_every: int = 0
    """Interval in steps at which rarely used codes are replaced by latents of the batch; 0: never."""
    revive_below: float = 0.01
    """Running count of uses below which a code is replaced."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_no_text(self.network)
        if self.revive_every < 0 or self.revive_below <= 0:
            raise ValueError("revive_every must be 0 or more, and revive_below above 0")
        if not self.revive_every and self.revive_below != type(self).revive_below:
            raise ValueError("revive_below has no effect if revive_every is 0; set both or neither")
        if self.data.token_share < 1:
            raise ValueError(
                "data.token_share applies to the latents of later stages; the tokenizer is trained on all "
                "subvolumes; remove it"
            )


@dataclass(frozen=True)
class ImageTower(Sizes):
    """The ViT that the names are compared with during training; not exported."""

    depth: int = 4
    """Blocks."""
    heads: int = 4
    """Attention heads per block."""
    dim_head: int = 64
    """Width of each head."""
    mlp_dim: int = 512
    """Width of the hidden layer of each block."""
    registers: int = 4
    """Number of register tokens."""
    out_dim: int = 128
    """Length of the embeddings that are compared."""


@dataclass(frozen=True, kw_only=True)
class NamesTraining(NetworkTraining):
    """The sequence-name encoder: names against images of one series (CLIP)."""

    batch: int = 64
    """Series per step, over all processes, all with different names."""
    chunk: int = 0
    """Series that a process encodes at a time (gradient caching); 0: all at once."""
    data: Scans
    optimiser: Optimiser = Optimiser(lr=1e-4, weight_decay=1e-4)
    schedule: Schedule = Schedule(warmup=200)
    drop_token: float = 0.03
    """Probability that a token is dropped."""
    tower: ImageTower = ImageTower()

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_later_stage(self.model, self.chunk, self.batch)
        _check_no_text(self.network)
        if not 0 <= self.drop_token <= 1:
            raise ValueError(f"drop_token must be a probability between 0 and 1, not {self.drop_token}")


@dataclass(frozen=True)
class Text:
    """Where the text tower and its vocabulary come from; without it and without `network.text` they are those of
    `model`."""

    source: Path | None = None
    """A transformers directory with a GPT-2 and its tokenizer."""

    def __post_init__(self) -> None:
        if self.source is not None and not self.source.is_dir():
            raise ValueError(
                f"source must be a folder with a GPT-2 and its tokenizer; {self.source} is not a folder"
            )


@dataclass(frozen=True, kw_only=True)
class ClipTraining(NetworkTraining):
    """CLIP between studies and reports, and patient discrimination between series."""

    moved: ClassVar[Mapping[str, Any]] = {
        **dict.fromkeys(
            ("pair_weight", "words_weight", "content_weight", "traits_weight", "start_share"), 0.0
        ),
        "tell_apart": False,
    }
    batch: int = 32
    """Studies per step, over all processes; each is compared with all reports of the step."""
    chunk: int = 0
    """Studies that a process encodes at a time (gradient caching); 0: all at once."""
    data: ReportedScans
    text: Text = Text()
    optimiser: Optimiser = Optimiser(lr=2e-6, weight_decay=1e-4)
    schedule: Schedule = Schedule(warmup=200)
    augmentation: Augmentation = Augmentation()
    patient_weight: float = 0.03
    """Weight of patient discrimination, added to the CLIP loss."""
    temperature: float = 0.07
    """Initial logarithm of the factor of cosine similarities, unless `model` has its own. The
    published value hardly changes in short runs; 2.66 (a factor of 14) is a good start for them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_later_stage(self.model, self.chunk, self.batch)
        if self.patient_weight < 0:
            raise ValueError(f"patient_weight must be 0 or more, not {self.patient_weight}")
        if not isinstance(sizes := self.network.get("text", {}), dict):
            raise ValueError(f"network.text must be a table, not {sizes!r}")
        if self.text.source is not None and "text" in self.network:
            raise ValueError(
                "text.source and network.text both define the sizes of the text tower; set only one of them"
            )


@dataclass(frozen=True, kw_only=True)
class HeadsTraining(Training):
    """Diagnosis, referral and priority heads on embeddings of a fixed encoder."""

    model: str = field(default="", metadata=PLACE)
    """Model directory that made the embeddings; the output is a copy with heads."""
    data: Labels
    hidden: tuple[int, int] = (4000, 1000)
    """Widths of the hidden layers of each head."""
    noise: float = 0.01
    """Standard deviation of the noise; inputs are multiplied by 1 plus normal noise."""
    standardise: bool = False
    """Train on embeddings with mean 0 and standard deviation 1 over the training studies; the exported heads read
    embeddings as they are. Not used by the paper: helps with few studies."""
    export_type: Literal["float32", "float16"] = "float32"
    """Number type of the heads' weights in the exported model. Training and loading compute in float32."""
    optimiser: Optimiser = Optimiser(name="rmsprop", lr=1e-5)
    schedule: Schedule = Schedule(decay="none")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model:
            raise ValueError("model is missing; set it to the model directory that made the embeddings")
        if min(self.hidden) < 1:
            raise ValueError(f"hidden must be two positive widths, not {self.hidden[0]} and {self.hidden[1]}")
        if self.noise < 0:
            raise ValueError(f"noise must be 0 or more, not {self.noise}")


def _check_later_stage(model: str, chunk: int, batch: int) -> None:
    if not model:
        raise ValueError("model is missing; set it to a model directory with a trained tokenizer")
    if batch < 2:
        raise ValueError(f"batch must be 2 or more for a contrastive loss, not {batch}")
    if not 0 <= chunk <= batch:
        raise ValueError(f"chunk must be between 0 and batch ({batch}), not {chunk}")


def _check_no_text(network: dict[str, Any]) -> None:
    if "text" in network:
        raise ValueError(
            "network.text applies to the clip stage only, which trains the text tower; remove it"
        )


STAGES: dict[str, type[Training]] = {
    "tokenizer": TokenizerTraining,
    "names": NamesTraining,
    "clip": ClipTraining,
    "heads": HeadsTraining,
}


T = TypeVar("T")


def read_settings(cls: type[T], path: Path) -> T:
    """Settings from a TOML file; relative paths are taken from its folder.

    Raises:
        UsageError: it cannot be read, is no TOML, or holds a key that is unknown, of a wrong type, missing, or at
            odds with another. The message names the key.
    """
    try:
        table = load_toml(read_text(path, TOML_BYTES))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give a settings file in TOML") from error
    except UnsafeFileError as error:
        raise UsageError(f"{path} {error}: give a settings file") from error
    except ValueError as error:
        raise UsageError(f"{path} is not a TOML file: {error}") from error
    try:
        return from_plain(cls, table, folder=path.absolute().parent)
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
