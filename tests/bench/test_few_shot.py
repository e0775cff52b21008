"""Few-shot curves: the draws, and what they show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from prima_features.bench.few_shot import draw_few, few_shot
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task

TASK = Task("synthetic", "", ("control", "case"))


def cohort(
    n: int = 60, scans: int = 2, signal: float = 1.0, classes: tuple[str, ...] = TASK.classes
) -> Samples:
    """Subjects with several scans, whose class shifts their first features."""
    rng = np.random.default_rng(0)
    subject = np.repeat(np.arange(n), scans)
    code = (np.arange(n) % len(classes))[subject]
    X = rng.normal(size=(n * scans, 8))
    X[np.arange(len(X)), code] += 3 * signal
    frame = pd.DataFrame(
        {
            "study": [f"{s}-{i}" for i, s in enumerate(subject)],
            "subject": subject.astype(str),
            "target": np.array(classes, dtype=object)[code],
        }
    )
    return samples(X, frame, Task("synthetic", "", classes))


def test_training_sets_are_nested_balanced_and_of_other_subjects_than_the_test_set() -> None:
    given = cohort()
    draws = draw_few(given, 20)
    assert len(draws) == 20
    for one in draws:
        assert one.train.shape == (8, 2), "16 per class would leave fewer than half of the 30 for testing"
        assert (given.y[one.train] == [0, 1]).all()
        trained = given.groups[one.train.ravel()]
        assert len(set(trained)) == 16, "one study of each subject"
        assert not set(trained) & set(given.groups[one.test])


def test_more_subjects_help_and_noise_stays_at_chance() -> None:
    given, noise = cohort(400, 1), cohort(400, 1, signal=0.0)
    draws = draw_few(given, 60)
    curves = few_shot({"signal": given, "noise": noise}, draws)
    assert [point.per_class for point in curves["signal"]] == [1, 2, 4, 8, 16, 32, 64]
    values = [point.value for point in curves["signal"]]
    assert values[0] < values[3] < values[-1] and values[-1] > 0.95
    assert all(abs(point.value - 0.5) < 0.05 for point in curves["noise"])
    assert all(point.low <= point.value <= point.high for point in curves["signal"])


def test_three_classes_and_chance_level() -> None:
    given = cohort(90, 1, classes=("a", "b", "c"))
    curve = few_shot({"A": given}, draw_few(given, 20))["A"]
    assert curve[-1].value > 0.9


def test_scale_and_shift_of_the_vectors_change_nothing() -> None:
    given = cohort()
    moved = Samples(given.task, 7 * given.X + 100, given.y, given.frame)
    one, other = (few_shot({"A": own}, draw_few(own, 10))["A"] for own in (given, moved))
    assert [point.value for point in one] == pytest.approx([point.value for point in other])


def test_a_class_of_one_subject_has_no_curve() -> None:
    given = cohort(40, 1)
    few = given.take(np.flatnonzero((given.y == 0) | (np.arange(len(given)) == 1)))
    assert draw_few(few, 5) == ()
    assert few_shot({"A": few}, ()) == {}
