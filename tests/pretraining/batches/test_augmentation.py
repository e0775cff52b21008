"""Each augmentation does what it says, and nothing where it is off."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from prima_features.pretraining.batches.studies import apply, draw, unchanged
from prima_features.pretraining.data.draws import generator
from prima_features.pretraining.data.records import SeriesTokens, TrainingStudy
from prima_features.pretraining.settings import Augmentation

OFF = Augmentation(
    drop_series=0,
    drop_token=0,
    unknown_name=0,
    move_threshold=0,
    shuffle_series=False,
    shuffle_findings=False,
    abnormal_repeats=0,
)
COUNTS = (100, 90, 80, 70, 60)


def series(name: str) -> SeriesTokens:
    return SeriesTokens(
        name=name,
        slice_axis=0,
        latent=torch.randn(100, 2, 1, 1, 1),
        row=torch.arange(100),
        coord=torch.arange(300).reshape(100, 3).to(torch.int16),
        counts=COUNTS,
        number=torch.arange(100),
    )


@pytest.fixture
def study() -> TrainingStudy:
    return TrainingStudy("MRI BRAIN", tuple(series(f"s{i}") for i in range(5)), ("x", "y", "z"))


def augmented(study: TrainingStudy, settings: Augmentation, times: int = 300) -> list[TrainingStudy]:
    return [apply(study, draw(study, settings, generator(0, "augment", i))) for i in range(times)]


def assert_same(one: TrainingStudy, other: TrainingStudy) -> None:
    assert one.findings == other.findings
    assert [s.name for s in one.series] == [s.name for s in other.series]
    for a, b in zip(one.series, other.series, strict=True):
        assert torch.equal(a.row, b.row) and torch.equal(a.coord, b.coord) and torch.equal(a.number, b.number)


def test_all_off_is_what_embedding_sees(study: TrainingStudy) -> None:
    for seen in augmented(study, OFF, 5):
        assert_same(seen, unchanged(study))
    assert torch.equal(unchanged(study).series[0].row, torch.arange(20, 100))


def test_series_are_dropped_with_their_chance_and_one_stays(study: TrainingStudy) -> None:
    seen = augmented(study, replace(OFF, drop_series=0.08))
    left = np.mean([len(one.series) for one in seen]) / 5
    assert 0.89 < left < 0.95
    assert all(len(one.series) == 1 for one in augmented(study, replace(OFF, drop_series=1.0), 10))


def test_tokens_are_dropped_with_their_chance(study: TrainingStudy) -> None:
    seen = augmented(study, replace(OFF, drop_token=0.03), 100)
    left = np.mean([len(s.row) for one in seen for s in one.series]) / 80
    assert 0.965 < left < 0.975
    for one in seen:
        for s in one.series:
            assert torch.equal(s.row, s.coord[:, 0].long() // 3), "rows and places stay together"
    assert all(
        len(s.row) == 80 for one in augmented(study, replace(OFF, drop_token=1.0), 3) for s in one.series
    )


def test_names_become_unk_with_their_chance(study: TrainingStudy) -> None:
    seen = augmented(study, replace(OFF, unknown_name=0.07))
    names = [s.name for one in seen for s in one.series]
    assert 0.05 < np.mean([name == "unk" for name in names]) < 0.09
    assert set(names) == {"unk", *(f"s{i}" for i in range(5))}


def test_the_threshold_moves_by_up_to_two_percent_both_ways(study: TrainingStudy) -> None:
    seen = augmented(study, replace(OFF, move_threshold=2), 100)
    lengths = {len(s.row) for one in seen for s in one.series}
    assert lengths == set(COUNTS)
    narrow = augmented(study, replace(OFF, move_threshold=1), 100)
    assert {len(s.row) for one in narrow for s in one.series} == {90, 80, 70}
    for s in seen[0].series:
        assert torch.equal(s.row, torch.arange(100 - len(s.row), 100)), (
            "a higher threshold's are the last ones"
        )


@pytest.mark.parametrize(("key", "what"), [("shuffle_series", "series"), ("shuffle_findings", "findings")])
def test_orders_are_shuffled(study: TrainingStudy, key: str, what: str) -> None:
    seen = augmented(study, replace(OFF, **{key: True}), 60)
    orders = {tuple(getattr(item, "name", item) for item in getattr(one, what)) for one in seen}
    assert len(orders) > 5
    assert len({frozenset(order) for order in orders}) == 1
    other = "findings" if what == "series" else "series"
    for one in seen:
        assert len(getattr(one, other)) == len(getattr(study, other))


def test_what_is_drawn_depends_on_its_place_alone(study: TrainingStudy) -> None:
    settings = Augmentation()
    one, again, other = (
        apply(study, draw(study, settings, generator(seed, "augment", 3, 1))) for seed in (0, 0, 1)
    )
    assert_same(one, again)
    with pytest.raises(AssertionError):
        assert_same(one, other)


def test_switching_one_off_leaves_what_the_others_draw(study: TrainingStudy) -> None:
    everything = draw(study, replace(Augmentation(), drop_series=0), generator(0, "augment", 1))
    ordered = draw(
        study, replace(Augmentation(), drop_series=0, shuffle_series=False), generator(0, "augment", 1)
    )
    moves = {one.index: (one.move, one.unknown, one.kept.sum()) for one in everything.series}
    assert moves == {one.index: (one.move, one.unknown, one.kept.sum()) for one in ordered.series}
    assert everything.findings == ordered.findings
