"""Settings that all stages share, and settings of their data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from prima_features.files.plain import PLACE

TRAINING = "training"
"""Everything of a run except the model, which is in the output folder itself."""
CHECKPOINTS = "checkpoints"
CACHE = "cache"
VOCABULARY = "text"
"""Vocabulary of a new text tower."""


@dataclass(frozen=True)
class Optimiser:
    """The optimiser."""

    name: Literal["adam", "adamw", "muon", "rmsprop"] = "adam"
    """Muon updates the matrices of layers and AdamW the rest; needs torch 2.9. Not used by the paper: small networks
    need fewer steps with it."""
    lr: float = 1e-4
    """Learning rate after the warm-up."""
    weight_decay: float = 0.0
    """Added to the gradient (Adam, RMSprop) or applied on its own (AdamW, Muon)."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square (Adam, AdamW, Muon)."""
    eps: float = 1e-8
    """Added to the denominator."""
    clip_norm: float = 0.0
    """Maximum norm of the gradient; 0 switches clipping off."""

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
    """The learning rate over the steps."""

    warmup: int = 0
    """Steps of linear warm-up."""
    decay: Literal["cosine", "none"] = "cosine"
    """After the warm-up: half a cosine down to `floor` at the last step, or a constant rate."""
    floor: float = 0.0
    """Final learning rate of the cosine, as a share of `lr`."""

    def __post_init__(self) -> None:
        if self.warmup < 0 or not 0 <= self.floor <= 1:
            raise ValueError("warmup must be 0 or more, and floor between 0 and 1")
        if self.decay == "none" and self.floor:
            raise ValueError("floor applies to decay = 'cosine', but decay is 'none'; remove one of them")


@dataclass(frozen=True)
class Checkpoint:
    """Checkpoints, from which an interrupted run resumes."""

    every: int = 500
    """Steps between checkpoints."""
    keep: int = 2
    """Number of newest checkpoints to keep, in addition to the best in validation."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.keep < 1:
            raise ValueError("every and keep must be 1 or more")


@dataclass(frozen=True)
class Validation:
    """Validation on the held-out studies."""

    every: int = 500
    """Steps between validations; there is always one at the end."""
    pictures: int = 4
    """Number of reconstructions to draw (tokenizer)."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.pictures < 0:
            raise ValueError("every must be 1 or more, and pictures 0 or more")


