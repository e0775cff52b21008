"""Probabilities from scores, by curves that `prima audit --calibrate` fitted on a labelled cohort.

A curve belongs to the cohort it was fitted on: with another share of positives its probabilities are off. The file
therefore states the size and share of positives of that cohort.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from prima_features._version import __version__
from prima_features.errors import UsageError
from prima_features.files.plain import from_plain
from prima_features.files.safe import SETTINGS_BYTES, load_json, read_text
from prima_features.files.text import printable_json

FORMAT = "prima-calibration"
Method = Literal["platt", "isotonic"]
_MOST_BYTES = 16 * SETTINGS_BYTES
_NOTICE = "For research use only: not a medical device."


@dataclass(frozen=True)
class Curve:
    """From the score of one name to a probability; never falls."""

    method: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    """platt: (slope,), (intercept,) of the log odds; isotonic: scores and probabilities of the knots."""
    n: int
    positives: int
    """Studies of the cohort."""

    def apply(self, score: np.ndarray) -> np.ndarray:
        """(N,) probabilities of (N,) scores; NaN stays NaN."""
        if self.method == "platt":
            return np.asarray(1 / (1 + np.exp(-(self.x[0] * score + self.y[0]))))
        return np.where(np.isfinite(score), np.interp(score, self.x, self.y), np.nan)


@dataclass(frozen=True)
class Calibration:
    """Curves of all names, and the cohort."""

    method: str
    names: dict[str, Curve]
    n_studies: int
    n_subjects: int
    model_sha256: str = ""
    """Of the model that made the scores; empty if it is not known."""
    caveat: str = ""
    format: str = FORMAT
    format_version: int = 1
    notice: str = _NOTICE
    prima_features_version: str = __version__

    def probabilities(self, names: Sequence[str], score: np.ndarray) -> dict[str, np.ndarray]:
        """Probabilities (N,) of (N, M) scores, by name; names without a curve are left out."""
        return {name: self.names[name].apply(score[:, i]) for i, name in enumerate(names) if name in self.names}

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
            f"{path} was made from scores of another model (SHA-256 {found.model_sha256[:12]}, not {model_sha256[:12]}): "
            "audit the scores of this model with --calibrate"
        )
    return found


def fit_curve(method: Method, score: np.ndarray, positive: np.ndarray) -> Curve:
    """Fit the curve of one name.

    Args:
        method: platt (Platt 1999, with his smoothed targets) is a logistic regression on the score; isotonic (Zadrozny
            and Elkan 2002) joins the knots of an isotonic regression by straight lines.
        score: (n,) finite.
        positive: (n,) truth.
    """
    counts = len(positive), int(positive.sum())
    if method == "platt":
        return Curve(method, *_platt(score, positive), *counts)
    from sklearn.isotonic import IsotonicRegression

    # By Laplace's rule: no number of studies makes a probability of 0 or 1.
    least = 1 / (len(positive) + 2)
    model = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(score, positive.astype(float))
    return Curve(method, tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist()), *counts)


def _platt(score: np.ndarray, positive: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    from sklearn.linear_model import LogisticRegression

    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    target = np.where(positive, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2))
    # Smoothed targets as weights: each row counts for its class by `target` and for the other by the rest.
    outcome, weight = np.repeat([1, 0], len(target)), np.concatenate([target, 1 - target])
    model = LogisticRegression(C=np.inf, tol=1e-8).fit(np.tile(score, 2)[:, None], outcome, weight)
    slope, intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
    if slope < 0:
        # Scores that order worse than chance are not turned round.
        mean = float(target.mean())
        return (0.0,), (float(np.log(mean / (1 - mean))),)
    return (slope,), (intercept,)
