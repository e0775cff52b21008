"""Write synthetic-example.json: planted vectors of four encoders, and repeat scans. Run: python board/example.py.

The numbers say nothing about any encoder; the file shows what an entry of the board looks like.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from prima_features.bench import BenchOptions, TaskRequest, bench
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.files.disk import write_json
from prima_features.probes.labels import LabelRequest

N, WIDTH, SCANNERS = 120, 8, 3
ENCODERS = {"planted-a": (0.4, 0.1), "planted-b": (0.6, 0.1), "planted-c": (1.5, 0.5), "noise": (30.0, 0.0)}
"""Noise, and strength of the scanner, of each."""


def main(output: Path) -> None:
    """Simulate the cohort in a temporary folder and write the entry."""
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(0)
        scans = _scans(rng)
        scans.drop_duplicates("subject").to_csv(folder / "participants.tsv", sep="\t", index=False)
        columns = ["study", "subject", "scanner"]
        scans[scans["repeat"]][columns].to_csv(folder / "repeats.tsv", sep="\t", index=False)
        files = {name: _write(folder, name, scans, *how, rng) for name, how in ENCODERS.items()}
        options = BenchOptions(
            repeats_table=folder / "repeats.tsv",
            cohort="synthetic example",
            synthetic=True,
            list_left_out=False,
        )
        labels = LabelRequest((folder / "participants.tsv",), id_column="participant_id")
        tasks = [TaskRequest("brain-age"), TaskRequest("autism", "diagnosis")]
        write_json(output, bench(files, None, tasks, labels, options).document)


def _scans(rng: np.random.Generator) -> pd.DataFrame:
    """One scan per subject, and two more of the first ten on the other scanners."""
    subject = np.arange(N)
    people = pd.DataFrame(
        {
            "subject": [f"{i:03d}" for i in subject],
            "participant_id": [f"sub-{i:03d}" for i in subject],
            "age": rng.uniform(20, 80, N).round(1),
            "sex": np.where(rng.random(N) < 0.5, "F", "M"),
            "diagnosis": np.where(rng.random(N) < 0.5, "autism", "control"),
        }
    )
    frames = []
    for session in range(SCANNERS):
        scanned = people[: N if session == 0 else 10].copy()
        scanned["session"] = str(session)
        scanned["scanner"] = [f"scanner {(i + session) % SCANNERS}" for i in range(len(scanned))]
        scanned["repeat"] = np.arange(len(scanned)) < 10
        frames.append(scanned)
    scans = pd.concat(frames, ignore_index=True)
    scans["site"] = scans["scanner"]
    scans["study"] = "sub-" + scans["subject"] + "_ses-" + scans["session"]
    return scans


def _write(
    folder: Path, name: str, scans: pd.DataFrame, noise: float, scanner: float, rng: np.random.Generator
) -> Path:
    person = {one: noise * rng.normal(size=WIDTH) for one in scans["subject"].unique()}
    device = {one: scanner * rng.normal(size=WIDTH) for one in scans["scanner"].unique()}
    studies = []
    for one in scans.itertuples():
        vector = person[one.subject] + device[one.scanner] + 0.2 * rng.normal(size=WIDTH)
        vector[0] += (one.age - 50) / 20
        vector[1] += one.diagnosis == "autism"
        vector = vector.astype(np.float32)
        series = EmbeddedSeries("T1w", "axial", "", 1, (1, 1, 1), (1.0, 1.0, 1.0), vector)
        clip = np.ones(2, np.float32)
        studies.append(
            EmbeddedStudy(one.study, one.subject, one.session, "MRI BRAIN", "", vector, clip, (series,))
        )
    write_embeddings(
        folder / f"{name}.h5", studies, Provenance(name, "1", name.encode().hex().ljust(64, "0"), {})
    )
    return folder / f"{name}.h5"


if __name__ == "__main__":
    main(Path(__file__).resolve().parent / "synthetic-example.json")
