"""Simulated cohorts: scores with known truth, labels and attributes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest


@dataclass(frozen=True)
class Simulated:
    """Tables of N studies, and their files."""

    scores: pd.DataFrame
    labels: pd.DataFrame
    attributes: pd.DataFrame
    folder: Path

    @property
    def paths(self) -> tuple[Path, Path, Path]:
        """Written as they are now."""
        for name in ("scores", "labels", "attributes"):
            getattr(self, name).to_csv(self.folder / f"{name}.tsv", sep="\t", index=False)
        return tuple(self.folder / f"{name}.tsv" for name in ("scores", "labels", "attributes"))  # type: ignore[return-value]


Simulate = Callable[..., Simulated]


@pytest.fixture
def simulate(tmp_path: Path) -> Simulate:
    """Makes N studies of M names; `gap` lowers the scores of positive women for the first name."""

    def simulated(
        n: int = 400, names: int = 2, seed: int = 0, gap: float = 0.0, per_subject: int = 1
    ) -> Simulated:
        rng = np.random.default_rng(seed)
        truth = rng.random((n, names)) < 0.3
        score = rng.normal(size=(n, names)) + 1.5 * truth - 0.8
        sex = np.where(rng.random(n) < 0.5, "F", "M")
        score[:, 0] -= gap * (truth[:, 0] & (sex == "F"))
        subject = np.arange(n) // per_subject
        study = [f"sub-{s:04d}_ses-{i}" for i, s in enumerate(subject)]
        columns = [f"condition_{i}" for i in range(names)]
        scores = pd.DataFrame({"study": study, "subject": [f"{s:04d}" for s in subject]})
        scores[[f"diagnosis/{one}" for one in columns]] = score
        labels = pd.DataFrame(
            {"study": study} | {one: truth[:, i].astype(int) for i, one in enumerate(columns)}
        )
        attributes = pd.DataFrame(
            {
                "study": study,
                "sex": sex,
                "age": rng.integers(18, 90, n),
                "site": rng.choice(["A", "B", "C"], n),
            }
        )
        return Simulated(scores, labels, attributes, tmp_path)

    return simulated
