"""`make demo`: make a small cohort of synthetic brains, embed it, and fit a brain-age probe on it.

Usage: python examples/demo.py FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SUBJECTS, SEED = 80, 7


def main(folder: Path) -> None:
    """Run the commands and show what they print."""
    brains, embeddings, probe = folder / "brains", folder / "brains.h5", folder / "brain-age"
    if brains.exists():  # of an earlier demo, perhaps unfinished
        shutil.rmtree(brains)
    folder.mkdir(parents=True, exist_ok=True)
    cohort = ("--subjects", SUBJECTS, "--seed", SEED, "--condition", "control", "--workers", 2, "--preview")
    prima("synth", brains, *cohort)
    prima("embed", brains, embeddings)
    prima("inspect", embeddings)
    labels = brains / "participants.tsv"
    prima("probe", "fit", "brain-age", embeddings, "--labels", labels, "--output", probe, "--overwrite")
    prima("probe", "predict", probe, embeddings, folder / "ages.tsv")
    print(f"""
Results:
  {brains / "preview.png"}    pictures of the brains
  {embeddings.with_suffix(".report.html")}    HTML report of the embeddings
  {probe / "report.html"}    HTML report of the brain-age probe
The brains and the model's training data are synthetic. For research use only: not a medical device.""")


def prima(*arguments: object) -> None:
    """Show a command and run it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ prima {' '.join(words)}", flush=True)
    subprocess.run([sys.executable, "-m", "prima_features.cli.main", *words], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