@dataclass(frozen=True)
class Log:
    """The log of a run."""

    every: int = 1
    """Steps between lines of log.jsonl."""
    tensorboard: bool = True
    """Write files for `tensorboard --logdir`."""
    plots: bool = True
    """Plot losses and recalls at each validation."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError("every must be 1 or more")


@dataclass(frozen=True)
class Training:
    """Settings of all stages. Paths are relative to the folder of the settings file."""

    free: ClassVar[frozenset[str]] = frozenset()
    """Settings of a recipe that a resumed run may change, in addition to `training.checkpoint.FREE`."""
    moved: ClassVar[Mapping[str, Any]] = {}
    """Settings of earlier releases that now belong to a recipe, with the values that switch them off."""

    output: Path
    """Folder of the run: the trained model as a model directory, and `training/` with everything else."""
    seed: int = 0
    """Random seed of new weights, batches, augmentation and held-out subjects."""
    steps: int = 1000
    """Number of weight updates in the run."""
    batch: int = 32
    """Items per step, over all processes."""
    accumulation: int = 1
    """Number of batches whose gradients are averaged for one update."""
    device: Literal["auto", "cpu"] = "auto"
    """`auto`: one CUDA GPU per process if available, otherwise the CPU."""
    precision: Literal["no", "bf16"] = "no"
    """`bf16`: autocast to bfloat16; weights and losses stay float32."""
    prefetch: int = 2
    """Number of batches that a thread reads ahead."""
    readers: int = 0
    """Number of processes that read batches instead of the thread, one batch ahead each, if the GPU has to wait for it.
    At most as many as there are CPUs."""
    nan_limit: int = 20
    """Maximum number of skipped steps (loss or gradient not finite) before the run stops."""
    export: Literal["last", "best"] = "last"
    """Weights to export: those of the last step or of the best validation."""
    optimiser: Optimiser = Optimiser()
    schedule: Schedule = Schedule()
    checkpoint: Checkpoint = Checkpoint()
    validation: Validation = Validation()
    log: Log = Log()

    @property
    def together(self) -> int:
        """Number of items of a batch that are drawn together and stay in one process. A recipe may override it."""
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
    """Settings of the stages that train parts of the encoder."""

    model: str = field(default="", metadata=PLACE)
    """Initial model: a model directory such as the output of an earlier stage, a bundled name, or a Hub id."""
    network: dict[str, Any] = field(default_factory=dict)
    """Sizes, as in a model's config.json, that differ from those of `model` or, without one, from the published.
    A part whose sizes change starts from new weights."""
    export_type: Literal["float32", "float16"] = "float32"
    """Number type of the weights in the exported model. Training and loading compute in float32."""

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
    """Studies and their cache."""

    source: Path | None = None
    """A BIDS dataset, a DICOM tree, a NIfTI file or folder, or a manifest table, as `prima embed` reads."""
    format: Literal["auto", "bids", "dicom", "nifti", "manifest"] = "auto"
    """Format of the source; `auto` detects it."""
    synthetic: int = 0
    """Number of synthetic subjects (`prima_features.synthetic`), instead of a source."""
    synthetic_settings: Literal["usual", "varied", "wide"] = "usual"
    """Distribution of the scanner settings of synthetic studies."""
    synthetic_seed: int | None = None
    """Random seed of the synthetic cohort; default: the seed of the run."""
    synthetic_visits: int = 1
    """Studies per synthetic subject: the same brain at different sites with different scanner settings."""
    participants: tuple[str, ...] = ()
    """Only these subjects, with or without `sub-`."""
    sessions: tuple[str, ...] = ()
    """Only these sessions, with or without `ses-`."""
    datatypes: tuple[str, ...] = ()
    """BIDS datatypes to use instead of the default ones."""
    suffixes: tuple[str, ...] = ()
    """BIDS suffixes to use instead of the default ones."""
    description: str = ""
    """Study description that the model reads instead of that of the scan."""
    slice_axis: Literal["L", "P", "S"] | None = None
    """Direction of the slice axis of NIfTI images; default: determined from the header."""
    min_slices: int = 5
    """Minimum number of slices; series with fewer are left out."""
    validation: float = 0.1
    """Share of held-out subjects, drawn with the seed of the run."""
    cache: Path | None = None
    """Folder of the cache, to share it between runs; default: inside the folder of the run."""
    cache_type: Literal["float16", "float32"] = "float16"
    """Number type of cached tensors."""
    workers: int = 0
    """Number of processes that fill the cache, per process of the run and at most its share of the CPUs; 0: fill it in
    the main process."""
    token_share: float = 1.0
    """Share of the tokens of each series whose latents are cached, drawn at random; of synthetic series also all with
    lesions. For short runs that drop most tokens anyway: more studies are cached in the same time."""

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
    """Number of wordings of each synthetic report; one is drawn each time a study is seen."""

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
    """Embedded studies and their labels."""

    embeddings: Path
    """Output of `prima embed` with the model whose heads are trained."""
    labels: Path
    """CSV, TSV or Excel table; cells are 0 or 1 (or no or yes, false or true), empty or n/a if unknown."""
    id_column: str = "study"
    """Column with the studies' ids as in the embeddings file."""
    diagnosis: tuple[str, ...] = ()
    """Columns of the diagnosis heads, which get the same names."""
    referral: tuple[str, ...] = ()
    """Columns of the referral heads."""
    priority: tuple[str, ...] = ()
    """Levels of the priority head, lowest first, such as none, low, medium, high."""
    priority_column: str = "priority"
    """Column with the levels."""
    validation: float = 0.2
    """Share of held-out subjects, on which the thresholds are chosen."""

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
