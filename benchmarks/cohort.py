"""A cohort of many small studies through the whole command: python benchmarks/cohort.py [--json] [--studies N].

Made-up studies of three series of 128 x 128 x 24 voxels (.nii.gz), and the small model that comes with the package.
The command runs in a process of its own, whose progress is watched from outside: how many parts there are, and the
resident memory of it and all processes that it started (PSS, which counts a shared page once).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

SHAPE = (128, 128, 24)
PROGRAM = """
import json, sys, time
from dataclasses import asdict
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.run import embed
workers = None if sys.argv[3] == "auto" else int(sys.argv[3])
done = []
summary = embed(sys.argv[1], sys.argv[2], "prima-untrained", engine_options=EngineOptions(workers=workers),
                on_study=lambda study: done.append(time.monotonic()))
print(json.dumps({"times": asdict(summary.times), "done": done, "studies": summary.n_studies}))
"""


def main() -> None:
    """Make the cohort, embed it, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument(
        "--workers", nargs="*", default=["0", "auto"], help="numbers of reading processes to try"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "bids"
        make_cohort(source, chosen.studies)
        result = {
            f"workers {workers}": run(source, Path(folder) / f"{i}.h5", workers)
            for i, workers in enumerate(chosen.workers)
        }
    result["cores"] = len(os.sched_getaffinity(0))
    if chosen.json:
        print(json.dumps(result))
        return
    for part, values in result.items():
        print(part, values)


def make_cohort(root: Path, count: int) -> None:
    """A BIDS dataset of ellipsoids of noise."""
    with ProcessPoolExecutor() as pool:
        list(pool.map(_make_study, [root] * count, range(count)))
    (root / "dataset_description.json").write_text('{"Name": "made up", "BIDSVersion": "1.9.0"}')


def _make_study(root: Path, number: int) -> None:
    random = np.random.default_rng(number)
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in SHAPE), indexing="ij")
    inside = sum(axis**2 for axis in axes) < 1
    folder = root / f"sub-{number:04}" / "anat"
    folder.mkdir(parents=True)
    for suffix in ("T1w", "T2w", "FLAIR"):
        values = np.where(inside, random.integers(100, 1000, SHAPE), random.integers(0, 30, SHAPE)).astype(
            np.int16
        )
        nib.save(
            nib.Nifti1Image(values, np.diag([1.8, 1.8, 6.0, 1.0])),
            folder / f"{folder.parent.name}_{suffix}.nii.gz",
        )


def run(source: Path, output: Path, workers: str) -> dict[str, Any]:
    """One run, watched."""
    began = time.monotonic()
    command = [sys.executable, "-c", PROGRAM, str(source), str(output), workers]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    memory: list[tuple[float, int]] = []
    while process.poll() is None:
        memory.append((time.monotonic(), tree_memory(process.pid)))
        time.sleep(0.05)
    whole = time.monotonic() - began
    assert process.stdout is not None and process.returncode == 0
    told = json.loads(process.stdout.read())
    done, times = told["done"], told["times"]
    sixth, last = len(done) // 6, len(done) - 1
    network = times["tokenizer"] + times["transformers"]
    first, second = done[last // 2] - done[sixth], done[last] - done[last // 2]
    return {
        "studies": told["studies"],
        "seconds": round(whole, 2),
        "seconds_until_the_first_study": round(done[0] - began, 2),
        "seconds_a_study": round((done[last] - done[0]) / last, 4),
        "waits_for_input": round(times["wait"] / (times["wait"] + network), 3),
        "times": {name: round(value, 2) for name, value in times.items()},
        "peak_mb": {f"up to study {n + 1}": peak(memory, done[n]) >> 20 for n in (sixth, last)},
        "peak_ratio": round(peak(memory, done[last]) / peak(memory, done[sixth]), 3),
        "time_a_study_second_half_over_first": round(
            second / (last - last // 2) / (first / (last // 2 - sixth)), 3
        ),
    }


def peak(memory: list[tuple[float, int]], until: float) -> int:
    """Most bytes that were seen up to a moment."""
    return max(used for moment, used in memory if moment <= until)


def tree_memory(pid: int) -> int:
    """Bytes of a process and all below it."""
    total = 0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            children = Path(f"/proc/{one}/task").glob("*/children")
            waiting += [int(child) for file in children for child in file.read_text().split()]
            total += 1024 * pss(Path(f"/proc/{one}/smaps_rollup").read_text())
        except OSError:  # it has ended meanwhile
            continue
    return total


def pss(rollup: str) -> int:
    """KB."""
    return next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    main()
