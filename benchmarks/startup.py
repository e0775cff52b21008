"""Time of small runs from start to end: python benchmarks/startup.py [--baseline CHECKOUT/.venv/bin/prima] [--json].

`prima embed` of one T1w of a synthetic study with the bundled model, and `prima --help`, each in a process of its own.
With `--baseline`, the same runs of another installation alternate with those of this one. CPU time is that of the
process and its children; the shortest of all runs counts, for wall-clock and CPU time separately.
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
from pathlib import Path

REPEATS = 7


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--baseline", type=Path, help="the prima command of another installation")
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--threads", type=int, default=1, help="OMP_NUM_THREADS of the runs")
    chosen = parser.parse_args()
    commands = {"this": Path(sys.executable).with_name("prima")}
    if chosen.baseline is not None:
        commands["baseline"] = chosen.baseline
    with tempfile.TemporaryDirectory() as folder:
        scan = make_scan(commands["this"], Path(folder))
        measured = {
            "help": measure(commands, ["--help"], chosen),
            "embed": measure(commands, ["embed", str(scan), str(Path(folder, "out.h5"))], chosen),
        }
    result = {
        "processor": processor(),
        "load": round(os.getloadavg()[0], 1),
        "threads": chosen.threads,
        **measured,
    }
    print(json.dumps(result, indent=None if chosen.json else 4))


def make_scan(prima: Path, folder: Path) -> Path:
    """The T1w of a synthetic study, alone in a folder."""
    subprocess.run(
        [prima, "synth", folder / "study", "--subjects", "1", "--format", "bids"],
        check=True,
        capture_output=True,
    )
    (found, *_) = (folder / "study").rglob("*T1w.nii.gz")
    (folder / "scan").mkdir()
    return found.rename(folder / "scan" / "T1w.nii.gz")


def measure(
    commands: dict[str, Path], arguments: list[str], chosen: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Shortest times in seconds of each command, which alternate, and ratios to the baseline if there is one."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(chosen.repeats):
        for name, command in commands.items():
            runs[name].append(run([str(command), *arguments], chosen.threads))
    best = {name: tuple(map(min, zip(*times, strict=True))) for name, times in runs.items()}
    result = {name: {"wall_s": round(wall, 2), "cpu_s": round(cpu, 2)} for name, (wall, cpu) in best.items()}
    if "baseline" in best:
        ratios = [this / other for this, other in zip(best["this"], best["baseline"], strict=True)]
        result["ratio"] = {"wall": round(ratios[0], 3), "cpu": round(ratios[1], 3)}
    return result


def run(command: list[str], threads: int) -> tuple[float, float]:
    """Wall-clock and CPU time of a command, which writes its output again."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    more = ["--force"] if command[1] == "embed" else []
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    subprocess.run([*command, *more], check=True, capture_output=True, env=environment)
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
