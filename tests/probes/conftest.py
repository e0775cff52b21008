"""Made-up cohorts of embeddings with planted signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from prima_features.probes import Recipe
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task

RIDGE = Recipe("ridge", {"alphas": (1e4, 1e3, 1e2, 1e1)}, inner_folds=3)
LOGISTIC = Recipe("logistic", {"C": (1e-3, 1e-2, 1e-1)}, inner_folds=3)


@dataclass(frozen=True)
class Cohort:
    """Embeddings with a table of labels, a row a scan."""

    task: Task
    X: np.ndarray
    frame: pd.DataFrame

    @property
    def samples(self) -> Samples:
        """Both side by side."""
        return samples(self.X, self.frame, self.task)

    def known(self, **columns: object) -> Cohort:
        """The same with other columns in its table."""
        return replace(self, frame=self.frame.assign(**columns))


def planted(
    task: Task,
    n_subjects: int = 200,
    *,
    width: int = 20,
    signal: float = 1.0,
    scans: int = 1,
    scan_noise: float = 0.1,
    sites: Sequence[str] = (),
    site_shift: float = 0.0,
    confounding: float = 0.0,
    seed: int = 0,
) -> Cohort:
    """Subjects whose target depends on their embedding along fixed directions.

    Args:
        task: numbers have mean 50 and deviation 10 beside the signal; classes are drawn by their log odds.
        n_subjects: number of subjects.
        width: features.
        signal: 0 for none; 1 makes half of a number's variance signal.
        scans: of each subject, all alike but for noise of deviation `scan_noise`.
        scan_noise: see there.
        sites: names; each shifts all features by a vector of its own, of entries of deviation `site_shift`.
        site_shift: see there.
        confounding: part of the subjects whose class decides their site.
        seed: of everything but the planted directions.
    """
    rng = np.random.default_rng(seed)
    person = rng.normal(size=(n_subjects, width))
    directions = np.linalg.qr(np.random.default_rng(99).normal(size=(width, max(1, len(task.classes)))))[0]
    latent = signal * person @ directions
    if task.classes:
        noise = rng.gumbel(size=(n_subjects, len(task.classes)))
        code = (2 * latent + noise).argmax(axis=1)
        target = np.array(task.classes, dtype=object)[code]
    else:
        target = 50 + 10 * (latent[:, 0] + rng.normal(size=n_subjects))
        code = (target > np.median(target)).astype(int)
    names = np.array(sites or [""], dtype=object)
    site = np.where(
        rng.random(n_subjects) < confounding, code % len(names), rng.integers(len(names), size=n_subjects)
    )
    shifts = site_shift * np.random.default_rng(98).normal(size=(len(names), width))
    subject = np.repeat(np.arange(n_subjects), scans)
    X = (person + shifts[site])[subject] + (scans > 1) * scan_noise * rng.normal(size=(len(subject), width))
    frame = pd.DataFrame(
        {
            "study": [f"sub-{i:03d}_ses-{k % scans}" for k, i in enumerate(subject)],
            "subject": [f"sub-{i:03d}" for i in subject],
            "site": names[site][subject],
            "sex": np.where(rng.random(n_subjects) < 0.5, "M", "F")[subject],
            "age": (target if task.is_age else rng.normal(55, 12, n_subjects))[subject],
            "target": target[subject],
        }
    )
    return Cohort(task, X, frame)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Matrices this small lose time to threads, much of it where other tests run beside."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    """See `planted`."""
    return planted


@pytest.fixture
def binary() -> Task:
    """Two classes."""
    return Task("made-up", "", ("control", "case"))


@pytest.fixture
def triple() -> Task:
    """Three classes."""
    return Task("made-up", "", ("cn", "mci", "ad"))


@pytest.fixture(scope="session")
def number() -> Task:
    """A number that is no age."""
    return Task("made-up", "")


@pytest.fixture
def brain_age() -> Task:
    """An age, fitted on controls."""
    return Task("made-up", "", is_age=True, fit_on_controls=True)


@pytest.fixture(scope="session")
def ridge() -> Recipe:
    """A quick recipe for numbers."""
    return RIDGE


@pytest.fixture
def logistic() -> Recipe:
    """A quick recipe for classes."""
    return LOGISTIC
