"""What every stage of pretraining can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from prima_features.files.plain import PLACE


@dataclass(frozen=True)
class Optimiser:
    """How weights move along their gradients."""

    name: Literal["adam", "adamw", "muon", "rmsprop"] = "adam"
    """Muon moves the matrices of layers, and AdamW the rest beside it; it needs torch 2.9. Not Prima's: small networks
    learn in fewer steps with it."""
    lr: float = 1e-4
    """Learning rate, after the warm-up."""
    weight_decay: float = 0.0
    """Added to the gradient (Adam, RMSprop) or applied on its own (AdamW, Muon)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of Adam's running means of the gradient and of its square."""
    eps: float = 1e-8
    """Added to what the gradient is divided by."""
    clip_norm: float = 0.0
    """Gradients longer than this are shortened to it; 0 leaves them."""

    def __post_init__(self) -> None:
        for name in ("lr", "eps"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("weight_decay", "clip_norm"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas lie in 0 to below 1, not {self.betas[0]} and {self.betas[1]}")
        if self.name == "rmsprop" and self.betas != (0.9, 0.999):
            raise ValueError(
                "betas belong to adam, adamw and muon, and name is 'rmsprop': leave one of them out"
            )


@dataclass(frozen=True)
class Schedule:
    """How the learning rate runs over the steps."""

    warmup: int = 0
    """Steps over which it rises from 0."""
    decay: Literal["cosine", "none"] = "cosine"
    """What follows: half a cosine down to `floor` at the last step, or nothing."""
    floor: float = 0.0
    """Share of the learning rate that is left at the end of the cosine."""

    def __post_init__(self) -> None:
        if self.warmup < 0 or not 0 <= self.floor <= 1:
            raise ValueError("warmup must be 0 or more, and floor lie in 0 to 1")
        if self.decay == "none" and self.floor:
            raise ValueError("floor is where the cosine ends, and decay is 'none': leave one of them out")


@dataclass(frozen=True)
class Checkpoint:
    """When the state is written, to go on from after an interruption."""

    every: int = 500
    """Steps between two."""
    keep: int = 2
    """The newest so many are kept, and the best in validation."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1:
            raise ValueError("every and keep must be 1 or more")


@dataclass(frozen=True)
class Validation:
    """How the held-out studies are used."""

    every: int = 500
    """Steps between two validations; there is one at the end in any case."""
    pictures: int = 4
    """Reconstructions that are drawn (tokenizer)."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.pictures < 0:
            raise ValueError("every must be 1 or more, and pictures 0 or more")


@dataclass(frozen=True)
class Log:
    """What is recorded on the way."""

    every: int = 1
    """Steps between two lines of log.jsonl."""
    tensorboard: bool = True
    """Files for `tensorboard --logdir`."""
    plots: bool = True
    """Losses and recalls as pictures, at each validation."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError("every must be 1 or more")


@dataclass(frozen=True)
class Training:
    """What all stages share. Paths are relative to the settings file's folder."""

    free: ClassVar[frozenset[str]] = frozenset()
    """A recipe's settings that a resumed run may change, in addition to `training.resume.FREE`."""
    moved: ClassVar[Mapping[str, Any]] = {}
    """Settings of earlier releases that a recipe has now, with the values that switch them off."""

    output: Path
    """Folder of the run: the trained model as a model directory, and `training/` with all else."""
    seed: int = 0
    """Of all that is drawn: new weights, batches, augmentation, held-out subjects."""
    steps: int = 1000
    """Updates of the weights in the whole run."""
    batch: int = 32
    """Items of a step over all processes."""
    accumulation: int = 1
    """Batches whose gradients are averaged for one update."""
    device: Literal["auto", "cpu"] = "auto"
    """`auto` is each process's CUDA GPU where there is one, else the CPU."""
    precision: Literal["no", "bf16"] = "no"
    """`bf16` computes in bfloat16 what bears it (autocast); weights and losses stay float32."""
    prefetch: int = 2
    """Batches that a thread reads ahead while the networks compute."""
    readers: int = 0
    """Processes that read batches in place of the thread, one ahead each: for a GPU that a thread cannot keep busy.
    No more are started than there are CPUs."""
    nan_limit: int = 20
    """A step whose loss or gradient is not finite is skipped; after so many in a run it is stopped."""
    export: Literal["last", "best"] = "last"
    """Which weights become the model: those of the last step, or of the best validation."""
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    checkpoint: Checkpoint = Checkpoint()
    validation: Validation = Validation()
    log: Log = Log()

    @property
    def together(self) -> int:
        """Items of a batch that are drawn together, and that processes do not divide."""
        return 1

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulation", "nan_limit"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.seed < 2**64:
            raise ValueError(f"seed must be 0 or more, and below 2**64, not {self.seed}")
        if self.prefetch < 0 or self.readers < 0:
            raise ValueError("prefetch and readers must be 0 or more")
        if self.schedule.warmup > self.steps:
            raise ValueError(
                f"schedule.warmup is {self.schedule.warmup} of only {self.steps} steps: lower it"
            )


@dataclass(frozen=True)
class NetworkTraining(Training):
    """What the stages that train parts of the encoder share."""

    model: str = field(default="", metadata=PLACE)
    """What it starts from: a model directory, such as an earlier stage's output, a bundled name, or a Hub id."""
    network: dict[str, Any] = field(default_factory=dict)
    """Sizes, as in a model's config.json, that differ from those of `model` or, without one, from the published.
    A part whose sizes change starts from new weights."""
    export_type: Literal["float32", "float16"] = "float32"
    """Number type of the weights in the model that is written. Training and loading compute in float32."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.model and not self.network:
            raise ValueError("give model, what to start from, or network, the sizes of a new one")
