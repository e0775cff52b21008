"""`make demo`: embed a synthetic DICOM study and a made-up BIDS dataset, and look at what came out.

Usage: python examples/demo.py FOLDER
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

STUDY_A = Path(__file__).parent.parent / "tests" / "data" / "study_a"
CONTRASTS = {"T1w": (900, 600, 150), "FLAIR": (500, 750, 80)}
"""Intensity of white matter, grey matter and ventricles."""


def main(folder: Path) -> None:
    """Make the data, run the commands, show what they print."""
    folder.mkdir(parents=True, exist_ok=True)
    make_bids(folder / "bids")
    for source, output in ((STUDY_A, folder / "dicom.h5"), (folder / "bids", folder / "bids.h5")):
        prima("inspect", source)
        prima("embed", source, output, "--model", "prima-untrained")
        prima("inspect", output)
    print("\nThe weights of prima-untrained are random: these numbers show the pipeline and mean nothing.")


def prima(*arguments: str | Path) -> None:
    """Show a command and run it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ prima {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "prima_features.cli.main", *words], check=True)


def make_bids(folder: Path) -> None:
    """Three subjects, one of them seen twice, with a T1w and a FLAIR each."""
    folder.mkdir(exist_ok=True)
    description = {"Name": "Made-up heads", "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    visits = ("sub-01", "sub-02", "sub-03/ses-1", "sub-03/ses-2")
    for seed, visit in enumerate(visits):
        anat = folder / visit / "anat"
        anat.mkdir(parents=True, exist_ok=True)
        for suffix in CONTRASTS:
            path = anat / f"{visit.replace('/', '_')}_{suffix}.nii.gz"
            nib.save(make_head(suffix, np.random.default_rng(seed)), path)


def make_head(suffix: str, random: np.random.Generator) -> nib.Nifti1Image:
    """An ellipsoid head with a shell of grey matter and two ventricles, 24 axial slices of 6 mm."""
    white, grey, ventricle = CONTRASTS[suffix]
    size = random.uniform(0.9, 1.1)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) / size for n in (96, 112, 24)), indexing="ij")
    radius = np.sqrt((x / 0.75) ** 2 + (y / 0.9) ** 2 + (z / 0.85) ** 2)
    image = np.where(radius < 1, grey, 0)
    image[radius < 0.85] = white
    for side in (-0.15, 0.15):
        image[((x - side) / 0.08) ** 2 + (y / 0.3) ** 2 + (z / 0.25) ** 2 < 1] = ventricle
    noisy = np.abs(image + random.normal(0, 15, image.shape)).astype(np.int16)
    return nib.Nifti1Image(noisy, np.diag([2.0, 2.0, 6.0, 1.0]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
