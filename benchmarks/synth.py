"""How long synthetic studies take: anatomy, images, writing.

Each study has five series (T1w, T2w, FLAIR, DWI, ADC) with settings drawn from a site's protocol, made in one thread.
`cpu` holds the process's own seconds, which other load on the machine does not lengthen; `wall` the clock's. The atlas
is read before.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from prima_features.synthetic import build_anatomy, draw_acquisitions, draw_subject, measure, render_series
from prima_features.synthetic.atlas import load_atlas
from prima_features.synthetic.output import write_bids, write_dicom
from prima_features.synthetic.protocol import PLAIN

T = TypeVar("T")
STEPS = ("anatomy", "truth", "images", "bids", "dicom")


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    result = measure_studies(chosen.studies, chosen.device)
    if chosen.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:18} {value}")


def measure_studies(n: int, device: str) -> dict[str, Any]:
    """Mean seconds a study of each step."""
    started = time.perf_counter()
    load_atlas(device)
    loading = time.perf_counter() - started
    one_study(10_000, device)  # so that nothing is done for the first time
    studies = [one_study(index, device) for index in range(n)]
    return {
        "device": device if device == "cpu" else torch.cuda.get_device_name(device),
        "load": round(os.getloadavg()[0], 1),
        "studies": n,
        "series": len(PLAIN),
        "megavoxels": round(sum(study["voxels"] for study in studies) / n / 1e6, 2),
        "reading_the_atlas": round(loading, 3),
        "cpu": mean_of(studies, "cpu"),
        "wall": mean_of(studies, "wall"),
    }


def mean_of(studies: list[dict[str, Any]], clock: str) -> dict[str, float]:
    """Means of the steps, and the mean and the most of a whole study as BIDS and as DICOM."""
    shown = {name: [study[clock][name] for study in studies] for name in STEPS}
    made = [
        sum(parts) for parts in zip(*(shown[part] for part in ("anatomy", "truth", "images")), strict=True)
    ]
    for name in ("bids", "dicom"):
        whole = [a + b for a, b in zip(made, shown[name], strict=True)]
        shown |= {f"whole_{name}": whole, f"slowest_{name}": [max(whole)]}
    return {name: round(sum(values) / len(values), 3) for name, values in shown.items()}


def one_study(index: int, device: str) -> dict[str, Any]:
    """Seconds of each step of one study, by both clocks, and its voxels."""
    subject = draw_subject(0, index)
    scans = draw_acquisitions(0, index, subject.site, sequences=PLAIN)
    clocks = Clocks()
    anatomy = clocks.time("anatomy", lambda: build_anatomy(subject, device))
    clocks.time("truth", lambda: measure(anatomy))
    series = clocks.time("images", lambda: [render_series(anatomy, scan) for scan in scans])
    with tempfile.TemporaryDirectory() as folder:
        clocks.time("bids", lambda: write_bids(Path(folder), "sub-0001", series))
        clocks.time("dicom", lambda: write_dicom(Path(folder), subject, series))
    return {
        "cpu": clocks.cpu,
        "wall": clocks.wall,
        "voxels": sum(rendered.volume.size for rendered in series),
    }


class Clocks:
    """Seconds by step."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}
        self.wall: dict[str, float] = {}

    def time(self, name: str, step: Callable[[], T]) -> T:
        """Run a step and write down what it took."""
        started = time.perf_counter(), time.process_time()
        done = step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.wall[name], self.cpu[name] = time.perf_counter() - started[0], time.process_time() - started[1]
        return done


if __name__ == "__main__":
    main()
