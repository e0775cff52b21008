"""From an embeddings file and label tables to features with their targets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.probes import tasks
from prima_features.probes.feature_matrix import Features, Level, features
from prima_features.probes.labels import Joined, JoinSummary, LabelRequest, join, summarize
from prima_features.probes.tasks import Task
from prima_features.wording import count, verb

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Sources:
    """What a probe is fitted or evaluated on."""

    embeddings: Path
    """File that `prima embed` made."""
    labels: LabelRequest = field(default_factory=LabelRequest)
    """Its task is the probe's."""
    level: Level = "study"
    series: str = ""
    """See `feature_matrix.features`."""


@dataclass(frozen=True)
class Data:
    """Features and labels, row by row."""

    task: Task
    features: Features
    frame: pd.DataFrame
    """See `labels.Joined.frame`; studies without features are left out."""
    joined: Joined

    @property
    def join(self) -> JoinSummary:
        """The join in numbers."""
        return summarize(self.joined)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the join, and how many studies lack the series that were asked for."""
        missing = len(self.joined.frame) - len(self.frame)
        lacking = (
            f"{count(missing, 'labelled study')} {verb(missing, 'has', 'have')} no series "
            f"{self.features.source.series!r} and {verb(missing, 'is', 'are')} left out"
        )
        return (*self.joined.warnings, *([lacking] if missing else []))


def read(sources: Sources) -> Data:
    """Read features and labels.

    Raises:
        UsageError: see `labels.join` and `feature_matrix.features`.
    """
    from prima_features.embedding.file.read import read_embeddings

    embeddings = read_embeddings(sources.embeddings)
    joined = join(embeddings, sources.labels)
    found, frame = features(embeddings, sources.level, sources.series).aligned(joined.frame)
    return Data(_task(joined), found, frame, joined)


def _task(joined: Joined) -> Task:
    if joined.task == "custom":
        return tasks.custom(joined.request.target_column, joined.classes)
    return tasks.get(joined.task, joined.classes)
