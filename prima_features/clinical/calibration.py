"""Probabilities from scores, by curves that `prima audit --calibrate` fitted on a labelled cohort.

A curve belongs to the cohort it was fitted on: with another share of positives its probabilities are off. The file
therefore states the size and share of positives of that cohort.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from prima_features._version import __version__
from prima_features.errors import UsageError
from prima_features.evaluation.curves import isotonic, platt
from prima_features.evaluation.weighted import logit
from prima_features.files.plain import from_plain
from prima_features.files.safe import SETTINGS_BYTES, load_json, read_text
from prima_features.files.text import printable_json
from prima_features.wording import RESEARCH_ONLY, count

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "prima-calibration"
Method = Literal["platt", "isotonic"]
_MOST_BYTES = 16 * SETTINGS_BYTES


@dataclass(frozen=True)
class Curve:
    """From the score of one name to a probability; never falls."""

    method: Method
    x: tuple[float, ...]
    y: tuple[float, ...]
    """platt: (slope,), (intercept,) of the log odds; isotonic: scores and probabilities of the knots."""
    n: int
    positives: int
    """Studies of the cohort."""

    def __post_init__(self) -> None:
        if not 0 <= self.positives <= self.n:
            raise ValueError(f"positives is {self.positives} of {self.n} studies: expected 0 to {self.n}")
        if self.method == "platt":
            is_curve = len(self.x) == len(self.y) == 1 and self.x[0] >= 0
        else:
            pairs = [*zip(self.x, self.x[1:], strict=False), *zip(self.y, self.y[1:], strict=False)]
            is_curve = (
                0 < len(self.x) == len(self.y)
                and all(first <= second for first, second in pairs)
                and 0 <= self.y[0] <= self.y[-1] <= 1
            )
        if not is_curve:
            raise ValueError(f"x and y are not a {self.method} curve that rises from 0 towards 1")

    def apply(self, score: np.ndarray) -> np.ndarray:
        """(N,) probabilities of (N,) scores; NaN stays NaN."""
        from scipy.special import expit

        if self.method == "platt":
            return np.asarray(expit(self.x[0] * score + self.y[0]))
        return np.where(np.isfinite(score), np.interp(score, self.x, self.y), np.nan)


@dataclass(frozen=True)
class Calibration:
    """Curves of all names, and the cohort they were fitted on."""

    method: Method
    names: tuple[str, ...]
    curves: tuple[Curve, ...]
    """One per name."""
    n_studies: int
    n_subjects: int
    scores: Literal["score", "probability"] = "score"
    """What the curves read: score, or probability (whose log odds they take)."""
    model_sha256: str = ""
    """Of the model that made the scores; empty if it is not known."""
    caveat: str = ""
    format: str = FORMAT
    format_version: int = 1
    notice: str = RESEARCH_ONLY
    prima_features_version: str = __version__

    def __post_init__(self) -> None:
        if len(self.curves) != len(self.names) or len(set(self.names)) < len(self.names):
            raise ValueError(
                f"it has {count(len(self.curves), 'curve')} for {count(len(set(self.names)), 'different name')}"
            )

    def probabilities(self, names: Sequence[str], score: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities (N,) of (N, M) scores, by name; names without a curve are left out."""
        places = {name: i for i, name in enumerate(names)}
        x = logit(score) if self.scores == "probability" else score
        return {
            name: curve.apply(x[:, places[name]])
            for name, curve in zip(self.names, self.curves, strict=True)
            if name in places
        }

    def columns(self, table: pd.DataFrame) -> dict[str, np.ndarray]:
        """`probability/diagnosis/NAME` and `probability/referral/NAME` (N,) for a table of `prima diagnose`."""
        made = {}
        for column in map(str, table.columns):
            kind, _, bare = column.partition("/")
            name = column if column in self.names else bare
            if kind in ("diagnosis", "referral") and name in self.names:
                score = table[[column]].to_numpy(dtype=np.float64)
                made[f"probability/{column}"] = self.probabilities([name], score)[name]
        return made

    def to_json(self) -> str:
        """The file's content."""
        return json.dumps(printable_json(asdict(self)), indent=1, allow_nan=False) + "\n"


def read_calibration(path: Path, model_sha256: str = "") -> Calibration:
    """Read a file of curves.

    Args:
        path: calibration.json of an audit.
        model_sha256: of the model whose scores are to be calibrated; empty if any will do.

    Raises:
        UsageError: it is no such file, or its scores were made by another model.
    """
    try:
        found = from_plain(Calibration, load_json(read_text(path, _MOST_BYTES)))
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist: give the calibration.json of an audit") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a file of prima audit --calibrate: {error}") from error
    if found.format != FORMAT or found.format_version != 1:
        raise UsageError(f"{path} is not a file of prima audit --calibrate that this version reads")
    if model_sha256 and found.model_sha256 and found.model_sha256 != model_sha256:
        raise UsageError(
            f"{path} was made from scores of another model (SHA-256 {found.model_sha256[:12]}, not "
            f"{model_sha256[:12]}): "
            "audit the scores of this model with --calibrate"
        )
    return found


def fit_curve(method: Method, score: np.ndarray, positive: np.ndarray) -> Curve:
    """Fit the curve of one name.

    Args:
        method: see `evaluation.curves`.
        score: (n,) finite.
        positive: (n,) truth.
    """
    points = platt(score, positive) if method == "platt" else isotonic(score, positive)
    return Curve(method, *points, len(positive), int(positive.sum()))
