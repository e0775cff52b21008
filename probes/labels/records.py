"""What is asked of a join, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prima_features.files.targets import as_inputs

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.labels.cohorts import Cohort


@dataclass(frozen=True)
class LabelRequest:
    """Which labels to join to an embeddings file, and how. Columns that are named must be there."""

    labels: tuple[Path, ...] = ()
    """Label tables, or a folder: a BIDS dataset (participants.tsv, sessions.tsv, phenotype/*.tsv) or one that
    holds a cohort's tables. Further tables add columns to the first. None for a cohort without tables."""
    task: str = "custom"
    """One of `targets.LABEL_TASKS`."""
    cohort: str | Path | Cohort = ""
    """A preset's name, a TOML file of the same shape, or the cohort itself."""
    id_column: str = ""
    target_column: str = ""
    group_column: str = ""
    """Family or any other group that must not cross folds; default is the subject."""
    site_column: str = ""
    age_column: str = ""
    sex_column: str = ""
    split_column: str = ""
    scanner_column: str = ""
    field_strength_column: str = ""
    session_column: str = ""
    date_column: str = ""
    """Date of the label, or its day since entry: the visit nearest the scan counts."""
    date_format: str = ""
    """As for `datetime.strptime`, where dates are not ISO 8601."""
    control_column: str = ""
    control_values: tuple[str, ...] = ()
    """Values of `control_column` that mean a control; default are the words that do so by themselves."""
    positive: tuple[str, ...] = ()
    """Values that make the positive class; every other value that is not missing makes the negative one."""
    classes: tuple[str, ...] = ()
    """Classes to tell apart, the positive one last; default are the task's. Cases of others are left out."""
    missing_values: tuple[str, ...] = ()
    """Codes of a missing value in any column but that of ids, beyond the usual ones (see `values.MISSING`)."""
    blank_labels: Literal["preset", "missing"] = "preset"
    """What a blank label means: what the preset says (of OASIS-1, that young adults are nondemented), or nothing."""
    kind: Literal["auto", "number", "class"] = "auto"
    """Of a custom target: `auto` takes a column of more than 10 different numbers as a number."""
    scan_dates: Path | None = None
    """Table of scans' dates, by study or by subject and session."""
    max_days: float = 180.0
    """Most days between a scan and the visit that its label comes from."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files and folders that are read."""
        cohort = self.cohort if isinstance(self.cohort, str | Path) else None
        return as_inputs(self.labels, self.scan_dates, cohort or None)


@dataclass(frozen=True)
class Joined:
    """Studies with their labels."""

    frame: pd.DataFrame
    """One row per matched study: `row` (of `Embeddings.studies`), `study`, `subject` (the same for all studies of a
    person), `session`, `target` (a number, or a name in `classes`), `group`, `site`, `sex` (`F`, `M` or empty),
    `age` (years at the scan), `scanner`, `field_strength`, `split`, `control` (1 control, 0 patient), `icv` (as in
    the table). Absent texts are empty, absent numbers NaN."""
    classes: tuple[str, ...]
    """The positive one last; empty where the target is a number."""
    unmatched_studies: pd.DataFrame
    """Studies without a label: `study`, `reason` (few different ones, to count), `detail`."""
    unmatched_labels: pd.DataFrame
    """Label rows that no study took: `id`, `row` (from 1, below the header), `reason`, `detail`."""
    warnings: tuple[str, ...] = ()
    """A sentence each."""
    cohort: str = ""
    task: str = "custom"
    request: LabelRequest = field(default_factory=LabelRequest, repr=False)
