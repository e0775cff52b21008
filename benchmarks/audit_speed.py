"""Time and memory of a large audit: python benchmarks/audit_speed.py [--studies N] [--names M] [--json].

A simulated cohort of 30,000 studies, 52 names with 1 to 20% of positives, and 20 groups: sex, age band, site, vendor,
and insurance. Tables are read, joined and written as by the command. Aim: less than 5 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from prima_features.clinical.audit import AuditOptions, audit


def main() -> None:
    """Print the time of an audit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=30_000)
    parser.add_argument("--names", type=int, default=52)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = tables(Path(folder), chosen.studies, chosen.names)
        start, cpu = time.perf_counter(), time.process_time()
        options = AuditOptions(
            resamples=chosen.resamples, groups=("sex", "age", "site", "vendor", "insurance")
        )
        found = audit(paths[0], Path(folder) / "out", paths[1], [paths[2]], options)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    line = {
        "studies": chosen.studies,
        "names": chosen.names,
        "groups": sum(len(one.levels) for one in found.groups.values()),
        "resamples": chosen.resamples,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if chosen.json:
        print(json.dumps(line))
    else:
        print(", ".join(f"{value:,} {name}" for name, value in line.items()))


def tables(folder: Path, n: int, names: int) -> list[Path]:
    """Scores, labels and attributes of a simulated cohort."""
    rng = np.random.default_rng(0)
    subject = rng.integers(0, int(0.8 * n), n)
    study = [f"sub-{one:06d}_ses-{i:06d}" for i, one in enumerate(subject)]
    truth = rng.random((n, names)) < rng.uniform(0.01, 0.2, names)
    score = rng.normal(size=(n, names)) + rng.uniform(1, 3, names) * truth - 1.3
    columns = [f"finding_{i}" for i in range(names)]
    made = {
        "scores": pd.DataFrame({"study": study, "subject": [f"{one:06d}" for one in subject]}).join(
            pd.DataFrame(score.astype(np.float32), columns=[f"diagnosis/{name}" for name in columns])
        ),
        "labels": pd.DataFrame({"study": study}).join(pd.DataFrame(truth.astype(int), columns=columns)),
        "attributes": pd.DataFrame(
            {
                "study": study,
                "sex": rng.choice(["F", "M"], n),
                "age": rng.integers(18, 95, n),
                "site": rng.choice([f"site {i}" for i in range(5)], n),
                "vendor": rng.choice(["GE", "Philips", "Siemens"], n),
                "insurance": rng.choice(["none", "private", "public"], n),
            }
        ),
    }
    for name, table in made.items():
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False)
    return [folder / f"{name}.tsv" for name in made]


if __name__ == "__main__":
    main()
