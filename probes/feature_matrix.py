"""Features for probes from an embeddings file: the studies' vectors, or the mean of their series or tokens."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from prima_features.errors import UsageError
from prima_features.files.safe_pattern import SafePattern
from prima_features.models.caveats import caveat_of
from prima_features.probes.bags import Bags
from prima_features.probes.change import Change

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.embedding.file.read import Embeddings

Level = Literal["study", "series", "token"]

_log = logging.getLogger(__name__)
_TOKENS_READ = 1 << 16
"""Tokens that are read at a time."""


@dataclass(frozen=True)
class FeatureSource:
    """Where features come from. A probe takes only features of the source that it was fitted on."""

    model: str = ""
    model_revision: str = ""
    model_sha256: str = ""
    level: Level = "study"
    series: str = ""
    """Pattern of the names of the series that were used; empty for all of them."""
    encoder: str = ""
    """Kind of the model, such as `prima`; empty if unknown."""
    caveat: str = ""
    """One sentence that must accompany all numbers of the model (`models.caveats`); empty for most models."""
    citation: str = ""
    """The model's paper, as its encoder states it; empty if it states none."""
    change: Change | None = None
    """How the vectors of a subject's visits were combined; None: a row is one study."""

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
    bags: Bags | None = None
    """Vectors that `X` is the means of, if they were asked for."""

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
            raise UsageError(f"none of the {len(frame)} labelled studies has {lacked(self.source)}")
        if missing := len(frame) - len(kept):
            _log.warning(
                "%d of %d labelled studies have no %s and are left out",
                missing,
                len(frame),
                lacked(self.source),
            )
        index = [position[int(row)] for row in kept["row"]]
        bags = None if self.bags is None else self.bags.take(np.array(index))
        return Features(self.X[index], self.rows[index], self.source, bags), kept


def lacked(source: FeatureSource) -> str:
    """What studies without features lack, such as `series whose name matches 'T1w'`."""
    what = "tokens of series" if source.level == "token" else "series"
    return f"{what} whose name matches {source.series!r}" if source.series else what


def features(
    embeddings: Embeddings, level: Level = "study", series: str = "", *, bags: bool = False
) -> Features:
    """Features of the studies of an embeddings file.

    Args:
        embeddings: the file.
        level: `study` for the study's own vector (D numbers); `series` for the unweighted mean of the vectors
            of its series (d numbers), which leaves the study encoder out; `token` for that of the tokens of its series.
        series: with `series` or `token`, only series whose name this regular expression is found in, ignoring case.
        bags: keep the vectors of the series or tokens, for an estimator that pools them itself.

    Raises:
        UsageError: a pattern is given for study vectors or is not one, no series matches, the file has no tokens, bags
            of study vectors are asked for, or vectors hold NaN or infinite numbers.
    """
    if series and level == "study":
        raise UsageError(
            "a series pattern needs --level series or token: a study's own vector mixes all its series"
        )
    if bags and level == "study":
        raise UsageError(
            "pooling needs the vectors of series or tokens: give --level series or --level token"
        )
    if level == "token" and not embeddings.has_tokens:
        raise UsageError(f"{embeddings.path} contains no tokens: run prima embed with --level token")
    found: Bags | None = None
    if level == "study":
        X = embeddings.study_embedding.astype(np.float32, copy=False)
        rows = np.arange(embeddings.n_studies)
    elif level == "token" and not bags:
        X, rows = _token_means(embeddings, series)
    else:
        found, rows = _bags(embeddings, level, series)
        X = found.means()
    if not np.isfinite(X).all():
        raise UsageError(f"{embeddings.path} contains NaN or infinite vectors: embed those studies again")
    attributes = embeddings.attributes
    names = ("model", "model_revision", "model_sha256", "encoder", "caveat", "citation")
    identity = {name: str(attributes.get(name, "")) for name in names}
    source = FeatureSource(**identity, level=level, series=series)  # type: ignore[arg-type]
    return Features(X, rows, source, found if bags else None)


def _chosen(embeddings: Embeddings, pattern: str) -> np.ndarray:
    """(M,) which series have a matching name."""
    wanted = SafePattern(pattern, re.IGNORECASE)
    names = embeddings.series["name"]
    chosen = np.array([bool(wanted.search(name)) for name in names], dtype=bool)
    if not chosen.any():
        known = ", ".join(sorted(set(names))[:10])
        raise UsageError(f"no series has a name that matches {pattern!r}: there are {known}")
    return chosen


def _bags(embeddings: Embeddings, level: Level, pattern: str) -> tuple[Bags, np.ndarray]:
    """The vectors of series or tokens, and (N,) rows of their studies."""
    chosen = _chosen(embeddings, pattern)
    study = embeddings.series["study"].to_numpy()
    columns = {"series": _number_within(study), "name": embeddings.series["name"].to_numpy(dtype=object)}
    if level == "series":
        kept = slice(None) if chosen.all() else chosen
        described = {name: column[kept] for name, column in columns.items()}
        return Bags.of(embeddings.series_embedding[kept], study[kept], described)
    owner = embeddings.array("token/series")
    of_chosen = chosen[owner]
    values, coord = embeddings.array("token/embedding"), embeddings.array("token/coord")
    if not of_chosen.all():
        values, coord, owner = values[of_chosen], coord[of_chosen], owner[of_chosen]
    if not len(owner):
        raise UsageError(f"no series of {embeddings.path} that matches {pattern!r} has tokens")
    described = {name: column[owner] for name, column in columns.items()}
    return Bags.of(values, study[owner], described | dict(zip("zyx", coord.T, strict=True)))


def _number_within(study: np.ndarray) -> np.ndarray:
    """(M,) number of each series within its study, from 0, in the order of the file."""
    order = np.argsort(study, kind="stable")
    _, start, counts = np.unique(study[order], return_index=True, return_counts=True)
    number = np.empty(len(study), dtype=np.int64)
    number[order] = np.arange(len(study)) - np.repeat(start, counts)
    return number


def _token_means(embeddings: Embeddings, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each study's tokens, read in pieces, and (N,) rows of their studies."""
    chosen, study = _chosen(embeddings, pattern), embeddings.series["study"].to_numpy()
    owner = embeddings.array("token/series")
    width = embeddings.width("token/embedding")
    total, number = np.zeros((embeddings.n_studies, width)), np.zeros(embeddings.n_studies)
    first = 0
    for block in embeddings.blocks("token/embedding", _TOKENS_READ):
        series = owner[first : first + len(block)]
        kept = chosen[series]
        np.add.at(total, study[series[kept]], block[kept].astype(np.float64))
        np.add.at(number, study[series[kept]], 1)
        first += len(block)
    rows = np.flatnonzero(number)
    if not len(rows):
        raise UsageError(f"no series of {embeddings.path} that matches {pattern!r} has tokens")
    return (total[rows] / number[rows, None]).astype(np.float32), rows


def series_names(embeddings: Embeddings, rows: Iterable[int], pattern: str = "") -> list[tuple[str, ...]]:
    """Sorted names of the series of some studies, by rows of `Embeddings.studies`; only those that match a pattern."""
    wanted = SafePattern(pattern, re.IGNORECASE)
    names: dict[int, list[str]] = {}
    for study, name in zip(embeddings.series["study"], embeddings.series["name"], strict=True):
        if not pattern or wanted.search(name):
            names.setdefault(int(study), []).append(str(name))
    return [tuple(sorted(names.get(int(row), ()))) for row in rows]
