"""Attention weights of predictions, by study and by kind of sequence, and attention compared with the mean."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.evaluation.intervals import Estimate
from prima_features.probes.bags import Bags
from prima_features.probes.samples import Samples
from prima_features.studies.sequences import sequence_of

if TYPE_CHECKING:
    import pandas as pd

MOST_TOKENS = 100
"""Tokens per study in a table of weights, those with the largest."""
MIN_STUDIES = 5
"""That have a token in a place, for the place to be listed."""
_BETWEEN = ": "
_PLACES = ("first", "middle", "last")
"""Thirds of an axis."""


@dataclass(frozen=True)
class Share:
    """The weight that studies give to one kind of series or tokens."""

    n_studies: int
    """That have it; the other numbers are over these."""
    mean: float
    sd: float
    low: float
    high: float
    """10th and 90th percentiles."""
    equal: float
    """Mean if all vectors of a study had the same weight."""


@dataclass(frozen=True)
class Attention:
    """Weights of an evaluated probe that pools with attention."""

    table: pd.DataFrame
    """See `weights_table`."""
    sequences: dict[str, Share]
    """By kind of sequence (`studies.sequences`), the most frequent first."""
    places: dict[tuple[str, str], Share] = field(default_factory=dict)
    """Of tokens, by kind of sequence and third of each axis, those with the largest mean first."""
    used: float = float("nan")
    """Effective part of a study's vectors, 1 / (n sum of squared weights), mean over studies; 1 for equal weights."""
    mean: dict[str, Estimate] = field(default_factory=dict)
    """Metrics of the default estimator on the means of the vectors, in the same folds; empty if nothing was fitted."""
    over_mean: Estimate | None = None
    """Attention minus mean of the primary metric, on the same resamples."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the table."""
        return {
            "sequences": {name: vars(one) for name, one in self.sequences.items()},
            "effective_share": self.used,
            "mean_pooling": {name: one.to_dict() for name, one in self.mean.items()},
            "over_mean_pooling": self.over_mean.to_dict() if self.over_mean else None,
        }


def summarize(
    samples: Samples, weights: np.ndarray, counted: np.ndarray, fold: np.ndarray | None
) -> Attention:
    """Tables of weights, without a comparison.

    Args:
        samples: N studies with bags.
        weights: (m,) weights of the rows of their `bags.index`, NaN for studies that were not predicted.
        counted: (N,) which studies the summaries are over; all of them are predicted.
        fold: (N,) fold of each study, if there are any.
    """
    bags = samples.bags
    assert bags is not None
    index, owner = bags.index, bags.owner
    kept = counted[owner]
    _, study = np.unique(owner[kept], return_inverse=True)
    own, kinds = weights[kept], _columns(bags)["sequence"][kept].astype(str)
    squares = np.bincount(study, weights=own**2)
    used = float(np.mean(1 / squares / np.bincount(study)))
    by_kind = shares(study, kinds, own)
    places = {}
    if "z" in bags.columns:
        where = _places(bags.columns, index)[kept]
        found = shares(study, np.char.add(np.char.add(kinds, _BETWEEN), where), own)
        ordered = sorted(found.items(), key=lambda item: -item[1].mean / item[1].equal)
        places = {_pair(key): one for key, one in ordered if one.n_studies >= MIN_STUDIES}
    return Attention(weights_table(samples, weights, fold), by_kind, places, used)


def weights_table(samples: Samples, weights: np.ndarray, fold: np.ndarray | None = None) -> pd.DataFrame:
    """Weights of the vectors of studies that were predicted.

    Args:
        samples: N studies with bags.
        weights: (m,) of the rows of their `bags.index`, NaN for studies that were not predicted.
        fold: (N,) fold of each study.

    Returns:
        One row per series, or per token of the `MOST_TOKENS` with the largest weights of a study: `study subject`,
        `fold` if given, `series` (number within the study, from 0), `name`, `sequence`, of tokens `z y x`, `weight` and
        `relative_weight` (1 if all weights of the study are equal).
    """
    import pandas as pd

    bags = samples.bags
    assert bags is not None
    owner = bags.owner
    columns = {name: samples.frame[name].to_numpy()[owner] for name in ("study", "subject")}
    if fold is not None:
        columns["fold"] = fold[owner]
    columns |= _columns(bags)
    relative = weights * bags.sizes[owner]
    table = pd.DataFrame(columns | {"weight": weights, "relative_weight": relative})
    table["owner"] = owner
    table = table[np.isfinite(weights)]
    if "z" in bags.columns:
        largest = (
            table.sort_values("weight", ascending=False, kind="stable").groupby("owner").head(MOST_TOKENS)
        )
        table = largest.sort_values("owner", kind="stable")
    return table.drop(columns="owner").reset_index(drop=True)


def shares(study: np.ndarray, kind: np.ndarray, weights: np.ndarray) -> dict[str, Share]:
    """Total weight per study of each kind of vector.

    Args:
        study: (m,) number of the study of each vector, from 0 without gaps.
        kind: (m,) text.
        weights: (m,) that sum to 1 per study.

    Returns:
        by kind, that of most studies first.
    """
    kinds, code = np.unique(kind, return_inverse=True)
    shape = (study.max() + 1, len(kinds))
    total, number = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (study, code), weights)
    np.add.at(number, (study, code), 1)
    equal = number / number.sum(axis=1, keepdims=True)
    found = {}
    for i, name in enumerate(kinds):
        has = number[:, i] > 0
        values = total[has, i]
        low, high = np.quantile(values, [0.1, 0.9])
        found[str(name)] = Share(
            int(has.sum()),
            float(values.mean()),
            float(values.std()),
            float(low),
            float(high),
            float(equal[has, i].mean()),
        )
    return dict(sorted(found.items(), key=lambda item: (-item[1].n_studies, item[0])))


def _columns(bags: Bags) -> dict[str, np.ndarray]:
    """(m,) descriptions of the vectors of `bags.index`; vectors of plain arrays have numbers and no names."""
    first = np.cumsum(bags.sizes) - bags.sizes
    unnamed = {
        "series": np.arange(len(bags.owner)) - first[bags.owner],
        "name": np.full(len(bags.owner), "", dtype=object),
    }
    index = bags.index
    found = unnamed | {name: values[index] for name, values in bags.columns.items()}
    kinds = {name: sequence_of(name) for name in set(found["name"])}
    sequence = np.array([kinds[name] for name in found["name"]], dtype=object)
    places = {name: found.pop(name) for name in "zyx" if name in found}
    return found | {"sequence": sequence} | places


def _places(columns: Any, index: np.ndarray) -> np.ndarray:
    """(m,) thirds of the axes z, y and x that tokens are in, of the extent of the tokens of their series."""
    starts = np.flatnonzero(np.diff(columns["series"][index], prepend=-1) != 0)
    parts = []
    for axis in "zyx":
        values = columns[axis][index].astype(np.int64)
        extent = np.repeat(np.maximum.reduceat(values, starts) + 1, np.diff(np.r_[starts, len(values)]))
        parts.append(np.array(_PLACES)[3 * values // extent])
    return np.array([" / ".join(one) for one in zip(*parts, strict=True)])


def _pair(key: str) -> tuple[str, str]:
    name, _, place = key.partition(_BETWEEN)
    return name, place
