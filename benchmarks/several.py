"""Several models in one run, and in separate runs: python benchmarks/several.py [--json] [--studies N] [--published].

Eight encoders embed synthetic studies of three series of 128 x 128 x 24 voxels (.nii.gz): the two Prima models and the
two baselines of the package, and four other architectures with random weights of small networks, so that reading and
preparing have their real share of the time. With `--published`: small networks of all eight published architectures,
without masks and in stated MNI space. Each run is a command in a process of its own, without HTML reports. CPU
time is that of the process and its reader processes; memory is PSS of both, which counts a shared page once; opens of
scans are counted by inotify (Linux), whoever opens them.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from cohort import make_cohort, tree_memory
from commands import processor

BUNDLED = ("prima-synth", "prima-untrained", "intensity", "acquisition")
PUBLISHED = ("neurovfm", "dinov2-slices", "openmind-resencl", "brainiac",
             "dinov3-slices", "simclr3d", "neurojepa", "dinov3d-neuro")  # fmt: skip
IN_OPEN, IN_CLOSE = 0x20, 0x18
STRIPPED = ("brainiac", "simclr3d", "neurojepa")
OPTIONS = ("unstripped=allow", "space=mni")
"""Without which these refuse whole heads."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--studies", type=int, default=12)
    parser.add_argument("--workers", type=int, default=0, help="reader processes")
    parser.add_argument("--published", action="store_true", help="all eight published architectures")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, together, alone = (Path(folder) / name for name in ("bids", "together", "alone"))
        make_cohort(source, chosen.studies)
        kinds = PUBLISHED if chosen.published else PUBLISHED[:4]
        models = [*map(str, make_models(Path(folder) / "models", kinds))]
        models = models if chosen.published else [*BUNDLED, *models]
        for path in (together, alone):
            path.mkdir()
        embed(source, together / "warm.h5", ["intensity"], 0).wait()
        one = measure(source, lambda: embed(source, together / "out.h5", models, chosen.workers))
        each = {
            Path(model).name: measure(
                source,
                lambda model=model: embed(
                    source, alone / f"out.{Path(model).name}.h5", [model], chosen.workers
                ),
            )
            for model in models
        }
        difference = max(largest_difference(path, alone / path.name) for path in together.glob("out.*.h5"))
    separate = {
        "wall_s": round(sum(run["wall_s"] for run in each.values()), 1),
        "cpu_s": round(sum(run["cpu_s"] for run in each.values()), 1),
        "peak_mb": max(run["peak_mb"] for run in each.values()),
        "opens": sum(run["opens"] for run in each.values()),
    }
    result = {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 1),
        "models": len(models),
        "scans": 3 * chosen.studies,
        "workers": chosen.workers,
        "one_pass": one,
        "separate_passes": separate,
        "times_less": {name: round(separate[name] / one[name], 2) for name in ("wall_s", "cpu_s", "opens")},
        "largest_difference": difference,
        "each": each,
    }
    print(json.dumps(result, indent=None if chosen.json else 4))


