"""Processes that read studies ahead: same results, bounded claims, and no death of one that takes the run with it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from prima_features.embedding.engine.prepare import PreparedStudy, StudyReader, StudyRequest
from prima_features.embedding.engine.readers import read_ahead
from prima_features.encoders.prima.prepare import PrimaPreparer
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.errors import SourceError
from prima_features.studies.study import Failure, NiftiImage, Series, Study
from prima_features.volumes import ReadOptions

PREPARERS = (PrimaPreparer(Preprocessing()),)
READ = StudyReader(PREPARERS, ReadOptions())


@dataclass(frozen=True)
class Deadly(StudyReader):
    """Reads as usual, except that some studies kill the process that reads them."""

    signals: tuple[int, ...] = (signal.SIGKILL,)

    def __call__(self, request: StudyRequest) -> tuple[PreparedStudy, ...]:
        study = request.study
        if study.description == "deadly":
            for number in self.signals:
                os.kill(os.getpid(), number)
        if study.description == "deadly once":
            flag = study.series[0].image.path.with_suffix(".tried")
            if not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        if study.description == "away":
            raise SourceError("the disk is away")
        return super().__call__(request)


@dataclass(frozen=True)
class CountsThreads(StudyReader):
    """Reads nothing, and tells how many threads SimpleITK would take."""

    def __call__(self, request: StudyRequest) -> tuple[PreparedStudy, ...]:
        study = request.study
        count = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
        return (PreparedStudy(study, (), (Failure(study.id, "", "read", f"{count} threads"),)),)


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading processes find this module, which holds their readers, by the name that it was pickled under."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    for reader in (Deadly, CountsThreads):
        monkeypatch.setattr(reader, "__module__", Path(__file__).stem)
    monkeypatch.setitem(sys.modules, Path(__file__).stem, sys.modules[__name__])


def studies(folder: Path, *descriptions: str) -> list[Study]:
    made = []
    for i, description in enumerate(descriptions):
        values = np.random.default_rng(i).integers(0, 500, (32, 32, 8)).astype(np.int16)
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), folder / f"{i}.nii.gz")
        series = (Series("T1w", NiftiImage(folder / f"{i}.nii.gz")),)
        made.append(Study(f"sub-{i:02}", f"{i:02}", "", description, series))
    return made


def ahead(asked: list[Study], read: StudyReader, workers: int) -> Iterator[PreparedStudy]:
    """Studies read for one encoder, with windows of 64."""
    for (one,) in read_ahead(map(StudyRequest, asked), read, workers, [64]):
        yield one


def test_processes_read_what_this_one_reads_in_the_same_order(tmp_path: Path) -> None:
    asked = studies(tmp_path, *["MRI"] * 5)
    asked[2] = Study("sub-02", "02", "", "MRI", (Series("T1w", NiftiImage(tmp_path / "missing.nii")),))
    here, there = [READ(StudyRequest(one))[0] for one in asked], list(ahead(asked, READ, 2))
    assert [one.study for one in there] == asked
    assert [one.failures for one in there] == [one.failures for one in here]
    assert there[2].failures[0].error == "the file cannot be read: No such file or directory"
    for one, other in zip(here, there, strict=True):
        for a, b in zip(one.series, other.series, strict=True):
            np.testing.assert_array_equal(a.prepared.arrays.values, b.prepared.arrays.values)
            np.testing.assert_array_equal(a.prepared.arrays.coord, b.prepared.arrays.coord)


def test_a_study_whose_process_is_killed_fails_and_the_others_are_read(tmp_path: Path) -> None:
    asked = studies(tmp_path, "MRI", "deadly", "MRI", "MRI")
    read = list(ahead(asked, Deadly(PREPARERS, ReadOptions()), 2))
    assert [len(one.series) for one in read] == [1, 0, 1, 1]
    (failure,) = read[1].failures
    assert (failure.study, failure.stage) == ("sub-01", "read")
    assert failure.error == "the process that read it died (signal 9), 2 times"


def test_a_study_whose_process_dies_once_is_read_again(tmp_path: Path) -> None:
    asked = studies(tmp_path, "MRI", "deadly once", "MRI")
    read = list(ahead(asked, Deadly(PREPARERS, ReadOptions()), 1))
    assert [len(one.series) for one in read] == [1, 1, 1]


def test_reading_processes_leave_signals_to_their_owner(tmp_path: Path) -> None:
    asked = studies(tmp_path, "deadly", "MRI")
    asking = Deadly(PREPARERS, ReadOptions(), signals=(signal.SIGINT, signal.SIGTERM))
    read = list(ahead(asked, asking, 1))
    assert [len(one.series) for one in read] == [1, 1]


def test_each_reading_process_takes_one_thread_and_leaves_the_others_to_the_network(tmp_path: Path) -> None:
    read = ahead(studies(tmp_path, "MRI", "MRI"), CountsThreads(PREPARERS, ReadOptions()), 1)
    assert [one.failures[0].error for one in read] == ["1 threads", "1 threads"]


def test_a_disk_that_goes_away_stops_the_run(tmp_path: Path) -> None:
    asked = studies(tmp_path, "MRI", "away", "MRI")
    results = ahead(asked, Deadly(PREPARERS, ReadOptions()), 2)
    assert len(next(results).series) == 1
    with pytest.raises(SourceError, match="away"):
        list(results)


def test_few_more_studies_are_asked_for_than_are_read(tmp_path: Path) -> None:
    asked: list[str] = []

    def claim() -> Iterator[StudyRequest]:
        for study in studies(tmp_path, *["MRI"] * 40):
            asked.append(study.id)
            yield StudyRequest(study)

    results = read_ahead(claim(), READ, 2, [64])
    for i in range(1, 21):
        next(results)
        assert len(asked) <= i + 3 + 64 // 8
    results.close()
    assert len(asked) < 40


def test_nothing_is_left_running_when_results_are_no_longer_wanted(tmp_path: Path) -> None:
    results = ahead(studies(tmp_path, *["MRI"] * 8), READ, 2)
    next(results)
    assert children()
    results.close()
    assert not children()


def test_a_single_study_starts_no_process(tmp_path: Path) -> None:
    results = ahead(studies(tmp_path, "MRI"), READ, 2)
    next(results)
    assert not children()


def children() -> list[str]:
    """Reading processes of this one."""
    found = []
    for file in Path("/proc/self/task").glob("*/children"):
        for child in file.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_text()
            found += [child] if "engine.readers" in command else []
    return found
