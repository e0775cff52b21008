"""Order of encoders on synthetic brains: python benchmarks/encoder_order.py [--json] [--studies N] [--keep DIR].

`prima synth` makes a cohort of controls and subjects with dementia, `prima embed` embeds it with six encoders in one
pass, and `prima bench` compares them: prima-synth, which was trained on such brains; prima-untrained, NeuroVFM and
DINOv2 on slices with random weights (the latter two with small networks); and the baselines of intensities and of
acquisition facts. A copy of the first one's file must not differ from it. prima-synth must be the best encoder of
every task, and the acquisition facts must tell the sites apart best.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from commands import processor
from several import BUNDLED, make_models

TASKS = ("brain-age", "dementia=dementia")
ORIGINAL, COPY = "prima-synth", "copy"


def main() -> None:
    """Make, embed, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--keep", type=Path, help="folder to work in, which is kept")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        document = bench(folder, chosen.studies)
    result = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "studies": document["n_studies"],
        **{task: summary(found) for task, found in document["tasks"].items()},
    }
    print(json.dumps(result, indent=None if chosen.json else 4))


def bench(folder: Path, studies: int) -> dict[str, Any]:
    """Contents of bench.json."""
    cohort, vectors = folder / "cohort", folder / "vectors"
    models = [name for name in make_models(folder / "models") if name.name in ("neurovfm", "dinov2-slices")]
    prima("synth", cohort, "--subjects", studies, "--condition", "control", "--condition", "dementia")
    vectors.mkdir()
    named = [word for model in (*BUNDLED, *models) for word in ("--model", model)]
    prima("embed", cohort, vectors / "v.h5", *named)
    shutil.copy(vectors / f"v.{ORIGINAL}.h5", vectors / f"v.{COPY}.h5")
    files = [
        word
        for path in sorted(vectors.glob("v.*.h5"))
        for word in ("--embeddings", f"{path.name.split('.')[1]}={path}")
    ]
    tasks = [word for task in TASKS for word in ("--task", task)]
    prima("bench", folder / "bench", *files, *tasks, "--labels", cohort / "participants.tsv", "--synthetic")
    return json.loads((folder / "bench" / "bench.json").read_text())


def summary(task: dict[str, Any]) -> dict[str, Any]:
    """Primary metric of each encoder, the best first, how well it tells sites apart, and what must hold."""
    primary, sign = task["primary"], 1 if task["higher_is_better"] else -1
    values = {name: found[primary]["value"] for name, found in task["encoders"].items() if name != COPY}
    sites = {name: found["balanced_accuracy"]["value"] for name, found in task["site_decodability"].items()}
    order = sorted(values, key=lambda name: -sign * values[name])
    pairs = {tuple(pair.split(" - ")): found for pair, found in task["differences"].items()}
    copies = next(found for pair, found in pairs.items() if set(pair) == {ORIGINAL, COPY})
    others = [found for pair, found in pairs.items() if ORIGINAL in pair and COPY not in pair]
    return {
        primary: {name: round(values[name], 3) for name in order},
        "site_balanced_accuracy": {name: round(sites[name], 3) for name in order},
        "best_is_prima_synth": order[0] == ORIGINAL,
        "better_beyond_noise_than": sum(not found["within_noise"] for found in others),
        "of": len(others),
        "acquisition_reads_sites_best": max(sites, key=sites.__getitem__) == "acquisition",
        "difference_of_copies": [copies["value"], copies["p"]],
    }


def prima(*arguments: object) -> None:
    """Run the command."""
    command = [str(Path(sys.executable).with_name("prima")), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")


if __name__ == "__main__":
    main()
