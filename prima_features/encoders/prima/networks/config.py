"""Sizes of the networks, as frozen dataclasses that are saved as a model directory's config.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.files.plain import from_plain
from prima_features.models.caveats import MOST_CAVEAT

FORMAT_VERSION = 1
MODEL_TYPE = "prima"
NAME_SYMBOLS = "abcdefghijklmnopqrstuvwxyz_+-0123456789.*(),"


LARGEST = {
    "dim": 65536,
    "depth": 512,
    "heads": 1024,
    "registers": 4096,
    "vocab_size": 1 << 22,
    "positions": 1 << 20,
}
"""Sizes at most, by name; `dim` for all others. A configuration may claim any, and layers are made one by one."""


class Sizes:
    """Configurations whose whole numbers are sizes: none of them is 0 or less.

    Raises:
        ValueError: one is.
    """

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, int):
                check_size(name, value, 1, LARGEST.get(name, LARGEST["dim"]))


def check_size(name: str, value: int, least: int, most: int) -> None:
    """Raise ValueError unless a size lies within bounds."""
    if value < least:
        raise ValueError(f"{name} must be {least} or more, not {value}")
    if value > most:
        raise ValueError(f"{name} must be {most} or less, not {value}")


@dataclass(frozen=True)
class TransformerConfig(Sizes):
    """A stack of pre-LayerNorm blocks."""

    dim: int
    depth: int
    heads: int
    dim_head: int
    mlp_dim: int


@dataclass(frozen=True)
class TokenizerConfig:
    """The 3-D convolutional VQ-VAE. Defaults are the published sizes."""

    channels: tuple[int, ...] = (256, 256)
    """Channels after each level's strided convolution."""
    res_channels: tuple[int, ...] = (256, 256)
    """Channels in the middle of a level's residual units."""
    res_layers: int = 2
    """Residual units a level."""
    downsample: tuple[tuple[int, int, int, int], ...] = ((2, 4, 1, 1), (2, 2, 1, 0))
    """(stride, kernel, dilation, padding) of each level's convolution."""
    upsample: tuple[tuple[int, int, int, int, int], ...] = ((2, 4, 1, 1, 0), (2, 2, 1, 0, 0))
    """(stride, kernel, dilation, padding, output padding) of each level's transposed convolution."""
    codes: int = 8192
    """Vectors in the codebook."""
    code_dim: int = 2
    """Length of a code, which is the latent's channel count."""

    def __post_init__(self) -> None:
        for name, least, most in (("res_layers", 0, 64), ("codes", 1, 1 << 24), ("code_dim", 1, 4096)):
            check_size(name, getattr(self, name), least, most)
        if not all(1 <= width <= LARGEST["dim"] for width in (*self.channels, *self.res_channels)):
            raise ValueError(f"channels must be 1 to {LARGEST['dim']}")
        if not all(0 <= value <= 64 for level in (*self.downsample, *self.upsample) for value in level):
            raise ValueError("strides, kernels, dilations and paddings must be 0 to 64")
        if len(self.channels) > 16:
            raise ValueError(f"{len(self.channels)} levels are more than any tokenizer has")
        lengths = [len(self.channels), len(self.res_channels), len(self.downsample), len(self.upsample)]
        if len(set(lengths)) != 1:
            raise ValueError(
                "channels, res_channels, downsample and upsample must name the same number of levels, not "
                + ", ".join(map(str, lengths))
            )


@dataclass(frozen=True)
class NameConfig(Sizes):
    """The character transformer that reads a sequence's name or a study's description."""

    transformer: TransformerConfig = TransformerConfig(dim=256, depth=3, heads=4, dim_head=64, mlp_dim=300)
    position_dim: int = 10
    """Numbers of the sinusoid of the position; the character's embedding takes the rest of `dim`."""
    out_dim: int = 289


@dataclass(frozen=True)
class NamesConfig:
    """The two name encoders."""

    sequence: NameConfig = NameConfig(out_dim=289)
    study: NameConfig = NameConfig(out_dim=1024)


@dataclass(frozen=True)
class ViTConfig(Sizes):
    """A transformer whose registers are read out: the sequence ViT or the study ViT."""

    transformer: TransformerConfig
    registers: int
    out_dim: int
    """Length of the vector that the flattened registers are projected to."""

    @property
    def flat_dim(self) -> int:
        """Length of the flattened registers."""
        return self.registers * self.transformer.dim


