"""Time, memory and disk of `prima embed` at the published sizes: python benchmarks/resources.py [SOURCE] [--json].

The weights are random: none of these numbers depends on their values. SOURCE is any source of `prima embed`; without
one, two synthetic studies are made. The command runs in a process of its own that reads and computes in one thread,
and its processor time is counted, so that the numbers mean something on a busy machine. Its peak memory is the peak
resident set (`VmHWM` of `/proc/self/status`), the interpreter and the libraries included.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import h5py
import torch

from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.networks import PrimaConfig

STUDIES, SEED = 2, 1
PROGRAM = """
import json, sys, time
from pathlib import Path
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.run import RunOptions, embed
source, output, model, precision = sys.argv[1:]
done = []
summary = embed(source, output, model, engine_options=EngineOptions(workers=0, precision=precision, keep_tokens=True),
                run_options=RunOptions(report=False), on_study=lambda study: done.append(time.process_time()))
lines = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
print(json.dumps({"done": done, "peak_kb": peak, "n_subvolumes": summary.times.n_items}))
"""


def main() -> None:
    """Measure, and print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path, metavar="SOURCE")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="the small bundled model")
    parser.add_argument("--precision", nargs="*", default=["fp32", "bf16"])
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = "prima-untrained" if chosen.quick else str(published_sizes(folder / "model"))
        source = chosen.source or synthetic(folder / "brains")
        result = {
            "processor": processor(),
            "torch": torch.__version__,
            **{one: run(source, folder / f"{one}.h5", model, one) for one in chosen.precision},
        }
    if chosen.json:
        print(json.dumps(result))
        return
    for part, values in result.items():
        print(part, values)


def published_sizes(folder: Path) -> Path:
    """A model directory of the published sizes, without heads and text tower."""
    torch.manual_seed(0)
    PrimaModel(PrimaConfig()).save_pretrained(folder)
    return folder


def synthetic(folder: Path) -> Path:
    """A BIDS dataset of two synthetic subjects."""
    command = ["synth", str(folder), "--subjects", str(STUDIES), "--seed", str(SEED)]
    subprocess.run(
        [sys.executable, "-m", "prima_features.cli.main", *command], check=True, stdout=subprocess.DEVNULL
    )
    return folder


def run(source: Path, output: Path, model: str, precision: str) -> dict[str, Any]:
    """One run in one thread."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(source), str(output), model, precision],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | threads,
    )
    measured = json.loads(found.stdout)
    with h5py.File(output) as file:
        n_tokens, n_series = file["/token/series"].shape[0], file["/series/study"].shape[0]
        token_bytes = sum(one.id.get_storage_size() for one in file["/token"].values())
    n_studies = len(measured["done"])
    seconds = measured["done"][-1]
    return {
        "studies": n_studies,
        "series": n_series,
        "subvolumes": measured["n_subvolumes"],
        "tokens": n_tokens,
        "cpu_seconds": round(seconds, 1),
        "cpu_seconds_until_the_first_study": round(measured["done"][0], 1),
        "cpu_ms_per_subvolume": round(1e3 * seconds / measured["n_subvolumes"], 1),
        "peak_mb": measured["peak_kb"] // 1000,
        "file_bytes": output.stat().st_size,
        "token_bytes": token_bytes,
    }


def processor() -> str:
    """Name of the processor, as Linux gives it, and the number of cores that may be used."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


if __name__ == "__main__":
    main()
