"""Runs that are killed, doubled, starved of disk or fed changed scans: python benchmarks/kill.py [--json] [--kills N].

A made-up cohort of 40 small studies and the bundled model. Every run is a process of its own, forked from this one
so that it need not import everything again, and killed with SIGKILL. Five parts:

    kills     a run killed at a random moment and resumed gives the file of an undisturbed run; all the while
              OUTPUT.h5 opens or is absent
    pair      two processes at once on one output
    widow     two at once, one of which is killed
    full      a disk that fills up, then has room again (needs the right to mount a tmpfs)
    changed   a scan that changes between the killed run and its resumption
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

import prima_features.embedding.run
import prima_features.encoders.prima.pretrained  # noqa: F401  imported once, here, for all runs
from prima_features.cli.main import main as prima
from prima_features.embedding.file.read import read_embeddings

STUDIES = 40
WINDOW = ("--batch-size", "4")
"""The engine encodes 64 batches at a time: two of these studies, so that kills find a run half done."""


def main() -> None:
    """Run all parts, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), chosen.kills, random.Random(chosen.seed))
    if chosen.json:
        print(json.dumps(result))
        return
    for part, values in result.items():
        print(part)
        for name, value in values.items():
            print(f"    {name:24} {value}")


def measure(folder: Path, kills: int, chance: random.Random) -> dict[str, dict[str, Any]]:
    """All parts, by name."""
    source, whole = folder / "bids", folder / "whole.h5"
    make_cohort(source)
    began = time.monotonic()
    run = Run(source, whole)
    run.wait_for_work()
    starting = time.monotonic() - began
    assert run.wait() == 0
    working = time.monotonic() - began - starting
    return {
        "cohort": {"studies": STUDIES, "start_s": round(starting, 2), "work_s": round(working, 2)},
        "kills": kill_and_resume(source, whole, kills, working, chance),
        "pair": pair(source, whole),
        "widow": widow(source, whole, working),
        "full": full_disk(source, whole),
        "changed": changed(source, folder, working),
    }


def make_cohort(root: Path) -> None:
    """A BIDS dataset of small random images, one or two series a study."""
    for number in range(STUDIES):
        for suffix in ("T1w", "FLAIR")[: 1 + number % 2]:
            write_scan(root, number, suffix, seed=number)
    (root / "dataset_description.json").write_text('{"Name": "made up", "BIDSVersion": "1.9.0"}')


def write_scan(root: Path, number: int, suffix: str, seed: int) -> None:
    """One image of noise."""
    name = f"sub-{number:02}"
    path = root / name / "anat" / f"{name}_{suffix}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 900, (32, 32, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 5.0, 1.0])), path)


class Run:
    """A running `prima embed`, in a process of its own, and what was seen of its output meanwhile."""

    def __init__(self, source: Path, output: Path):
        self.output, self.parts = output, output.with_name(output.name + ".parts")
        self.looks = self.broken = 0
        self._code: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            silence = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silence, 1)
            os.dup2(silence, 2)
            os._exit(prima(["embed", str(source), str(output), *WINDOW]))

    def wait_for_work(self) -> None:
        """Until it has begun with the studies."""
        while self.poll() is None and not (self.parts / "plan.json").exists():
            time.sleep(0.002)

    def watch(self, seconds: float) -> None:
        """Open the output again and again for a while, or until the run is over."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.poll() is None:
            self.look()
            time.sleep(0.01)

    def look(self) -> None:
        """The output opens, or is absent."""
        self.looks += 1
        if self.output.exists():
            try:
                self.broken += read_embeddings(self.output).n_studies != STUDIES
            except Exception:
                self.broken += 1

    def kill(self) -> None:
        """SIGKILL, unless it is over."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()
        self.look()

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code

    def wait(self) -> int:
        """Its exit code, in the end."""
        while (code := self.poll()) is None:
            time.sleep(0.002)
        return code


