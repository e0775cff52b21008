"""The tokenizer stage: the VQ-VAE learns to rebuild subvolumes (docs/model.md, section 4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from prima_features.encoders.prima.networks.prima import DOUBLING
from prima_features.encoders.prima.networks.tokenizer import Codebook, TokenizerOutput
from prima_features.errors import NothingUsableError
from prima_features.pretraining.batches.loading import share_of
from prima_features.pretraining.data.cache import CachedSeries, CachedStudy, Cohort, digest_of
from prima_features.pretraining.data.draws import generator, split_studies
from prima_features.pretraining.data.records import SUBVOLUMES
from prima_features.pretraining.model.export import model_card, write_model
from prima_features.pretraining.model.start import Start
from prima_features.pretraining.objectives import reconstruction_loss
from prima_features.pretraining.settings import TokenizerTraining
from prima_features.pretraining.training.gradients import gather_rows, mean_over_processes, world_size
from prima_features.pretraining.training.record import reconstruction_picture
from prima_features.pretraining.training.stage import Stage, Validated


class TokenPool:
    """All subvolumes of some studies, numbered within each plane.

    Args:
        cohort: its cache holds subvolumes.
        studies: those of it to draw from.

    Raises:
        NothingUsableError: they have no subvolume.
    """

    def __init__(self, cohort: Cohort, studies: Sequence[CachedStudy]) -> None:
        self._cohort = cohort
        planes: dict[int, list[tuple[CachedSeries, int]]] = {}
        for series in (series for study in studies for series in study.series):
            count, *sides = cohort.cache.shape(series.entry, SUBVOLUMES)
            if count:
                planes.setdefault(int(np.argmin(sides)), []).append((series, count))
        if not planes:
            raise NothingUsableError("No training study has a subvolume with foreground")
        self._axes = sorted(planes)
        self._series = {axis: [series for series, _ in planes[axis]] for axis in self._axes}
        self._ends = {axis: np.cumsum([count for _, count in planes[axis]]) for axis in self._axes}

    def __len__(self) -> int:
        return int(sum(ends[-1] for ends in self._ends.values()))

    def draw(self, count: int, rng: np.random.Generator) -> tuple[int, np.ndarray]:
        """A plane, by its share of the subvolumes, and numbers (count,) of some of its, in order."""
        sizes = np.array([self._ends[axis][-1] for axis in self._axes])
        axis = self._axes[rng.choice(len(sizes), p=sizes / sizes.sum())]
        return axis, np.sort(rng.integers(self._ends[axis][-1], size=count))

    def read(self, axis: int, numbers: np.ndarray) -> Tensor:
        """Doubled subvolumes (N, 8, 32, 32) float32, the slice axis being `axis` of the last three."""
        ends = self._ends[axis]
        owners = np.searchsorted(ends, numbers, side="right")
        parts = []
        for owner in np.unique(owners):
            first = ends[owner - 1] if owner else 0
            entry = self._series[axis][owner].entry
            parts.append(self._cohort.cache.rows(entry, SUBVOLUMES, numbers[owners == owner] - first))
        return torch.cat(parts).float().repeat_interleave(DOUBLING, dim=1 + axis)


_NAMES = ("ema_cluster_size", "ema_w", "embedding.weight")


@torch.no_grad()
def revive(codebook: Codebook, vectors: Tensor, below: float, rng: np.random.Generator) -> int:
    """Put codes that are hardly used where latents are (as Dhariwal et al. 2020, arXiv 2005.00341, section 3).

    Args:
        codebook: changed in place.
        vectors: (M, dim) latents of a batch, the same in all processes.
        below: running count of uses below which a code is replaced.
        rng: chooses the vectors that replace them.

    Returns:
        How many were replaced.
    """
    dead = (codebook.ema_cluster_size < below).nonzero().squeeze(1)
    if len(dead):
        chosen = rng.choice(len(vectors), size=len(dead), replace=len(dead) > len(vectors))
        fresh = vectors[torch.from_numpy(chosen).to(vectors.device)]
        codebook.embedding.weight[dead] = fresh
        codebook.ema_w[dead] = fresh
        codebook.ema_cluster_size[dead] = 1.0
    return len(dead)


def snapshot(codebook: Codebook) -> dict[str, Tensor]:
    """A copy of the codebook's state."""
    state = codebook.state_dict()
    return {name: state[name].clone() for name in _NAMES}


def restore(codebook: Codebook, state: dict[str, Tensor]) -> None:
    """Go back to a copy."""
    codebook.load_state_dict(state)


