"""Features for probes from an embeddings file: the studies' vectors, or the mean of one kind of series."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.files.safe_pattern import SafePattern
from prima_features.models.caveats import caveat_of

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.embedding.file.read import Embeddings

Level = Literal["study", "series"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureSource:
    """Where features come from. A probe takes only features of the source that it was fitted on."""

    model: str = ""
    model_revision: str = ""
    model_sha256: str = ""
    level: Level = "study"
    series: str = ""
    """Pattern of the names of the series that were pooled; empty for all of them."""
    encoder: str = ""
    """Kind of the model, such as `prima`; empty if unknown."""
    caveat: str = ""
    """One sentence that must accompany all numbers of the model (`models.caveats`); empty for most models."""
    citation: str = ""
    """The model's paper, as its encoder states it; empty if it states none."""

    def __post_init__(self) -> None:
        if not self.caveat:
            object.__setattr__(self, "caveat", caveat_of(self.model, self.model_sha256))


@dataclass(frozen=True)
class Features:
    """A row of numbers for each of some studies."""

    X: np.ndarray
    """(N, D) float32."""
    rows: np.ndarray
    """(N,) row of each in `Embeddings.studies`."""
    source: FeatureSource = field(default_factory=FeatureSource)

    @classmethod
    def of(cls, X: np.ndarray, source: FeatureSource | None = None) -> Features:
        """Features of a plain matrix whose rows are the studies in order."""
        return cls(X, np.arange(len(X)), source or FeatureSource())

    def aligned(self, frame: pd.DataFrame) -> tuple[Features, pd.DataFrame]:
        """These features and a table of labels, row by row; what has no features is left out.

        Args:
            frame: a row a study; its column `row` is a row of `Embeddings.studies`.

        Raises:
            UsageError: no study of the table has features.
        """
        position = {int(row): i for i, row in enumerate(self.rows)}
        kept = frame[[int(row) in position for row in frame["row"]]].reset_index(drop=True)
        if kept.empty:
            what = f"a series whose name matches {self.source.series!r}" if self.source.series else "features"
            raise UsageError(f"none of the {len(frame)} labelled studies has {what}")
        if missing := len(frame) - len(kept):
            _log.warning(
                "%d of %d labelled studies have no such series and are left out", missing, len(frame)
            )
        index = [position[int(row)] for row in kept["row"]]
        return Features(self.X[index], self.rows[index], self.source), kept


def features(embeddings: Embeddings, level: Level = "study", series: str = "") -> Features:
    """Features of the studies of an embeddings file.

    Args:
        embeddings: the file.
        level: `study` for the study's own vector (D numbers); `series` for the unweighted mean of the vectors
            of its series (d numbers), which leaves the study encoder out.
        series: with `series`, only those whose name this regular expression is found in, ignoring case.

    Raises:
        UsageError: a pattern is given for study vectors or is not one, no series matches, or vectors hold
            NaN or infinite numbers.
    """
    if series and level != "series":
        raise UsageError("a series pattern needs --level series: a study's own vector mixes all its series")
    X, rows = _series_means(embeddings, series) if level == "series" else _study_vectors(embeddings)
    if not np.isfinite(X).all():
        raise UsageError(f"{embeddings.path} contains NaN or infinite vectors: embed those studies again")
    attributes = embeddings.attributes
    names = ("model", "model_revision", "model_sha256", "encoder", "caveat", "citation")
    identity = {name: str(attributes.get(name, "")) for name in names}
    return Features(X, rows, FeatureSource(**identity, level=level, series=series))


def _study_vectors(embeddings: Embeddings) -> tuple[np.ndarray, np.ndarray]:
    return embeddings.study_embedding.astype(np.float32, copy=False), np.arange(embeddings.n_studies)


def _series_means(embeddings: Embeddings, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    wanted = SafePattern(pattern, re.IGNORECASE)
    table = embeddings.series
    chosen = np.array([bool(wanted.search(name)) for name in table["name"]], dtype=bool)
    if not chosen.any():
        names = ", ".join(sorted(set(table["name"]))[:10])
        raise UsageError(f"no series has a name that matches {pattern!r}: there are {names}")
    study = table["study"].to_numpy()[chosen]
    rows, position, count = np.unique(study, return_inverse=True, return_counts=True)
    vectors = embeddings.series_embedding
    total = np.zeros((len(rows), vectors.shape[1]))
    np.add.at(total, position, vectors[chosen].astype(np.float64))
    return (total / count[:, None]).astype(np.float32), rows