def make_models(folder: Path, names: Sequence[str] = PUBLISHED[:4]) -> list[Path]:
    """Model directories of other architectures: small networks with random weights."""
    import torch
    from safetensors.torch import save_file

    from prima_features.encoders.brainiac.network import BrainiacConfig
    from prima_features.encoders.dino_slices.network import SlicesConfig
    from prima_features.encoders.dinov3d_neuro.network import Dino3dConfig
    from prima_features.encoders.neurojepa.network import JepaConfig
    from prima_features.encoders.neurovfm.network import NeuroVFMConfig
    from prima_features.encoders.openmind_resencl.network import ResEncConfig
    from prima_features.encoders.registry import series_architecture
    from prima_features.encoders.simclr3d.network import ResNetConfig

    slices = {"dim": 64, "depth": 2, "heads": 2, "mlp_dim": 128, "slices": 32}
    configs: dict[str, Any] = {
        "neurovfm": NeuroVFMConfig(dim=96, depth=2, heads=4, mlp_dim=192),
        "dinov2-slices": SlicesConfig(**slices, patch=14, registers=0, table=16, eps=1e-6),
        "dinov3-slices": SlicesConfig(**slices, patch=16, registers=4, table=0, eps=1e-5),
        "openmind-resencl": ResEncConfig(widths=(4, 8, 16), blocks=(1, 1, 1)),
        "brainiac": BrainiacConfig(width=96, depth=2, heads=4, mlp=192),
        "simclr3d": ResNetConfig(widths=(2, 4, 8, 16), blocks=(1, 1, 1, 1)),
        "neurojepa": JepaConfig(
            width=96, depth=2, heads=4, mlp=192, expert=24, shared=48, expert_blocks=(1,)
        ),
        "dinov3d-neuro": Dino3dConfig(width=72, depth=2, heads=4, mlp=144),
    }
    made = []
    for name in names:
        config = configs[name]
        architecture = series_architecture(name)
        torch.manual_seed(0)
        network = architecture.network(config)
        for key, parameter in network.named_parameters():
            if key != "periods" and not key.endswith("running_var"):
                torch.nn.init.normal_(parameter, std=0.02)
        directory = folder / name
        directory.mkdir(parents=True)
        save_file(network.state_dict(), directory / "model.safetensors")
        values = {
            "model_type": name,
            "format_version": 1,
            "preprocessing": architecture.preprocessing,
            "network": asdict(config),
        }
        (directory / "config.json").write_text(json.dumps(values))
        made.append(directory)
    return made


def embed(source: Path, output: Path, models: list[str], workers: int) -> subprocess.Popen[bytes]:
    """Start `prima embed`."""
    command = [sys.executable, "-m", "prima_features.cli.main", "embed", str(source), str(output)]
    command += [word for model in models for word in ("--model", model)]
    command += ["--workers", str(workers), "--device", "cpu", "--no-report"]
    if any(Path(model).name in STRIPPED for model in models):
        command += [word for option in OPTIONS for word in ("--encoder-option", option)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def measure(source: Path, start: Callable[[], subprocess.Popen[bytes]]) -> dict[str, Any]:
    """Wall-clock and CPU seconds, peak memory, and opens of scans of one command."""
    peak, before, began = 0, resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with opens(source) as counted:
        process = start()
        said: list[bytes] = []
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: said.append(process.stderr.read()))  # type: ignore[union-attr]
        reader.start()
        while process.poll() is None:
            peak = max(peak, tree_memory(process.pid))
            time.sleep(0.3)
        reader.join()
        wall = time.monotonic() - began
    assert process.returncode == 0, said[0].decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    values = {
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_mb": peak >> 20,
        "opens": counted[0],
    }
    print(values, file=sys.stderr)
    return values


@contextmanager
def opens(root: Path) -> Iterator[list[int]]:
    """Counts how often scans below a folder are opened, by any process; the number is there at the end."""
    libc, found = ctypes.CDLL(None), [0]
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    for folder in filter(Path.is_dir, root.rglob("*")):
        # With closing, since equal events one after another would be one event.
        libc.inotify_add_watch(descriptor, os.fsencode(folder), IN_OPEN | IN_CLOSE)
    try:
        yield found
        with suppress(BlockingIOError):
            while events := os.read(descriptor, 1 << 20):
                while events:
                    _, mask, _, length = struct.unpack_from("iIII", events)
                    name = events[16 : 16 + length].rstrip(b"\0")
                    found[0] += bool(mask & IN_OPEN) and name.endswith(b".nii.gz")
                    events = events[16 + length :]
    finally:
        os.close(descriptor)


def largest_difference(one: Path, other: Path) -> float:
    """Between the series vectors of two files."""
    from prima_features import read_embeddings

    a, b = read_embeddings(one).series_embedding, read_embeddings(other).series_embedding
    return float(np.abs(a - b).max())


if __name__ == "__main__":
    main()