_HELD_OUT = 256
"""Subvolumes that a validation rebuilds."""


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Subvolumes of one plane."""

    values: Tensor
    """(N, 1, z, y, x) float32, axes exchanged."""


class TokenizerStage(Stage[TokenBatch]):
    """Trains the tokenizer of a start on the subvolumes of a cohort."""

    def __init__(
        self, settings: TokenizerTraining, accelerator: Accelerator, start: Start, cohort: Cohort
    ) -> None:
        self.settings, self.accelerator = settings, accelerator
        self.prima = start.prima
        self.tokenizer = start.prima.tokenizer.to(accelerator.device)
        self.modules = {"tokenizer": self.tokenizer}
        self.trained = [p for p in self.tokenizer.parameters() if p.requires_grad]
        self.digest = f"{cohort.digest} {digest_of(self.prima.state_dict())}"
        self.failures = cohort.failures
        train, held_out = split_studies(cohort.studies, settings.data.validation, settings.seed)
        self._pool = TokenPool(cohort, train)
        self._held_out = TokenPool(cohort, held_out) if held_out else None
        self.counts = {
            "training studies": len(train),
            "validation studies": len(held_out),
            "training subvolumes": len(self._pool),
            "validation subvolumes": len(self._held_out) if self._held_out else 0,
        }
        self._codebook = self.tokenizer.quantizer.quantizer
        self._before = snapshot(self._codebook)

    def load(self, number: int) -> TokenBatch:
        """Subvolumes of a batch's plane, their axes exchanged in one way for all."""
        rng = generator(self.settings.seed, "tokens", number)
        axis, numbers = self._pool.draw(self.settings.batch, rng)
        order = rng.permutation(3) if self.settings.permute_axes else np.arange(3)
        mine = share_of(numbers, self.accelerator.process_index, self.accelerator.num_processes)
        values = self._pool.read(axis, numbers[mine.start : mine.stop])
        return TokenBatch(values.permute(0, *(1 + order).tolist())[:, None].contiguous())

    def backward(self, batch: TokenBatch, number: int) -> Mapping[str, Tensor]:
        """L1 and commitment; the codebook moves by its averages over all processes."""
        if number % self.settings.accumulation == 0:
            self._before = snapshot(self._codebook)
        self.tokenizer.train()
        values = batch.values.to(self.accelerator.device)
        with self.accelerator.autocast():
            output = self.tokenizer(values)
        distance, commitment = reconstruction_loss(output, values)
        self.accelerator.backward((distance + commitment) / world_size())
        return {
            "loss": mean_over_processes(distance + commitment),
            "reconstruction_loss": mean_over_processes(distance),
            "commitment_loss": mean_over_processes(commitment),
            "codes_revived": torch.tensor(self._revive(output, number)),
        }

    def undo(self) -> None:
        """Bring the codebook back, which moves in the forward pass."""
        restore(self._codebook, self._before)

    @torch.no_grad()
    def validate(self) -> Validated:
        """Rebuild held-out subvolumes, the same ones each time."""
        if self._held_out is None:
            return Validated()
        self.tokenizer.eval()
        axis, numbers = self._held_out.draw(_HELD_OUT, generator(self.settings.seed, "validation tokens"))
        values = self._held_out.read(axis, np.unique(numbers))[:, None].to(self.accelerator.device)
        parts = [self.tokenizer(part) for part in values.split(64)]
        rebuilt = torch.cat([part.reconstruction for part in parts])
        codes = torch.cat([part.codes.flatten() for part in parts])
        distance = (rebuilt - values).abs().mean().item()
        measures = {"reconstruction_loss": distance, "codes_used": float(len(codes.unique()))}
        shown = self.settings.validation.pictures
        picture = reconstruction_picture(values[:shown], rebuilt[:shown]) if shown else None
        return Validated(measures, -distance, {"reconstructions": picture} if picture is not None else {})

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the tokenizer in an encoder whose other parts are as at the start."""
        write_model(
            folder,
            self.prima,
            model_card("tokenizer", record),
            dtype=getattr(torch, self.settings.export_type),
        )

    def _revive(self, output: TokenizerOutput, number: int) -> int:
        every = self.settings.revive_every
        if not every or (number + 1) % (every * self.settings.accumulation):
            return 0
        vectors = gather_rows(output.latent.detach().float().movedim(1, -1).flatten(0, -2))
        rng = generator(self.settings.seed, "revive", number)
        return revive(self._codebook, vectors, self.settings.revive_below, rng)
