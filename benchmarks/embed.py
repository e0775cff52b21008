"""Embedding on the CPU beside the plain way: python benchmarks/embed.py [--json] [--quick].

The published sizes with random weights, on the synthetic DICOM study of the tests. Four ways, interleaved, the shortest
of several repeats of each; reading the scans is in none of them:

    plain       as the public pipeline does: every subvolume of the grid, doubled, in float32, one series at a time
    filtered    the same without the subvolumes that hold no foreground, nor any twice
    fp32, bf16  this project's engine

and, in the same repeats, the tokenizer alone beside a product of two 4096 x 4096 matrices. Where other programs keep
the cores busy, OMP_NUM_THREADS=1 and --cpu-time measure processor time instead. --tokenizer is quick: only the
tokenizer, for subvolumes of each orientation, and also the public one of MONAI generative models if it is installed
(`pip install --no-deps monai-generative monai einops`).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from resources import processor

from prima_features.embedding.engine.encode import encode_window
from prima_features.embedding.engine.options import EngineOptions, StageTimes
from prima_features.embedding.engine.prepare import PreparedStudy, StudyReader, StudyRequest
from prima_features.embedding.file.records import EmbeddedStudy
from prima_features.encoders.prima import PrimaModel
from prima_features.encoders.prima.encode import Network, PrimaInference
from prima_features.encoders.prima.networks import Prima, PrimaConfig
from prima_features.encoders.prima.prepare import PrimaPreparer, read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import divide
from prima_features.encoders.ragged import Ragged
from prima_features.studies.dicom import find_dicom
from prima_features.volumes import PLANES, ReadOptions

STUDY = Path(__file__).resolve().parent.parent / "tests" / "data" / "study_a"
BATCH = EngineOptions().batch_for("cpu")
CPU = torch.device("cpu")


def main() -> None:
    """Run all ways, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--quick", action="store_true", help="the bundled model, once: no times worth looking at"
    )
    parser.add_argument("--tokenizer", action="store_true", help="the tokenizer alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--cpu-time", action="store_true", help="the processor's seconds; needs OMP_NUM_THREADS=1"
    )
    chosen = parser.parse_args()
    model = load(chosen.quick)
    if chosen.cpu_time and torch.get_num_threads() > 1:
        parser.error("threads that wait for each other count as work: set OMP_NUM_THREADS=1")
    clock = Clock(time.process_time if chosen.cpu_time else time.perf_counter)
    repeats, matrix = (1, 256) if chosen.quick else (chosen.repeats, 4096)
    result = {"processor": processor(), "clock": clock.now.__name__, "threads": torch.get_num_threads()}
    result |= tokenizer(model, clock, repeats) if chosen.tokenizer else measure(model, clock, repeats, matrix)
    if chosen.json:
        print(json.dumps(result))
        return
    for part, values in result.items():
        print(part, values)


def load(quick: bool) -> Prima:
    """A model of the published sizes, or the small one that comes with the package."""
    if quick:
        return PrimaModel.from_pretrained("prima-untrained")
    torch.manual_seed(0)
    return PrimaModel(PrimaConfig()).eval()


