"""Made-up cohorts as embeddings files, with pictures in parts, failures and records of runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy, FailedStudy, Picture, Result
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.embedding.record.journal import new_record
from prima_features.embedding.record.run_file import write_run_file
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.encoders.prima.picture import draw
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import cut
from prima_features.studies.study import Failure
from prima_features.volumes import Volume

PROVENANCE = Provenance("tiny", "1", "ab12", {"matrix": 256}, "prima embed in out.h5")
BY_DESIGN = Failure(
    "", "func/sub-0000_bold.nii.gz", "find", "functional images", "--datatype func", defect=False
)
HOSTILE = "</script><img src=x onerror=alert(1)>"
COPIED, ODD, EMPTY, CUT_OFF = 7, 11, 3, 5
"""Row that is a copy of row 8; row of an outlier; every how manieth study fails, or lacks a series."""
COPY_OF = 8


def picture(shade: int = 600) -> Picture:
    """A ball, drawn as a series is."""
    z, y, x = np.ogrid[-1:1:24j, -1:1:256j, -1:1:256j]
    values = (shade * (z**2 + y**2 + x**2 < 0.6)).astype(np.int16)
    volume = Volume(values, (6.0, 0.9, 0.9), 0)
    return draw(volume, cut(volume), Preprocessing())


def studies(n: int, width: int = 32, pictures: bool = True) -> Iterator[Result]:
    """Studies around a few centres; one is a copy, one far from all, some failed or incomplete."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(n, width)).astype(np.float32) + 3
    vectors[:, :3] += 3 * random.normal(size=(4, 3)).astype(np.float32)[np.arange(n) % 4]
    if n > max(COPIED, COPY_OF, ODD):
        vectors[COPIED] = vectors[COPY_OF]
        vectors[ODD] = 3 - 40 * np.eye(1, width, width - 1, dtype=np.float32)[0]
    drawn = picture() if pictures else None
    for i in range(n):
        name = f"sub-{i:04}"
        if i % 50 == EMPTY:
            failure = Failure(name, "", "read", "the file is empty", "fetch it again")
            yield FailedStudy(name, (failure,), f"s:{i}")
            continue
        failures = (
            (Failure(name, "dwi", "read", f"{i}% of its voxels are NaN or infinite", "replace them"),)
            if i % 50 == CUT_OFF
            else ()
        )
        series = tuple(
            EmbeddedSeries(
                name=kind,
                plane="axial",
                source="",
                n_tokens=100 + (i * 7 + j) % 400,
                shape=(24, 256, 256),
                spacing=(6.0, 0.9, 0.9),
                embedding=np.ones(4, np.float32),
                picture=drawn,
            )
            for j, kind in enumerate(("T1w", "T2w", "FLAIR", "dwi", "T1w_post")[: 2 + i % 4])
        )
        yield EmbeddedStudy(
            id=name,
            subject=f"{i // 2:04}",
            session="",
            description=HOSTILE if i == 0 else "MRI BRAIN" if i % 3 else "MRI HEAD W/O CONTRAST",
            source="",
            embedding=vectors[i],
            clip=np.ones(2, np.float32),
            series=series,
            failures=failures,
            input_hash=f"s:{i}",
        )


def record(**other: object) -> dict:
    """Of a run that took its time."""
    return new_record("embed") | {
        "settings_hash": "s",
        "command": "prima embed in out.h5",
        "shard": "1/1",
        "options": {"source_format": "bids", "precision": "float32", "devices": ["cpu"], "workers": 2},
        "ended": "finished",
        "seconds": 120.0,
        "counts": {"embedded": 60, "failed": 2, "kept": 0, "series": 200, "items": 4000, "tokens": 4100},
        "stages": {"read": 80.0, "wait": 10.0, "tokenizer": 60.0, "transformers": 20.0, "write": 5.0},
        "per_minute": {"studies": 30.0, "series": 100.0, "items": 2000.0},
        "peak_memory_bytes": 1_500_000_000,
        "peak_gpu_memory_bytes": None,
        **other,
    }


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """The folder of a cohort, made once."""

    @cache
    def build(n: int, with_parts: bool, width: int) -> Path:
        folder = tmp_path_factory.mktemp("cohort")
        output = folder / "out.h5"
        results = list(studies(n, width, pictures=with_parts))
        write_embeddings(output, results, PROVENANCE, [BY_DESIGN])
        failures = [BY_DESIGN, *(failure for one in results for failure in one.failures)]
        write_run_file(output, [record()], failures)
        if with_parts:
            parts = PartsFolder.of(output)
            parts.create()
            for one in results:
                parts.save(one)
        return folder

    return build


@pytest.fixture
def make(built: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes the file of a cohort, with its parts and its run file; returns its path."""

    def made(n: int = 60, with_parts: bool = True, width: int = 32) -> Path:
        shutil.copytree(built(n, with_parts, width), tmp_path, dirs_exist_ok=True)
        return tmp_path / "out.h5"

    return made
