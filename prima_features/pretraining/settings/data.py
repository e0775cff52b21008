"""What a run is trained on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

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
            raise ValueError("source and synthetic: give one of them, and not both")
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
                raise ValueError(f"{name} belongs to {other}, and {given} is given: leave one of them out")
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation is a share from 0 to below 1, not {self.validation}")
        if not 0 < self.token_share <= 1:
            raise ValueError(f"token_share is a share above 0, up to 1, not {self.token_share}")


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
            raise ValueError(f"wordings must be 1, or more for synthetic studies, not {self.wordings}")
        if self.synthetic and self.reports is not None:
            raise ValueError(
                "reports belongs to source: synthetic studies bring their own; leave one of them out"
            )
        if not self.synthetic and self.reports is None:
            raise ValueError("reports is missing: give the table of reports")


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
            raise ValueError("diagnosis, referral and priority: name at least one head")
        for kind in ("diagnosis", "referral", "priority"):
            # Cells are compared with levels in any case; columns are named as they are.
            names = [name.lower() if kind == "priority" else name for name in getattr(self, kind)]
            if len(set(names)) != len(names):
                raise ValueError(f"{kind} names one twice")
        if len(self.priority) == 1:
            raise ValueError("priority has two levels or more")
        if not 0 < self.validation < 1:
            raise ValueError(f"validation is a share between 0 and 1, not {self.validation}")
