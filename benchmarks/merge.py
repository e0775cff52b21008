"""How long it takes to merge the parts of a large cohort, and in how much memory: python benchmarks/merge.py [--json].

The parts are made up, at the published sizes: 10240 numbers a study, 128 comparable with text, and 1024 for each of
its series. The merge is the command's own function, in a process of its own, and so is the page that is written
beside the file. Peak memory is the peak resident set (`VmHWM` of `/proc/self/status`), the interpreter and the
libraries included. The CPU's seconds are those of the process, which other load on the machine does not lengthen. The
parts hold no pictures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from prima_features.embedding.file.read import read_embeddings
from prima_features.embedding.file.records import EmbeddedSeries, EmbeddedStudy
from prima_features.embedding.file.write import Provenance
from prima_features.embedding.report import report_path
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.embedding.resume.plan import OutputPlan

STUDY, CLIP, SERIES, N_SERIES = 10240, 128, 1024, 5
SETTINGS = "0" * 16

MEASURE = """
import json, sys, time
from pathlib import Path

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))

output = Path(sys.argv[1])
{imports}
before, began, cpu = peak(), time.monotonic(), time.process_time()
{what}
print(json.dumps({{"s": round(time.monotonic() - began, 1), "cpu_s": round(time.process_time() - cpu, 1),
                   "peak_mb": round(peak() / 1e6), "peak_before_mb": round(before / 1e6)}}))
"""
MERGE = MEASURE.format(
    imports="from prima_features.embedding.merge import merge", what="merge(output, report=False)"
)
REPORT = MEASURE.format(
    imports="from prima_features.embedding.report import write_report", what="write_report(output)"
)


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--parts", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help="where to work (default: the system's temporary folder)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        result = measure(Path(folder) / "out.h5", chosen.parts)
    if chosen.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:20} {value}")


def measure(output: Path, n_parts: int) -> dict[str, Any]:
    """Make the parts, merge them, and check what came out."""
    began = time.monotonic()
    make_parts(PartsFolder.of(output), n_parts)
    made = time.monotonic() - began
    merged = measured(MERGE, output)
    file = read_embeddings(output)
    assert (file.n_studies, file.n_series) == (n_parts, n_parts * N_SERIES)
    with file.open() as opened:
        assert np.array_equal(opened["study/embedding"][-1], study(n_parts - 1).embedding)
    page = measured(REPORT, output)
    return {
        "parts": n_parts,
        "load": round(os.getloadavg()[0], 1),
        "making_parts_s": round(made, 1),
        **{f"merge_{name}": value for name, value in merged.items()},
        "output_mb": round(output.stat().st_size / 1e6),
        **{f"page_{name}": value for name, value in page.items()},
        "page_mb": round(report_path(output).stat().st_size / 1e6, 1),
    }


def measured(script: str, output: Path) -> dict[str, float]:
    """What a script took."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(output)], stdout=subprocess.PIPE, text=True, check=True
    )
    measurements: dict[str, float] = json.loads(done.stdout)
    return measurements


def make_parts(parts: PartsFolder, n_parts: int) -> None:
    """A folder as shards leave it. The disk is not waited for: these parts need not survive anything."""
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
    parts.create()
    for number in range(n_parts):
        parts.save(study(number))
    ids = tuple(study_id(number) for number in range(n_parts))
    OutputPlan(Provenance("made up", "local", "0" * 64, {}), SETTINGS, "float32", ids, ()).write(parts.folder)


def study_id(number: int) -> str:
    """Id of one study."""
    return f"sub-{number:06}"


def study(number: int) -> EmbeddedStudy:
    """One made-up study of the published sizes."""
    random = np.random.default_rng(number)
    series = tuple(
        EmbeddedSeries(
            name=f"AX_T{i}_SERIES",
            plane="axial",
            source=f"{study_id(number)}/anat/{study_id(number)}_T{i}w.nii.gz",
            n_tokens=400,
            shape=(32, 256, 256),
            spacing=(5.0, 0.9, 0.9),
            embedding=random.normal(size=SERIES).astype(np.float32),
        )
        for i in range(N_SERIES)
    )
    return EmbeddedStudy(
        id=study_id(number),
        subject=f"{number:06}",
        session="",
        description="MRI BRAIN",
        source=study_id(number),
        embedding=random.normal(size=STUDY).astype(np.float32),
        clip=random.normal(size=CLIP).astype(np.float32),
        series=series,
        input_hash=f"{SETTINGS}:{number:032}",
    )


if __name__ == "__main__":
    main()