@dataclass(frozen=True)
class ContrastConfig(Sizes):
    """What only pretraining uses: the patient discrimination projection and the temperatures."""

    hidden: int = 500
    out_dim: int = 128


@dataclass(frozen=True)
class TextConfig(Sizes):
    """GPT-2 over the summarised report, and its projection to the CLIP space."""

    vocab_size: int = 28896
    positions: int = 1024
    dim: int = 768
    depth: int = 12
    heads: int = 12
    out_dim: int = 128
    layer_norm_eps: float = 1e-5
    tokenizer: str = "stanford-crfm/BioMedLM"
    max_tokens: int = 200


@dataclass(frozen=True)
class HeadConfig:
    """One diagnosis or referral: an MLP whose single output is compared with a threshold."""

    name: str
    threshold: float
    index: int | None = None
    """Of the output in the head as it was trained, for the record: that output alone is stored. None if unknown."""


@dataclass(frozen=True)
class HeadsConfig:
    """Heads on the study embedding; each an MLP of two hidden layers with ReLU."""

    diagnosis: tuple[HeadConfig, ...] = ()
    referral: tuple[HeadConfig, ...] = ()
    priority: tuple[str, ...] = ()
    """Names of the priority head's outputs from the least to the most urgent, e.g. `none, low, medium, high`; empty
    without one."""

    def __post_init__(self) -> None:
        kinds = {
            "diagnosis": [head.name for head in self.diagnosis],
            "referral": [head.name for head in self.referral],
            "priority": list(self.priority),
        }
        for kind, names in kinds.items():
            if not all(names) or len(set(names)) < len(names):
                raise ValueError(
                    f"{kind} has a name twice or one that is empty, and each name stands for one output"
                )
            if odd := next((name for name in names if not name.isprintable() or name != name.strip()), ""):
                raise ValueError(
                    f"{kind} has the name {odd!r}: names are columns of tables, without control characters and "
                    "without spaces at the ends"
                )
        if len(self.priority) == 1:
            raise ValueError("priority has one level: a worklist needs two or more")


@dataclass(frozen=True)
class PrimaConfig:
    """Everything config.json holds. Defaults are the published sizes."""

    preprocessing: Preprocessing = Preprocessing()
    tokenizer: TokenizerConfig = TokenizerConfig()
    names: NamesConfig = NamesConfig()
    sequence: ViTConfig = ViTConfig(
        TransformerConfig(dim=289, depth=15, heads=16, dim_head=64, mlp_dim=1024), registers=20, out_dim=1024
    )
    study: ViTConfig = ViTConfig(
        TransformerConfig(dim=1024, depth=4, heads=8, dim_head=64, mlp_dim=1024), registers=10, out_dim=128
    )
    contrast: ContrastConfig | None = None
    text: TextConfig | None = None
    heads: HeadsConfig | None = None
    caveat: str = ""
    """What must be said with every number of this model, one sentence; empty if nothing is known."""

    def __post_init__(self) -> None:
        if len(self.caveat) > MOST_CAVEAT or not self.caveat.isprintable():
            raise ValueError(f"caveat must be one line of at most {MOST_CAVEAT} characters")
        joints = [
            ("names.sequence.out_dim", self.names.sequence.out_dim, self.sequence.transformer.dim),
            ("names.study.out_dim", self.names.study.out_dim, self.study.transformer.dim),
            ("sequence.out_dim", self.sequence.out_dim, self.study.transformer.dim),
        ]
        if self.text is not None:
            joints.append(("text.out_dim", self.text.out_dim, self.study.out_dim))
        for name, is_, must in joints:
            if is_ != must:
                raise ValueError(f"{name} is {is_} and must be {must}, the width of the layer that reads it")

    def to_json(self) -> dict[str, Any]:
        """As plain containers, with the model type and format version that mark a model directory."""
        values = {"model_type": MODEL_TYPE, "format_version": FORMAT_VERSION} | asdict(self)
        if not self.caveat:
            del values["caveat"]  # which releases before it do not know
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> PrimaConfig:
        """The inverse of `to_json`.

        Raises:
            ValueError: another model type or format version, an unknown key, or sizes that do not fit.
        """
        values = dict(values)
        model_type, version = values.pop("model_type", None), values.pop("format_version", None)
        if model_type != MODEL_TYPE:
            raise ValueError(
                f"model_type is {model_type!r}, not {MODEL_TYPE!r}: this is another kind of model"
            )
        if version != FORMAT_VERSION:
            raise ValueError(f"format_version is {version!r}; this release reads {FORMAT_VERSION}")
        return from_plain(cls, values)
