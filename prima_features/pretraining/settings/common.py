"""What every stage of pretraining can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from prima_features.files.plain import PLACE

TRAINING = "training"
"""All but the model, which lies in the output itself."""
CHECKPOINTS = "checkpoints"
CACHE = "cache"
VOCABULARY = "text"
"""A new text tower's vocabulary."""


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
            raise ValueError(f"betas must be at least 0 and below 1, not {self.betas[0]} and {self.betas[1]}")
        if self.name == "rmsprop" and self.betas != (0.9, 0.999):
            raise ValueError("betas apply to adam, adamw and muon, but name is 'rmsprop'; remove one of them")


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
            raise ValueError("warmup must be 0 or more, and floor between 0 and 1")
        if self.decay == "none" and self.floor:
            raise ValueError("floor applies to decay = 'cosine', but decay is 'none'; remove one of them")


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
            raise ValueError(f"seed must be at least 0 and below 2**64, not {self.seed}")
        if self.prefetch < 0 or self.readers < 0:
            raise ValueError("prefetch and readers must be 0 or more")
        if self.schedule.warmup > self.steps:
            raise ValueError(
                f"schedule.warmup is {self.schedule.warmup}, more than the {self.steps} steps of the run; lower it"
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
            raise ValueError(
                "model is missing; set it to the initial model, or set network to the sizes of a new one"
            )


_OF_SOURCE = ("format", "participants", "sessions", "datatypes", "suffixes", "slice_axis", "min_slices")
_OF_SYNTHETIC = ("synthetic_settings", "synthetic_seed", "synthetic_visits")


@dataclass(frozen=True)
class Scans:
    """Studies, and the cache of what is computed from them once."""

    source: Path | None = None
    """A BIDS dataset, a DICOM tree, a NIfTI file or folder, or a manifest table, as `prima embed` reads."""
    format: Literal["auto", "bids", "dicom", "nifti", "manifest"] = "auto"
    """Of the source; `auto` finds out."""
    synthetic: int = 0
    """Subjects made up by `prima_features.synthetic`, with their studies, in place of a source."""
    synthetic_settings: Literal["usual", "varied", "wide"] = "usual"
    """What the scanner settings of made-up studies are drawn from."""
    synthetic_seed: int | None = None
    """Of the made-up cohort; by default the run's own seed."""
    synthetic_visits: int = 1
    """Studies of each made-up subject: the same brain at another site, with other scanner settings each time."""
    participants: tuple[str, ...] = ()
    """Only these subjects, with or without `sub-`."""
    sessions: tuple[str, ...] = ()
    """Only these sessions, with or without `ses-`."""
    datatypes: tuple[str, ...] = ()
    """BIDS datatypes to take, in place of the default ones."""
    suffixes: tuple[str, ...] = ()
    """BIDS suffixes to take, in place of the default ones."""
    description: str = ""
    """Study description that the model reads, in place of the scan's own."""
    slice_axis: Literal["L", "P", "S"] | None = None
    """Direction of the slice axis of NIfTI images; found from the header by default."""
    min_slices: int = 5
    """Series of fewer slices are left out."""
    validation: float = 0.1
    """Share of the subjects that are held out, drawn with the run's seed."""
    cache: Path | None = None
    """Folder of the cache, to share it between runs; by default inside the run's own."""
    cache_type: Literal["float16", "float32"] = "float16"
    """Number type of what is cached."""
    workers: int = 0
    """Processes that each process of the run starts to fill the cache, no more than its share of the CPUs; 0 fills it
    without."""
    token_share: float = 1.0
    """Share of each series' tokens whose latents are cached, drawn at random, and of synthetic ones all that lesions
    are in; less makes a cache of more studies in the same time, for short runs that drop most tokens anyway."""

    def __post_init__(self) -> None:
        if (self.source is None) == (self.synthetic == 0):
            raise ValueError("source and synthetic: set exactly one of them")
        for name in ("workers", "synthetic", "synthetic_seed"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in ("synthetic_visits", "min_slices"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, not {getattr(self, name)}")
        given, other = ("synthetic", "source") if self.synthetic else ("source", "synthetic")
        defaults = {field.name: field.default for field in fields(self)}
        for name in _OF_SOURCE if self.synthetic else _OF_SYNTHETIC:
            if getattr(self, name) != defaults[name]:
                raise ValueError(f"{name} applies to {other}, but {given} is set; remove one of them")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation must be at least 0 and below 1, not {self.validation}")
        if not 0 < self.token_share <= 1:
            raise ValueError(f"token_share must be above 0 and at most 1, not {self.token_share}")


@dataclass(frozen=True)
class ReportedScans(Scans):
    """Studies with their reports."""

    reports: Path | None = None
    """Table of reports: a column with the study's id (for DICOM its StudyInstanceUID), one with the report or its
    findings, and if there are any `abnormal` (0 or 1) and `split` (train or validation)."""
    wordings: int = 1
    """Of each synthetic report; one is drawn each time that a study is seen."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.wordings < 1 or (self.wordings > 1 and not self.synthetic):
            raise ValueError(f"wordings must be 1, or more for synthetic studies only, not {self.wordings}")
        if self.synthetic and self.reports is not None:
            raise ValueError(
                "reports applies to source; synthetic studies come with their own; remove one of them"
            )
        if not self.synthetic and self.reports is None:
            raise ValueError("reports is missing; set it to the table of reports")


@dataclass(frozen=True)
class Labels:
    """Embedded studies and what is known of them."""

    embeddings: Path
    """File that `prima embed` made with the model whose heads are trained."""
    labels: Path
    """CSV, TSV or Excel table; cells are 0 or 1 (or no or yes, false or true), empty or n/a where it is not known."""
    id_column: str = "study"
    """Column with the studies' ids as in the embeddings file."""
    diagnosis: tuple[str, ...] = ()
    """Columns that become diagnosis heads of the same names."""
    referral: tuple[str, ...] = ()
    """Columns that become referral heads."""
    priority: tuple[str, ...] = ()
    """Levels of the priority head, lowest first, such as none, low, medium, high."""
    priority_column: str = "priority"
    """Column with the levels."""
    validation: float = 0.2
    """Share of the subjects that thresholds are chosen on."""

    def __post_init__(self) -> None:
        if not (self.diagnosis or self.referral or self.priority):
            raise ValueError("diagnosis, referral and priority: set at least one of them")
        for kind in ("diagnosis", "referral", "priority"):
            # Cells are compared with levels in any case; columns are named as they are.
            names = [name.lower() if kind == "priority" else name for name in getattr(self, kind)]
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} contains a name twice")
        if len(self.priority) == 1:
            raise ValueError("priority must have two levels or more")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation must be above 0 and below 1, not {self.validation}")
