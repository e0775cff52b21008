"""`make demo`: two small cohorts of synthetic brains: a brain-age probe on the one, clinical outputs on the other.

Usage: python examples/demo.py FOLDER
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

SUBJECTS, SEED = 80, 7
PATIENTS, PATIENTS_SEED = 36, 41
CONDITIONS = (
    *("control", "dementia", "glioma", "stroke", "multiple_sclerosis", "meningioma", "subdural_haematoma"),
    *("haemorrhage", "hydrocephalus", "metastases"),
)
GLIOMA = "diagnosis/tumor_adult_glioma"


def main(folder: Path) -> None:
    """Run the commands and show what they print."""
    folder.mkdir(parents=True, exist_ok=True)
    healthy(folder)
    patients(folder)
    print(f"""
Results:
  {folder / "brains" / "preview.png"}    pictures of the healthy brains
  {folder / "brains.report.html"}    HTML report of their embeddings
  {folder / "brain-age" / "report.html"}    HTML report of the brain-age probe
  {folder / "search.html"}    studies that match "high-grade glioma" best
  {folder / "scores.html"}    worklist: the most urgent studies and their findings
  {folder / "audit" / "audit.html"}    scores against the true labels
  {folder / "explanation" / "explanation.html"}    where the model sees a glioma
The brains and the model's training data are synthetic. For research use only: not a medical device.""")


def healthy(folder: Path) -> None:
    """Embed brains without disease, and fit a brain-age probe."""
    brains, embeddings, probe = folder / "brains", folder / "brains.h5", folder / "brain-age"
    cohort = ("--subjects", SUBJECTS, "--seed", SEED, "--condition", "control")
    synth(brains, *cohort, "--preview")
    prima("embed", brains, embeddings)
    prima("inspect", embeddings)
    labels = brains / "participants.tsv"
    prima("probe", "fit", "brain-age", embeddings, "--labels", labels, "--output", probe, "--overwrite")
    prima("probe", "predict", probe, embeddings, folder / "ages.tsv")


def patients(folder: Path) -> None:
    """Search, score, audit and explain brains with and without disease."""
    brains, embeddings, scores = folder / "patients", folder / "patients.h5", folder / "scores.tsv"
    synth(brains, "--subjects", PATIENTS, "--seed", PATIENTS_SEED, "--condition", *CONDITIONS)
    prima("embed", brains, embeddings)
    prima("search", embeddings, "Acute infarct in the right middle cerebral artery territory", "--top", 3)
    contrast = ("--against", "Unremarkable study")
    prima("search", embeddings, "high-grade glioma", *contrast, "--top", 7, "--output", folder / "search.tsv")
    prima("reports", "summarize", brains / "reports.tsv", folder / "findings.tsv")
    prima("search", embeddings, "--reports", folder / "findings.tsv", "--output", folder / "retrieval.json")
    prima("diagnose", embeddings, scores)
    tables = (
        "--labels",
        brains / "labels.tsv",
        "--attributes",
        brains / "participants.tsv",
        "--groups",
        "sex",
    )
    # Cohorts for a paper need at least the 10 positives that are the default.
    prima("audit", scores, folder / "audit", *tables, "--min-positives", 3)
    study = highest(scores, GLIOMA)
    prima("explain", brains, folder / "explanation", "--study", study, "--target", GLIOMA, "--samples", 300)


def highest(scores: Path, column: str) -> str:
    """The study with the highest score."""
    with scores.open(encoding="utf-8", newline="") as file:
        return max(csv.DictReader(file, delimiter="\t"), key=lambda row: float(row[column]))["study"]


def synth(brains: Path, *cohort: object) -> None:
    """Make a cohort, and delete that of an earlier demo, which may be unfinished."""
    if brains.exists():
        shutil.rmtree(brains)
    prima("synth", brains, *cohort, "--workers", 2)


def prima(*arguments: object) -> None:
    """Show a command and run it."""
    words = [str(argument) for argument in arguments]
    print(f"\n$ prima {' '.join(words)}", flush=True)
    code = subprocess.run([sys.executable, "-m", "prima_features.cli.main", *words]).returncode
    if code:
        raise SystemExit(code)  # the command has said what is wrong


if __name__ == "__main__":
    main(Path(sys.argv[1]))
