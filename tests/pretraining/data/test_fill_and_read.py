"""Other processes fill the cache and read the batches, and change nothing."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_training import synthetic_settings
from torch import Tensor

from prima_features.errors import OutputError, SeriesError, UsageError
from prima_features.pretraining.batches.loading import Prefetch
from prima_features.pretraining.build import Workplace, build_stage
from prima_features.pretraining.data.cache import Cache
from prima_features.pretraining.data.fill import Filler, fill_cohort
from prima_features.pretraining.data.records import RawSeries, RawStudy
from prima_features.pretraining.data.synthetic import RenderedSeries
from prima_features.pretraining.settings import ClipTraining, read_settings
from prima_features.pretraining.stages.clip import ClipStage


def no_voxels() -> tuple[np.ndarray, np.ndarray]:
    raise AssertionError("no voxels are read")


@dataclass(frozen=True)
class Some:
    """So many studies of one series each."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> RawStudy:
        series = RenderedSeries(str(number), str(number), no_voxels)
        return RawStudy(f"study-{number}", str(number), "MRI", (series,), ("a finding",))

    def __iter__(self) -> Iterator[RawStudy]:
        return map(self.__getitem__, range(self.count))


def square(series: RawSeries) -> Mapping[str, Tensor]:
    if series.name == "3":
        raise SeriesError("it is the third", hint="leave it out")
    return {"square": torch.tensor(int(series.name) ** 2)}


def die(series: RawSeries) -> Mapping[str, Tensor]:
    if series.name == "2":
        os._exit(9)
    return square(series)


def test_workers_fill_the_cache_as_one_process_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Worker processes import this module by its name, wherever the tests are started.
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    seen: list[tuple[int, int]] = []

    def fill(name: str, workers: int) -> list[tuple[str, int]]:
        filler = Filler(Some(6), Cache(tmp_path / name, {}), square)
        cohort = fill_cohort(
            filler, Accelerator(cpu=True), (), lambda *done: seen.append(done), workers=workers
        )
        assert [failure.error for failure in cohort.failures] == ["it is the third"]
        return [(study.id, int(cohort.tensors(study.series[0])["square"])) for study in cohort.studies]

    assert fill("here", 0) == fill("there", 2) == [(f"study-{n}", n * n) for n in (0, 1, 2, 4, 5)]
    assert seen == [(n, 6) for n in range(1, 7)] * 2


def stumble(series: RawSeries) -> Mapping[str, Tensor]:
    if series.name == "3":
        raise KeyError("/data/Jane Doe")
    return square(series)


def test_an_error_that_nobody_foresaw_costs_one_series(tmp_path: Path) -> None:
    cohort = fill_cohort(Filler(Some(6), Cache(tmp_path, {}), stumble), Accelerator(cpu=True))
    assert [failure.error for failure in cohort.failures] == ["unexpected KeyError"]
    assert len(cohort.studies) == 5


def test_a_worker_that_is_killed_is_told_of(tmp_path: Path) -> None:
    filler = Filler(Some(6), Cache(tmp_path, {}), die)
    with pytest.raises(OutputError, match=r"ended early.*fewer data\.workers"):
        fill_cohort(filler, Accelerator(cpu=True), workers=1)


def test_made_brains_and_batches_are_the_same_from_other_processes(
    tokenizer_model: Path, synthetic_cache: Path, coarse_studies: None, tmp_path: Path
) -> None:
    """The real source, tokenizer and cache, filled here and by two workers; batches read here and by two readers."""

    def stage(cache: Path) -> ClipStage:
        path = tmp_path / "settings.toml"
        path.write_text(synthetic_settings(tokenizer_model, "run", cache))
        built = build_stage(read_settings(ClipTraining, path), Workplace(tmp_path, Accelerator(cpu=True)))
        assert isinstance(built, ClipStage)
        return built

    there = stage(synthetic_cache)
    latents = {path.name: load_file(path) for path in sorted((synthetic_cache / "latents").iterdir())}
    # Half of the series of one study are made here once more.
    one_study = next(iter(latents.values()))["traits"]
    again = [name for name, kept in latents.items() if torch.equal(kept["traits"], one_study)][::2]
    shutil.copytree(synthetic_cache, tmp_path / "cache")
    for name in again:
        (tmp_path / "cache" / "latents" / name).unlink()
    here = stage(tmp_path / "cache")
    assert here.digest == there.digest
    assert sorted(path.name for path in (tmp_path / "cache" / "latents").iterdir()) == list(latents)
    assert 2 <= len(again) < len(latents) / 3
    for name in again:
        made = load_file(tmp_path / "cache" / "latents" / name)
        assert all(torch.equal(made[key], tensor) for key, tensor in latents[name].items())

    in_turn = list(Prefetch(here.load, 0, 4, ahead=0))
    for readers in (1, 2):
        read = list(Prefetch(here.load, 0, 4, ahead=0, readers=readers))
        assert len(read) == 4
        for (batch,), (same,) in zip(in_turn, read, strict=True):
            assert torch.equal(batch.tokens.values, same.tokens.values)
            assert batch.names == same.names and torch.equal(batch.ids, same.ids)


@pytest.mark.parametrize("readers", [0, 2])
def test_what_a_batch_raises_is_raised_as_it_is(readers: int) -> None:
    def load(number: int) -> int:
        if number == 2:
            raise UsageError("the third batch is bad")
        return number

    batches = iter(Prefetch(load, 0, 4, ahead=1, readers=readers))
    assert [next(batches), next(batches)] == [0, 1]
    with pytest.raises(UsageError, match=r"^the third batch is bad$"):
        next(batches)


SCRIPT = """
import os, sys, time
from pathlib import Path

import torch
from accelerate import Accelerator

from prima_features.pretraining.data.cache import Cache
from prima_features.pretraining.data.fill import Filler, fill_cohort
from prima_features.pretraining.data.records import RawStudy
from prima_features.pretraining.data.synthetic import RenderedSeries


def slow(series):
    (Path(sys.argv[1]) / f"{os.getpid()}.pid").touch()
    time.sleep(60)
    return {"x": torch.zeros(1)}


def nothing():
    raise AssertionError


if __name__ == "__main__":
    series = (RenderedSeries("T1", "1", nothing),)
    studies = [RawStudy(str(n), str(n), "MRI", series, ("x",)) for n in range(4)]
    fill_cohort(Filler(studies, Cache(Path(sys.argv[1]) / "cache", {}), slow), Accelerator(cpu=True), workers=1)
"""


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for the process in /proc")
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(SCRIPT)
    parent = subprocess.Popen([sys.executable, tmp_path / "run.py", tmp_path])
    assert until(lambda: list(tmp_path.glob("*.pid")), 60)
    parent.kill()
    parent.wait()
    worker = int(next(tmp_path.glob("*.pid")).stem)
    assert until(lambda: not Path(f"/proc/{worker}").exists(), 20)


def until(true: Callable[[], object], seconds: float) -> bool:
    """Whether something came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.1)
    return False
