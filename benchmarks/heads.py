"""Memory and time of `prima diagnose` with heads of the published sizes: python benchmarks/heads.py [--json].

The heads' weights are random: 54 MLPs from 10,240 numbers through 4,000 and 1,000 hidden units, 9.7 GB in one file, for
which there must be room on the disk (--folder). The command runs in a process of its own; its peak memory is the peak
resident set (`VmHWM` of `/proc/self/status`), the interpreter and the libraries included.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.embedding.file.write import Provenance, write_embeddings
from prima_features.encoders.prima.model_config import read_config, write_config
from prima_features.encoders.prima.networks.config import HeadConfig, HeadsConfig
from prima_features.files.disk import sha256
from prima_features.models import bundled

STUDY, HIDDEN, LEVELS = 10240, (4000, 1000), 4
MEASURE = """
import sys
from pathlib import Path
from prima_features.cli.main import main
code = main(sys.argv[1:])
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")), file=sys.stderr)
sys.exit(code)
"""


def main() -> None:
    """Measure, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--heads", type=int, default=53, help="diagnoses, in addition to the priority head")
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument(
        "--folder", type=Path, help="where 10 GB fit (default: the folder for temporary files)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as scratch:
        folder = Path(scratch)
        model = make_model(folder / "model", arguments.heads)
        embeddings = make_embeddings(folder / "e.h5", model, arguments.studies)
        began = time.monotonic()
        command = [
            "diagnose",
            str(embeddings),
            str(folder / "o.tsv"),
            "--model",
            str(model),
            "--device",
            "cpu",
        ]
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True
        )
        result = {
            "heads": arguments.heads + 1,
            "studies": arguments.studies,
            "file_gb": round((model / "heads.safetensors").stat().st_size / 1e9, 2),
            "peak_gb": round(int(done.stderr.split()[-1]) * 1024 / 1e9, 2),
            "s": round(time.monotonic() - began, 1),
        }
    if arguments.json:
        print(json.dumps(result))
    else:
        print(", ".join(f"{name} {value}" for name, value in result.items()))


def make_model(folder: Path, n_heads: int) -> Path:
    """A copy of the bundled model prima-untrained, with random heads of the published sizes."""
    shutil.copytree(bundled.path("prima-untrained"), folder)
    names = [f"tumor_{i:02d}" for i in range(n_heads)]
    heads = HeadsConfig(tuple(HeadConfig(name, 0.0, i) for i, name in enumerate(names)), (), tuple("abcd"))
    write_config(folder, replace(read_config(folder), heads=heads))
    rng = np.random.default_rng(0)
    values = rng.standard_normal(HIDDEN[0] * STUDY, dtype=np.float32) / 100
    shapes = {
        f"{prefix}.{layer}.{part}": shape
        for prefix in (*(f"diagnosis.{name}" for name in names), "priority")
        for layer, (n_in, n_out) in {
            0: (STUDY, HIDDEN[0]),
            2: HIDDEN,
            4: (HIDDEN[1], LEVELS if prefix == "priority" else 1),
        }.items()
        for part, shape in {"weight": (n_out, n_in), "bias": (n_out,)}.items()
    }
    # Written here, as 9.9 GB of tensors do not fit into every memory.
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * int(np.prod(shape))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "heads.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for shape in shapes.values():
            file.write(values[: int(np.prod(shape))].tobytes())
    return folder


def make_embeddings(path: Path, model: Path, n_studies: int) -> Path:
    """Random study vectors of the published length."""
    rng = np.random.default_rng(1)
    studies = (
        EmbeddedStudy(
            id=f"sub-{i:05d}",
            subject=f"{i:05d}",
            session="",
            description="MRI BRAIN",
            source="",
            embedding=rng.standard_normal(STUDY, dtype=np.float32),
            clip=None,
            series=(),
        )
        for i in range(n_studies)
    )
    widths = {"study": STUDY, "series": 4, "clip": None, "token": None}
    checksum = sha256(model / "model.safetensors")
    write_embeddings(path, studies, Provenance("prima-untrained", "", checksum, {}, widths=widths))
    return path


if __name__ == "__main__":
    main()
