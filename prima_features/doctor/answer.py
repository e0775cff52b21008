"""The vectors of the synthetic scan, and the file next to a model's weights that records them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from prima_features.doctor.scan import VERSION
from prima_features.files.safe import load_json, read_text
from prima_features.models.directory import ANSWER

HOW_TO_RECORD = "on a machine that you trust, run prima doctor --model DIR --record-answer"


@dataclass(frozen=True)
class Answer:
    """The vectors that a model computes for the scan."""

    model_sha256: str
    """Checksum of the weights: an answer is for these and no others."""
    study: np.ndarray
    """(D,) float32."""
    clip: np.ndarray | None
    """(C,) float32; None from encoders without it."""
    series: np.ndarray
    """(2, d) float32."""

    @property
    def vectors(self) -> dict[str, np.ndarray]:
        """All of them by name."""
        vectors = {"study": self.study, "clip": self.clip, "series": self.series}
        return {name: values for name, values in vectors.items() if values is not None}

    def error(self, expected: Answer) -> float:
        """The largest relative error of the vectors, |a - b| / |b|; infinite if shapes differ."""
        if self.vectors.keys() != expected.vectors.keys():
            return np.inf
        pairs = list(zip(self.vectors.values(), expected.vectors.values(), strict=True))
        if any(a.shape != b.shape for a, b in pairs):
            return np.inf
        return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in pairs)


def write_answer(directory: Path, answer: Answer) -> Path:
    """Record an answer in a model directory; returns the file.

    Raises:
        UsageError: a file of that name is there that is no answer.
        OutputError: the directory cannot be written to.
    """
    from prima_features.files.disk import replacing
    from prima_features.files.targets import Maker, check_file, starts_with

    # Five digits are far finer than any tolerance, and keep the package small.
    vectors = {name: np.vectorize(_five_digits)(values).tolist() for name, values in answer.vectors.items()}
    record = {"scan": VERSION, "model_sha256": answer.model_sha256} | vectors
    check_file(
        directory / ANSWER,
        Maker("prima doctor", is_own=starts_with(b'{"scan"'), kind="a recorded answer", option=""),
    )
    with replacing(directory / ANSWER) as temporary:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
    return directory / ANSWER


def read_answer(directory: Path) -> Answer | None:
    """What is recorded in a model directory; None where nothing is, or for an earlier version of the scan.

    Raises:
        UsageError: the record cannot be read.
    """
    from prima_features.errors import UsageError

    path = directory / ANSWER
    if not path.is_file():
        return None
    try:
        record = load_json(read_text(path))
        if record["scan"] != VERSION:
            return None
        study, series = (np.array(record[name], np.float32) for name in ("study", "series"))
        clip = np.array(record["clip"], np.float32) if "clip" in record else None
        return Answer(record["model_sha256"], study, clip, series)
    except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UsageError(f"{path} is damaged: {HOW_TO_RECORD}") from error


def _five_digits(value: float) -> float:
    return float(f"{value:.5g}")
