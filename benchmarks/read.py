"""Everything before the network beside nibabel: python benchmarks/read.py [SCAN.nii.gz] [--json] [--quick].

One process and one thread; the ways take turns, and the shortest processor time of several repeats of each counts:

    get_fdata          nibabel loads and scales the scan, to float64 as it does when nothing is said
    get_fdata float32  the same to float32
    prima              this project reads, resamples and cuts it into the subvolumes that the network is given

Without a scan, one of 160 sagittal slices of 460 x 512 is made up: an ellipsoid of noise.
"""

from __future__ import annotations

import os

# Before ITK and BLAS count the cores.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"), "1")

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from prima_features.encoders.prima.prepare import PrimaPreparer
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.studies.study import NiftiImage, Series
from prima_features.volumes import ReadOptions


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("scan", nargs="?", type=Path, metavar="SCAN.nii.gz")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--quick", action="store_true", help="a small scan, once")
    parser.add_argument("--repeats", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scan = chosen.scan or made_up(
            Path(folder) / "scan.nii.gz", (16, 46, 52) if chosen.quick else (160, 460, 512)
        )
        result = measure(scan, 1 if chosen.quick else chosen.repeats)
    if chosen.json:
        print(json.dumps(result))
        return
    for part, values in result.items():
        print(part, values)


def made_up(path: Path, shape: tuple[int, int, int]) -> Path:
    """A scan of noise whose slices lie along the first axis of the file, as dcm2niix writes 3-D sagittal ones."""
    random = np.random.default_rng(0)
    axes = np.meshgrid(*(np.linspace(-1.2, 1.2, n) for n in shape), indexing="ij", sparse=True)
    inside = sum(axis**2 for axis in axes) < 1
    values = np.where(inside, random.integers(100, 1000, shape), random.integers(0, 30, shape))
    image = nib.Nifti1Image(values.astype(np.uint16), np.diag([1.0, 0.5, 0.5, 1.0]))
    image.header.set_dim_info(slice=0)
    nib.save(image, path)
    return path


def measure(scan: Path, repeats: int) -> dict[str, Any]:
    """All numbers, by name."""
    series, prepare = Series("T1w", NiftiImage(scan)), PrimaPreparer(Preprocessing())
    ways: dict[str, Callable[[], Any]] = {
        "get_fdata": lambda: nib.load(scan).get_fdata(),
        "get_fdata float32": lambda: nib.load(scan).get_fdata(dtype=np.float32),
        "prima": lambda: prepare(series, ReadOptions(), False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            began = time.process_time()
            way()
            seconds[name].append(time.process_time() - began)
    best = {name: min(values) for name, values in seconds.items()}
    return {
        "shape": nib.load(scan).shape,
        "compressed_mb": round(scan.stat().st_size / 1e6, 1),
        "subvolumes": prepare(series, ReadOptions(), False).weight,
        "cpu_seconds": best,
        "prima_over": {name: best["prima"] / value for name, value in best.items() if name != "prima"},
    }


if __name__ == "__main__":
    main()