def kill_and_resume(
    source: Path, whole: Path, kills: int, working: float, chance: random.Random
) -> dict[str, Any]:
    """Kill each of many runs once, at a moment drawn from all of its work, and resume it."""
    equal = to_the_bit = looks = broken = 0
    parts_found = []
    for number in range(kills):
        output = whole.with_name(f"killed{number}.h5")
        run = Run(source, output)
        run.wait_for_work()
        run.watch(chance.uniform(0, working))
        run.kill()
        parts_found.append(len(list(run.parts.glob("*.safetensors"))))
        resumed = Run(source, output)
        resumed.watch(600)
        resumed.look()
        alike = resumed.wait() == 0 and is_tidy(output) and is_equal(output, whole)
        equal += alike
        to_the_bit += alike and is_equal(output, whole, tolerance=0)
        looks, broken = looks + run.looks + resumed.looks, broken + run.broken + resumed.broken
        output.unlink(missing_ok=True)
        print(f"{number + 1} of {kills} killed, {equal} equal", file=sys.stderr)
    return {
        "kills": kills,
        "equal": equal,
        "equal_to_the_bit": to_the_bit,
        "looks_at_output": looks,
        "of_them_broken": broken,
        "parts_when_killed": sorted(parts_found),
    }


def pair(source: Path, whole: Path) -> dict[str, Any]:
    """Two processes at once on one output."""
    output = whole.with_name("pair.h5")
    runs = [Run(source, output), Run(source, output)]
    codes = [run.wait() for run in runs]
    return {"exit_codes": codes, "equal": is_tidy(output) and is_equal(output, whole)}


def widow(source: Path, whole: Path, working: float) -> dict[str, Any]:
    """Two processes at once, one of which is killed half-way."""
    output = whole.with_name("widow.h5")
    victim, survivor = Run(source, output), Run(source, output)
    victim.wait_for_work()
    victim.watch(working / 2)
    victim.kill()
    code = survivor.wait()
    return {"exit_code": code, "equal": is_tidy(output) and is_equal(output, whole)}


def full_disk(source: Path, whole: Path) -> dict[str, Any]:
    """A run on a disk of 200 KB, and the same command when there is room."""
    folder, copy = whole.with_name("small"), whole.with_name("full.h5")
    folder.mkdir()
    command = f"{sys.executable} -m prima_features.cli.main embed {source} {folder}/out.h5 {' '.join(WINDOW)}"
    script = (
        f"mount -t tmpfs -o size=200k tmpfs {folder} || exit 77\n{command} 2>&1 | tail -1; ls -A {folder}\n"
        f"mount -o remount,size=100m {folder}\n{command} >&2 && cp {folder}/out.h5 {copy}"
    )
    if shutil.which("unshare") is None:
        return {"skipped": "no unshare(1)"}
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)
    if done.returncode == 77 or "unshare failed" in done.stderr:
        return {"skipped": "no right to mount"}
    said, *left = done.stdout.splitlines()
    return {
        "told": said.startswith("Error: The disk is full"),
        "left": left,
        "equal": copy.exists() and is_equal(copy, whole),
    }


def changed(source: Path, folder: Path, working: float) -> dict[str, Any]:
    """A scan that changes between a killed run and its resumption."""
    output, again = folder / "changed.h5", folder / "again.h5"
    run = Run(source, output)
    run.wait_for_work()
    while run.poll() is None and not (run.parts / "sub-00.safetensors").exists():
        time.sleep(0.002)
    run.watch(working / 4)
    run.kill()
    write_scan(source, 0, "T1w", seed=10_000)
    codes = [Run(source, path).wait() for path in (output, again)]
    return {"exit_codes": codes, "equal": is_equal(output, again)}


def is_tidy(output: Path) -> bool:
    """Nothing but the output is left."""
    return [path.name for path in output.parent.glob(f"*{output.name}*")] == [output.name]


def is_equal(one: Path, other: Path, tolerance: float = 1e-5) -> bool:
    """The same rows everywhere, and vectors that differ by rounding at most."""
    a, b = read_embeddings(one), read_embeddings(other)
    tables: list[Callable[[Any], Any]] = [lambda f: f.studies, lambda f: f.series, lambda f: f.failures]
    vectors = ("study/embedding", "study/clip", "series/embedding")
    return all(table(a).equals(table(b)) for table in tables) and all(
        bool(np.abs(a.array(name) - b.array(name)).max() <= tolerance * np.abs(b.array(name)).max())
        for name in vectors
    )


if __name__ == "__main__":
    main()