def measure(model: Prima, clock: Clock, repeats: int, matrix: int) -> dict[str, Any]:
    """All parts, by name."""
    (study,) = find_dicom(STUDY).studies
    preprocessing = model.config.preprocessing
    (prepared,) = StudyReader((PrimaPreparer(preprocessing),), ReadOptions())(StudyRequest(study))
    everything = [every_subvolume(series.series, preprocessing) for series in prepared.series]
    networks = {name: Network(model, CPU, dtype, BATCH) for name, dtype in DTYPES.items()}
    ways = {
        "plain": lambda: plain(model, prepared, everything),
        "filtered": lambda: plain(model, prepared, None),
        "fp32": lambda: engine(networks["fp32"], prepared),
        "bf16": lambda: engine(networks["bf16"], prepared),
    }
    seconds = {name: [] for name in ways}
    outputs = {}
    rates = {name: [] for name in RATES}
    for _ in range(repeats):
        for name, way in ways.items():
            spent, outputs[name] = clock.time(way)
            seconds[name].append(spent)
        for name, rate in RATES.items():
            rates[name].append(rate(clock, model, networks, prepared, matrix))
    best = {name: min(values) for name, values in seconds.items()}
    exact = outputs["filtered"]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "subvolumes": {"all": sum(map(len, (e.values for e in everything))), "kept": prepared.n_items},
        "seconds": best,
        "times_as_fast_as_plain": {name: best["plain"] / value for name, value in best.items()},
        "largest_relative_difference": {
            name: float(np.abs(outputs[name] - exact).max() / np.abs(exact).max())
            for name in ("fp32", "bf16")
        },
        "cosine": {name: cosine(outputs[name], exact) for name in ("fp32", "bf16")},
        "gflops": {name: max(values) for name, values in rates.items()},
        "tokenizer_over_matrix": {
            name: max(rates[f"tokenizer_{name}"]) / max(rates[f"matrix_{name}"]) for name in DTYPES
        },
    }


@torch.inference_mode()
def tokenizer(model: Prima, clock: Clock, repeats: int) -> dict[str, Any]:
    """Milliseconds per subvolume and differences of the latents, by the orientation of the slices."""
    networks = {name: Network(model, CPU, dtype, BATCH) for name, dtype in DTYPES.items()}
    public = public_tokenizer(model)
    result: dict[str, Any] = {"public": "MONAI generative models" if public else NOT_INSTALLED}
    for axis, plane in enumerate(PLANES):
        size = [model.config.preprocessing.long_side] * 3
        size[axis] = model.config.preprocessing.short_side
        values = torch.rand(2 * BATCH, *size)
        ways: dict[str, Callable[[], Any]] = {"plain": partial(in_batches, model.encode_subvolumes, values)}
        if public:
            ways["public"] = partial(in_batches, partial(doubled, public, axis), values)
        ways |= {
            name: partial(network.latents, values, axis, lambda: None) for name, network in networks.items()
        }
        # Not measured: the first call, which makes weights and chooses kernels.
        latents = {name: way() for name, way in ways.items()}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(repeats):
            for name, way in ways.items():
                seconds[name].append(clock.time(way)[0])
        best = {name: min(values) for name, values in seconds.items()}
        result[plane] = {
            "milliseconds": {name: round(1e3 * value / len(values), 2) for name, value in best.items()},
            "times_as_fast": {
                other: {name: round(best[other] / best[name], 2) for name in networks}
                for other in ("plain", "public")
                if other in ways
            },
            "largest_relative_difference": {
                name: float((one - latents["plain"]).abs().max() / latents["plain"].abs().max())
                for name, one in latents.items()
            },
        }
    return result


NOT_INSTALLED = "not installed: pip install --no-deps monai-generative monai einops"


def public_tokenizer(model: Prima) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """The encoder that the public pipeline uses, with the model's weights; None if its package is not installed."""
    try:
        from generative.networks.nets import VQVAE
    except ImportError:
        return None
    sizes = model.config.tokenizer
    public = VQVAE(
        spatial_dims=3,
        in_channels=1,
        out_channels=1,
        num_channels=sizes.channels,
        num_res_channels=sizes.res_channels,
        num_res_layers=sizes.res_layers,
        downsample_parameters=sizes.downsample,
        upsample_parameters=sizes.upsample,
        num_embeddings=sizes.codes,
        embedding_dim=sizes.code_dim,
    )
    public.load_state_dict(model.tokenizer.state_dict())
    return public.eval().encoder


def doubled(encoder: Callable[[torch.Tensor], torch.Tensor], axis: int, values: torch.Tensor) -> torch.Tensor:
    """Latents of subvolumes (N, z, y, x), each slice twice."""
    return encoder(values.repeat_interleave(2, dim=1 + axis)[:, None])


def in_batches(encode: Callable[[torch.Tensor], torch.Tensor], values: torch.Tensor) -> torch.Tensor:
    """All latents, a batch at a time."""
    return torch.cat([encode(batch) for batch in values.split(BATCH)])


