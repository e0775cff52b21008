"""`make demo`: embed a synthetic DICOM study and a made-up BIDS dataset, and fit a probe on the second.

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
N_SUBJECTS = 80
SITES = ("north", "south")


def main(folder: Path) -> None:
    """Make the data, run the commands, show what they print."""
    folder.mkdir(parents=True, exist_ok=True)
    make_bids(folder / "bids")
    prima("inspect", STUDY_A)
    prima("embed", STUDY_A, folder / "dicom.h5", "--model", "prima-untrained")
    prima("inspect", folder / "dicom.h5")
    cohort, labels = folder / "cohort.h5", folder / "bids" / "participants.tsv"
    prima("embed", folder / "bids", cohort, "--model", "prima-untrained")
    prima("probe", "fit", "brain-age", cohort, "--labels", labels, "--output", folder / "age", "--overwrite")
    prima("probe", "predict", folder / "age", cohort, folder / "ages.tsv")
    print(
        "\nThe weights of prima-untrained are random and these heads are ellipsoids whose ventricles grow with age:"
    )
    print("the numbers show the pipeline and mean nothing.")


def prima(*arguments: str | Path) -> None:
    """Show a command and run it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ prima {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "prima_features.cli.main", *words], check=True)


def make_bids(folder: Path) -> None:
    """Subjects of 20 to 80 years from two sites, with a T1w and a FLAIR each."""
    folder.mkdir(exist_ok=True)
    description = {"Name": "Made-up heads", "BIDSVersion": "1.9.0", "DatasetType": "raw"}
    (folder / "dataset_description.json").write_text(json.dumps(description))
    random = np.random.default_rng(0)
    rows = ["participant_id\tage\tsex\tsite"]
    for number in range(1, N_SUBJECTS + 1):
        age, sex, site = random.uniform(20, 80), random.choice(["F", "M"]), random.choice(SITES)
        subject = f"sub-{number:02d}"
        rows.append(f"{subject}\t{age:.1f}\t{sex}\t{site}")
        anat = folder / subject / "anat"
        anat.mkdir(parents=True, exist_ok=True)
        for suffix in CONTRASTS:
            nib.save(make_head(suffix, age, site, random), anat / f"{subject}_{suffix}.nii.gz")
    (folder / "participants.tsv").write_text("\n".join(rows) + "\n")


def make_head(suffix: str, age: float, site: str, random: np.random.Generator) -> nib.Nifti1Image:
    """An ellipsoid head with a shell of grey matter and two ventricles, 24 axial slices of 6 mm."""
    white, grey, ventricle = CONTRASTS[suffix]
    size = random.uniform(0.95, 1.05)
    grown = (0.4 + age / 80) * random.uniform(0.9, 1.1)
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) / size for n in (96, 112, 24)), indexing="ij")
    radius = np.sqrt((x / 0.75) ** 2 + (y / 0.9) ** 2 + (z / 0.85) ** 2)
    image = np.where(radius < 1, grey, 0)
    image[radius < 0.85] = white
    for side in (-0.25, 0.25):
        image[((x - side) / 0.15) ** 2 + (y / 0.35) ** 2 + (z / 0.3) ** 2 < grown**2] = ventricle
    noise = 15 if site == "north" else 20
    noisy = np.abs(image + random.normal(0, noise, image.shape)).astype(np.int16)
    return nib.Nifti1Image(noisy, np.diag([2.0, 2.0, 6.0, 1.0]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
