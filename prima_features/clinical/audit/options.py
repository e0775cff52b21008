"""Settings of an audit."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from prima_features.errors import UsageError


@dataclass(frozen=True)
class AuditOptions:
    """What to compute. All are stored in audit.json."""

    id_column: str = ""
    """Column of ids in the labels and attributes, if it has no usual name."""
    target_column: str = ""
    """Column of the labels that has a class per study, in place of one column per name."""
    score_columns: tuple[str, ...] = ()
    """Columns of scores, for tables of other tools."""
    threshold: float | None = None
    """A score of this or more means present, for all names; None for the stored thresholds."""
    sensitivity: float = 0.9
    """At which the specificity is given."""
    groups: tuple[str, ...] = ()
    """Columns to compare groups by."""
    cross: tuple[tuple[str, ...], ...] = ()
    """Columns whose intersections are compared."""
    min_positives: int = 10
    """Subjects with a positive label, and with a negative one, that metrics of a group need."""
    resamples: int = 1000
    """Of the bootstrap."""
    seed: int = 0

    date_column: str = ""
    """Column of the studies' dates."""
    by: Literal["", "month", "quarter"] = ""
    """Periods to compare."""
    freeze_before: str = ""
    """Date before which thresholds are chosen for `sensitivity`."""
    wait_column: str = ""
    """Column of days until the result."""
    queue_load: float = 0.8
    """Share of the time that the simulated reader is busy."""
    calibrate: Literal["", "platt", "isotonic"] = ""
    """Curves to fit from scores to probabilities."""

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        if not 0 < self.sensitivity < 1:
            raise UsageError(
                f"--sensitivity {self.sensitivity:g} is not between 0 and 1: give one such as 0.9"
            )
        if self.resamples < 100:
            raise UsageError(f"--resamples {self.resamples} are too few for intervals: give 100 or more")
        if not 0 < self.queue_load < 1:
            raise UsageError(f"--queue-load {self.queue_load:g} is not between 0 and 1: give one such as 0.8")
        if (self.by or self.freeze_before) and not self.date_column:
            raise UsageError("--by and --freeze-before need the column with dates: give --date-column")
        if self.min_positives < 2:
            raise UsageError(f"--min-positives {self.min_positives} is too few for metrics: give 2 or more")
        if self.threshold is not None and not isfinite(self.threshold):
            raise UsageError(
                f"--threshold {self.threshold:g} is not a number that scores can reach: give one"
            )
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed} is negative: give 0 or more")
        if repeated := next((names for names in self.cross if len({*names}) < len(names)), ()):
            raise UsageError(f"--cross {','.join(repeated)} has a column twice: name different columns")
