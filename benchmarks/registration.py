"""Registration of synthetic heads under known transforms: python benchmarks/registration.py [--heads N] [--json].

Each whole head is given with its true brain mask. It is registered as rendered, and again after a known rigid and a
known affine transform of its coordinates (up to 15 degrees about each axis, 25 mm along each, sizes from 0.9 to 1.1,
shears of 0.05). The error is the distance between where the two registrations send each voxel of the brain, and the
angle between their rotations. The distance from the atlas that the heads are warped from, which is in MNI space, is
printed as well: it contains the shape of each head.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from prima_features.anatomy.quality import assess
from prima_features.anatomy.registration import register
from prima_features.anatomy.transforms import rigid
from prima_features.synthetic import build_anatomy, draw_acquisitions, draw_subject, render_series
from prima_features.synthetic.acquisition import head_affine
from prima_features.synthetic.atlas.labels import INTRACRANIAL
from prima_features.volumes.resampling import Grid, resample

UNITS = ("mm", "deg")
KINDS = ("rigid", "affine")
SEQUENCES = ("T1w", "T2w", "FLAIR", "T1w")
ANGLE, SHIFT, STRETCH, SHEAR = 15.0, 25.0, 0.1, 0.05


def main() -> None:
    """Print a line per head, and the largest errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    lines = []
    with threadpool_limits(1):
        for line in measure(chosen.heads):
            lines.append(line)
            if not chosen.json:
                errors = "  ".join(f"{k} {line[f'{k}_mm']:.2f} mm {line[f'{k}_deg']:.2f} deg" for k in KINDS)
                print(
                    f"{line['head']:>2} {line['sequence']:<6} {errors}  atlas {line['atlas_mm']:.1f} mm  "
                    f"scale {line['scale']:.2f}  Dice {line['dice']:.3f}  {line['cpu_s']:.1f} s",
                    flush=True,
                )
    worst = {
        f"{kind}_{unit}": max(line[f"{kind}_{unit}"] for line in lines) for kind in KINDS for unit in UNITS
    }
    print(json.dumps({"heads": lines, "worst": worst}, indent=1) if chosen.json else f"largest: {worst}")


def measure(heads: int) -> Iterator[dict]:
    """One line per head."""
    for number in range(heads):
        sequence = SEQUENCES[number % len(SEQUENCES)]
        values, affine, mask, atlas = head(number, sequence)
        points = np.argwhere(mask)[::101] @ affine[:3, :3].T + affine[:3, 3]
        start = time.process_time()
        first = register(values, affine, mask)
        line = {"head": number, "sequence": sequence, "cpu_s": time.process_time() - start}
        for kind in KINDS:
            known = transform(number, stretch=kind == "affine")
            second = register(values, known @ affine, mask) @ known
            line[f"{kind}_mm"], line[f"{kind}_deg"] = error(first, second, points)
        line["atlas_mm"] = float(distances(first, atlas, points).mean())
        quality = assess(mask, affine, first)
        yield {**line, "litres": quality.litres, "scale": quality.scale, "dice": quality.dice}


def head(number: int, sequence: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Voxels, affine and brain mask of a synthetic scan, and its transform to the atlas."""
    subject = build_anatomy(draw_subject(7, number, site="university", age=20 + 3 * number))
    (scan,) = draw_acquisitions(7, number, "university", sequences=(sequence,))  # type: ignore[arg-type]
    made = render_series(subject, scan)
    to_scan = head_affine(scan, subject.scale, subject.spacing, subject.origin)
    x, y, z = made.volume.shape
    label = resample(subject.label.numpy(), to_scan, Grid((x, y, z), made.affine), order=0)
    to_mni = np.diag([subject.spacing] * 3 + [1.0])
    to_mni[:3, 3] = subject.origin
    mask = np.isin(label, [int(one) for one in INTRACRANIAL])
    return made.volume.astype(np.float32), made.affine, mask, to_mni @ np.linalg.inv(to_scan)


def transform(seed: int, stretch: bool) -> np.ndarray:
    """A random transform (4, 4), mm."""
    rng = np.random.default_rng([seed, stretch])
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-ANGLE, ANGLE, 3), degrees=True).as_matrix()
    matrix[:3, 3] = rng.uniform(-SHIFT, SHIFT, 3)
    if stretch:
        sizes, shears = rng.uniform(1 - STRETCH, 1 + STRETCH, 3), rng.uniform(-SHEAR, SHEAR, (3, 3))
        matrix[:3, :3] @= np.diag(sizes) + np.triu(shears, 1)
    return matrix


def distances(one: np.ndarray, other: np.ndarray, points: np.ndarray) -> np.ndarray:
    """mm between where two transforms send points (n, 3)."""
    apart = one - other
    return np.linalg.norm(points @ apart[:3, :3].T + apart[:3, 3], axis=1)


def error(one: np.ndarray, other: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """Largest distance (mm) over points, and angle between the rotations (degrees)."""
    turn = rigid(one, np.zeros(3)) @ np.linalg.inv(rigid(other, np.zeros(3)))
    angle = np.degrees(Rotation.from_matrix(turn[:3, :3]).magnitude())
    return float(distances(one, other, points).max()), float(angle)


if __name__ == "__main__":
    main()