@dataclass(frozen=True)
class Everything:
    """All subvolumes (U, z, y, x) of a series' grid; of the kept ones' latents the tokens are made."""

    values: np.ndarray
    kept: np.ndarray
    """(N,) rows of the kept ones, in the order of the tokens."""


def every_subvolume(series: Any, preprocessing: Preprocessing) -> Everything:
    """The grid without filtering."""
    from prima_features.encoders.prima.subvolumes import kept

    grid = divide(read_volume(series, preprocessing), preprocessing)
    values = grid.values.transpose(0, 2, 4, 1, 3, 5).reshape(-1, *grid.size).astype(np.float32)
    return Everything(values / np.float32(grid.maximum), kept(grid.percent, preprocessing)[0])


@torch.inference_mode()
def plain(model: Prima, study: PreparedStudy, everything: Sequence[Everything] | None) -> np.ndarray:
    """The study's vector, one series at a time, through the networks as they are written."""
    vectors = []
    for i, series in enumerate(study.series):
        cut = series.prepared.arrays
        values, row = (everything[i].values, everything[i].kept) if everything else (cut.values, cut.row)
        latent = torch.cat(
            [model.encode_subvolumes(batch) for batch in torch.from_numpy(values).split(BATCH)]
        )
        tokens = model.token_vectors(
            latent[torch.from_numpy(row)], torch.from_numpy(cut.coord), cut.slice_axis
        )
        vectors.append(model.encode_series(Ragged.from_list([tokens]), [series.series.name]).embedding)
    return (
        model.encode_study(Ragged.from_list([torch.cat(vectors)]), [study.study.description])
        .embedding[0]
        .numpy()
    )


def engine(network: Network, study: PreparedStudy) -> np.ndarray:
    """The study's vector as `prima embed` computes it."""
    (result,) = encode_window(PrimaInference(network), network.model.info.widths, [study], StageTimes())
    assert isinstance(result, EmbeddedStudy)
    return result.embedding


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def tokenizer_rate(dtype: str) -> Callable[..., float]:
    """GFLOP/s of the tokenizer on subvolumes of the study; each product with padding counts."""

    @torch.inference_mode()
    def rate(
        clock: Clock, model: Prima, networks: dict[str, Network], study: PreparedStudy, matrix: int
    ) -> float:
        cut = study.series[0].prepared.arrays
        values = torch.from_numpy(cut.values[: 2 * BATCH])
        seconds, _ = clock.time(lambda: networks[dtype].latents(values, cut.slice_axis, lambda: None))
        return len(values) * operations(model) / seconds / 1e9

    return rate


def matrix_rate(dtype: str) -> Callable[..., float]:
    """GFLOP/s of a product of two square matrices."""

    def rate(
        clock: Clock, model: Prima, networks: dict[str, Network], study: PreparedStudy, matrix: int
    ) -> float:
        square = torch.randn(matrix, matrix).to(DTYPES[dtype])
        return 2 * matrix**3 / min(clock.time(lambda: square @ square)[0] for _ in range(3)) / 1e9

    return rate


RATES = {
    f"{what.__name__.split('_')[0]}_{dtype}": what(dtype)
    for what in (tokenizer_rate, matrix_rate)
    for dtype in DTYPES
}


@torch.inference_mode()
def operations(model: Prima) -> int:
    """Floating-point operations that the tokenizer as written takes for one subvolume."""
    from torch.utils.flop_counter import FlopCounterMode

    size = model.config.preprocessing
    with FlopCounterMode(display=False) as counter:
        model.encode_subvolumes(
            torch.zeros(1, size.short_side, size.long_side, size.long_side, device=model.device)
        )
    return counter.get_total_flops()


@dataclass(frozen=True)
class Clock:
    """Tells how long some work takes."""

    now: Callable[[], float]
    """Seconds of some clock."""

    def time(self, work: Callable[[], Any]) -> tuple[float, Any]:
        """Seconds that some work takes, and what it gives."""
        began = self.now()
        result = work()
        return self.now() - began, result


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine similarity of two vectors."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


if __name__ == "__main__":
    main()
