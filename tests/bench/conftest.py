"""Small synthetic cohorts of several encoders, as embeddings files with a table of labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from prima_features.bench import BenchOptions
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.probes.evaluation import Scheme

QUICK = BenchOptions(
    scheme=Scheme(outer_folds=4, inner_folds=2), n_bootstrap=200, n_draws=5, site_check=False
)
"""Settings for small cohorts."""


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Matrices this small lose time to threads."""
    with threadpool_limits(1):
        yield


def write_vectors(path: Path, ids: list[tuple[str, str]], vectors: np.ndarray, model: str = "tiny") -> Path:
    """An embeddings file of studies, given as subject and session, with these vectors."""
    studies = [
        EmbeddedStudy(
            id=f"sub-{subject}" + (f"_ses-{session}" if session else ""),
            subject=subject,
            session=session,
            description="MRI BRAIN",
            source="",
            embedding=vector.astype(np.float32),
            clip=np.ones(2, np.float32),
            series=(
                EmbeddedSeries("T1w", "axial", "", 9, (5, 9, 9), (5.0, 1.0, 1.0), vector.astype(np.float32)),
            ),
        )
        for (subject, session), vector in zip(ids, vectors, strict=True)
    ]
    write_embeddings(path, studies, Provenance(model, "1", model.encode().hex().ljust(64, "0"), {}))
    return path


class Cohort:
    """Subjects with an age, a diagnosis and a site, and encoders that see them with more or less noise."""

    def __init__(self, folder: Path, n: int = 80, seed: int = 0):
        self.folder, self.n = folder, n
        self.rng = np.random.default_rng(seed)
        self.age = self.rng.uniform(20, 80, n).round(1)
        self.sick = self.rng.permutation(n) % 2 == 0
        self.site = np.array(["Guys", "HH"])[self.rng.permutation(n) // 2 % 2]
        self.names = [f"{i:03d}" for i in range(n)]
        self.labels = folder / "participants.tsv"
        pd.DataFrame(
            {
                "participant_id": [f"sub-{name}" for name in self.names],
                "age": self.age,
                "sex": np.where(self.rng.random(n) < 0.5, "F", "M"),
                "site": self.site,
                "diagnosis": np.where(self.sick, "autism", "control"),
            }
        ).to_csv(self.labels, sep="\t", index=False)

    def encoder(
        self, name: str, noise: float, *, width: int = 6, without: int = 0, site_shift: float = 0.0
    ) -> Path:
        """An embeddings file whose vectors show age and diagnosis with some noise; the last subjects may lack."""
        vectors = noise * self.rng.normal(size=(self.n, width))
        vectors[:, 0] += (self.age - 50) / 20
        vectors[:, 1] += self.sick
        vectors[:, 2] += site_shift * (self.site == "HH")
        ids = [(one, "") for one in self.names]
        n = self.n - without
        return write_vectors(self.folder / f"{name}.h5", ids[:n], vectors[:n], name)


@pytest.fixture
def make_cohort(tmp_path: Path) -> Callable[..., Cohort]:
    """See `Cohort`."""
    return lambda **options: Cohort(tmp_path, **options)
