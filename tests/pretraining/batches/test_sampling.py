"""Which studies are drawn, held out and divided among processes."""

from collections import Counter

import pytest

from prima_features.errors import UsageError
from prima_features.pretraining.batches.loading import Sampler, share_of
from prima_features.pretraining.data.draws import held_out


def batches(sampler: Sampler, count: int) -> list[list[int]]:
    return [sampler.batch(number) for number in range(count)]


def test_a_pass_holds_every_study_once() -> None:
    sampler = Sampler(range(12), [1] * 12, batch=4, seed=0)
    assert sorted(item for batch in batches(sampler, 3) for item in batch) == list(range(12))
    assert batches(sampler, 3) != [sampler.batch(number) for number in range(3, 6)]


def test_abnormal_studies_are_seen_three_more_times() -> None:
    sampler = Sampler(range(40), [4] * 10 + [1] * 30, batch=5, seed=0)
    assert sampler.batches_per_pass == 14
    seen = Counter(item for batch in batches(sampler, 14) for item in batch)
    assert sum(seen.values()) == 70
    assert all(seen[item] in (3, 4, 5) for item in range(10))
    assert sum(seen[item] for item in range(10)) / 10 > 3 * sum(seen[item] for item in range(10, 40)) / 30


def test_a_study_never_meets_itself_in_a_batch() -> None:
    sampler = Sampler(range(6), [4, 4, 1, 1, 1, 1], batch=5, seed=3)
    for batch in batches(sampler, 50):
        assert len(batch) == len(set(batch)) == 5


def test_series_of_one_name_never_meet_in_a_batch() -> None:
    names = ["T1w", "T1w", "T1w", "T2w", "FLAIR"]
    sampler = Sampler(names, [1] * 5, batch=3, seed=0, what="names of series")
    for batch in batches(sampler, 20):
        assert len({names[item] for item in batch}) == 3


def test_a_batch_depends_on_its_number_alone() -> None:
    one, other = (Sampler(range(20), [2] * 20, batch=8, seed=5) for _ in range(2))
    forwards = batches(one, 12)
    assert [other.batch(number) for number in reversed(range(12))] == forwards[::-1]
    assert batches(Sampler(range(20), [2] * 20, batch=8, seed=6), 12) != forwards


def test_a_batch_larger_than_the_cohort_is_refused() -> None:
    with pytest.raises(UsageError, match="batch is 4, but there are only 3 different studies"):
        Sampler(range(3), [5] * 3, batch=4, seed=0)


def test_processes_share_a_batch_in_order_and_without_rest() -> None:
    batch = [7, 3, 9, 1]
    assert [batch[place] for rank in range(2) for place in share_of(batch, rank, 2)] == batch


def test_no_subject_is_on_both_sides() -> None:
    subjects = [f"s{number // 3}" for number in range(60)]
    held = held_out(subjects, 0.2, seed=0)
    assert sum(held) == 12
    assert not {s for s, out in zip(subjects, held, strict=True) if out} & {
        s for s, out in zip(subjects, held, strict=True) if not out
    }
    assert held_out(subjects[::-1], 0.2, seed=0) == held[::-1]
    assert held_out(subjects, 0.2, seed=1) != held


def test_what_the_table_says_decides() -> None:
    assert held_out(["a", "b", "c"], 0.9, 0, ["train", "validation", ""]) == [False, True, False]
    with pytest.raises(UsageError, match="assigns studies of subject a to both train and validation"):
        held_out(["a", "a"], 0.1, 0, ["train", "validation"])
    with pytest.raises(UsageError, match="no study is left to train on"):
        held_out(["a"], 0.1, 0, ["validation"])


def test_one_subject_is_held_out_at_least_and_none_where_none_is_wanted() -> None:
    assert sum(held_out(["a", "b", "c"], 0.01, 0)) == 1
    assert sum(held_out(["a", "b", "c"], 0.0, 0)) == 0
    assert sum(held_out(["a"], 0.5, 0)) == 0
