"""Time of commands from start to end: python benchmarks/commands.py [--baseline CHECKOUT/.venv/bin/prima] [--json].

Each command runs in a process of its own, on small synthetic data, with the bundled model. With `--baseline`, the same
commands of another installation alternate with those of this one, on the same input. CPU time is that of the process
and its children; the shortest of all runs counts, for wall-clock and CPU time separately.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

REPEATS = 5
SUBJECTS = 60
"""Of the cohort that the probes are fitted on."""
SCANNED = 4
"""Of the cohorts that are embedded as a whole."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--baseline", type=Path, help="the prima command of another installation")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS of the runs")
    parser.add_argument(
        "--subjects", type=int, default=SUBJECTS, help="subjects that the probes are fitted on"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="only these commands, such as help embed-one"
    )
    chosen = parser.parse_args()
    programs = {"this": Path(sys.executable).with_name("prima")}
    if chosen.baseline is not None:
        programs["baseline"] = chosen.baseline
    with tempfile.TemporaryDirectory() as folder:
        commands = commands_on(Path(folder))
        if unknown := {*(chosen.only or ())} - {*commands}:
            parser.error(f"no command is called {' or '.join(sorted(unknown))}")
        commands = {name: commands[name] for name in chosen.only or commands}
        prepare(programs["this"], Path(folder), chosen.subjects, commands.values())
        measured = {name: measure(programs, command, chosen) for name, command in commands.items()}
    result = {
        "processor": processor(),
        "load": round(os.getloadavg()[0], 1),
        "threads": chosen.threads,
        **measured,
    }
    print(json.dumps(result, indent=None if chosen.json else 4))


def prepare(prima: Path, folder: Path, subjects: int, commands: Iterable[Sequence[str]]) -> None:
    """Make the input in a folder that the commands read."""

    def run_prima(*arguments: object) -> None:
        subprocess.run([prima, *map(str, arguments)], check=True, capture_output=True)

    read = {argument for command in commands for argument in command}
    bids, dicom, cohort, vectors, one = inputs(folder)
    if {str(bids), str(one)} & read:
        run_prima("synth", bids, "--subjects", SCANNED)
        one.parent.mkdir()
        one.write_bytes(next(bids.rglob("*T1w.nii.gz")).read_bytes())
    if str(dicom) in read:
        run_prima("synth", dicom, "--subjects", SCANNED, "--format", "dicom")
    if str(vectors) in read:
        run_prima(
            "synth", cohort, "--subjects", subjects, "--condition", "control", "--condition", "dementia"
        )
        run_prima("embed", cohort, vectors)


def inputs(folder: Path) -> tuple[Path, Path, Path, Path, Path]:
    """A BIDS dataset, a DICOM tree, the cohort of the probes, its vectors, and one scan."""
    names = ("bids", "dicom", "cohort", "vectors.h5", "scan/T1w.nii.gz")
    bids, dicom, cohort, vectors, one = (folder / name for name in names)
    return bids, dicom, cohort, vectors, one


def commands_on(folder: Path) -> dict[str, list[str]]:
    """Arguments of `prima` by a name for them."""
    bids, dicom, cohort, vectors, one = inputs(folder)

    def embed(source: Path, *more: str) -> list[str]:
        return ["embed", str(source), str(folder / "out.h5"), "--force", *more]

    def fit(task: str, estimator: str, *more: str) -> list[str]:
        labels = [
            "--labels",
            str(cohort / "participants.tsv"),
            "--output",
            str(folder / "probe"),
            "--overwrite",
        ]
        return ["probe", "fit", task, str(vectors), "--estimator", estimator, *labels, *more]

    disease = ("custom", "--target-column", "diagnosis", "--classes", "control", "--classes", "dementia")
    return {
        "help": ["--help"],
        "inspect": ["inspect", str(dicom)],
        "embed-one": embed(one),
        "embed-bids": embed(bids),
        "embed-dicom": embed(dicom),
        "embed-bf16": embed(bids, "--precision", "bf16"),
        "export": ["export", str(vectors), str(folder / "vectors.csv"), "--force"],
        "report": ["report", str(vectors)],
        "ridge": fit("brain-age", "ridge"),
        **{name: fit(disease[0], name, *disease[1:]) for name in ("logistic", "knn", "mlp", "xgboost")},
    }


def measure(
    programs: dict[str, Path], arguments: list[str], chosen: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Shortest times in seconds of each program, which alternate, and ratios to the baseline if there is one."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(chosen.repeats):
        for name, program in programs.items():
            runs[name].append(run([str(program), *arguments], chosen.threads))
    best = {name: tuple(map(min, zip(*times, strict=True))) for name, times in runs.items()}
    result = {name: {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2)} for name, (wall, cpu) in best.items()}
    if "baseline" in best:
        ratios = [this / other for this, other in zip(best["this"], best["baseline"], strict=True)]
        result["ratio"] = {"wall": round(ratios[0], 3), "cpu": round(ratios[1], 3)}
    return result


def run(command: list[str], threads: int) -> tuple[float, float]:
    """Wall-clock and CPU time of a command."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def processor() -> str:
    """Name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


if __name__ == "__main__":
    main()
