"""Shards: every study is in one of them, whoever counts, and they are alike in work."""

from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.resume.options import Shard, parse_shard
from prima_features.errors import UsageError
from prima_features.studies.study import NiftiImage, Series, Study


def studies(n: int) -> list[Study]:
    random = np.random.default_rng(n)
    return [
        Study(
            f"sub-{i}",
            str(i),
            "",
            "MRI BRAIN",
            tuple(Series(f"T{k}", NiftiImage(Path(f"{i}/{k}"))) for k in range(random.integers(1, 12))),
        )
        for i in range(n)
    ]


@pytest.mark.parametrize(("n", "count"), [(1, 1), (10, 3), (100, 7), (3, 5), (8, 8)])
@pytest.mark.parametrize("first", [0, 1])
def test_every_study_is_in_one_shard_whether_jobs_count_from_0_or_1(n: int, count: int, first: int) -> None:
    everything = studies(n)
    shares = [Shard(number, count).select(everything) for number in range(first, first + count)]
    assert sorted(study.id for share in shares for study in share) == sorted(s.id for s in everything)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(share == tuple(s for s in everything if s in share) for share in shares)


def test_shards_are_alike_in_series_too() -> None:
    everything = sorted(studies(1000), key=lambda study: len(study.series))
    work = [sum(len(s.series) for s in Shard(i, 8).select(everything)) for i in range(8)]
    assert max(work) - min(work) <= 12  # one study's


def test_a_shard_is_the_same_each_time_and_named_from_1() -> None:
    assert Shard(3, 8).select(studies(50)) == Shard(3, 8).select(studies(50))
    assert [str(parse_shard(text)) for text in ("0/8", "8/8", "3/8")] == ["8/8", "8/8", "3/8"]


@pytest.mark.parametrize("text", ["", "3", "9/8", "-1/8", "1/0", "a/b", "3/8/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="shard"):
        parse_shard(text)


def slurm(task: int, count: int, least: int, most: int, **more: str) -> dict[str, str]:
    names = {"ID": task, "COUNT": count, "MIN": least, "MAX": most} | more
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in names.items()}


def test_slurms_arrays_are_understood_wherever_they_begin() -> None:
    assert parse_shard("slurm", slurm(0, 4, 0, 3)) == Shard(1, 4)
    assert parse_shard("slurm", slurm(8, 8, 1, 8)) == Shard(8, 8)
    assert parse_shard("slurm", slurm(30, 4, 10, 40, STEP="10")) == Shard(3, 4)


def test_no_array_and_an_uneven_one_are_refused() -> None:
    with pytest.raises(UsageError, match="needs a task of a SLURM job array"):
        parse_shard("slurm", {})
    with pytest.raises(UsageError, match="not evenly spaced"):
        parse_shard("slurm", slurm(5, 3, 1, 9))
