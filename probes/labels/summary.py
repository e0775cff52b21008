"""A join in numbers: what matched, what did not and why, and the classes by site."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prima_features.probes.labels.records import Joined

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class JoinSummary:
    """What `--dry-run` shows."""

    n_studies: int
    """Studies in the embeddings file."""
    n_matched: int
    n_groups: int
    """Persons or families among the matched."""
    study_reasons: dict[str, int]
    """Reason to the studies without a label for it, the commonest first."""
    label_reasons: dict[str, int]
    """Reason to the label rows that no study took for it, the commonest first."""
    classes: dict[str, int]
    """Class to its studies; empty where the target is a number."""
    target_range: tuple[float, float, float] | None
    """Least, mean and greatest target; None where there are classes."""
    by_site: pd.DataFrame
    """Studies by site (rows) and class (columns); for a number the columns are n, min, mean, max."""
    warnings: tuple[str, ...]


def summarize(joined: Joined) -> JoinSummary:
    """The numbers of a join."""
    target = joined.frame["target"]
    numeric = not joined.classes
    return JoinSummary(
        n_studies=len(joined.frame) + len(joined.unmatched_studies),
        n_matched=len(joined.frame),
        n_groups=joined.frame["group"].nunique(),
        study_reasons=_counts(joined.unmatched_studies),
        label_reasons=_counts(joined.unmatched_labels),
        classes={} if numeric else {name: int((target == name).sum()) for name in joined.classes},
        target_range=(float(target.min()), float(target.mean()), float(target.max())) if numeric else None,
        by_site=_numbers_by_site(joined) if numeric else _classes_by_site(joined),
        warnings=joined.warnings,
    )


def _counts(lost: pd.DataFrame) -> dict[str, int]:
    return {str(reason): int(n) for reason, n in lost["reason"].value_counts().items()}


def _classes_by_site(joined: Joined) -> pd.DataFrame:
    import pandas as pd

    sites = joined.frame["site"].replace("", "unknown")
    counts = pd.crosstab(sites, joined.frame["target"])
    return counts.reindex(columns=list(joined.classes), fill_value=0)


def _numbers_by_site(joined: Joined) -> pd.DataFrame:
    sites = joined.frame["site"].replace("", "unknown")
    table = joined.frame["target"].astype(float).groupby(sites).agg(["count", "min", "mean", "max"])
    return table.rename(columns={"count": "n"})
