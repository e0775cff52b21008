"""The sequence-name stage: what a series is called against what it looks like (docs/pretraining.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from prima_features.encoders.prima.networks import PrimaConfig
from prima_features.encoders.prima.networks.config import TransformerConfig, ViTConfig
from prima_features.encoders.prima.networks.transformer import RegisterViT
from prima_features.encoders.ragged import Ragged
from prima_features.pretraining.batches.loading import Sampler, share_of
from prima_features.pretraining.batches.studies import series_vectors, usual_tokens
from prima_features.pretraining.data.cache import CachedSeries, CachedStudy, Cohort, digest_of
from prima_features.pretraining.data.draws import generator, split_studies
from prima_features.pretraining.model.export import model_card, write_model
from prima_features.pretraining.model.start import Start
from prima_features.pretraining.objectives import clip_loss, retrieval
from prima_features.pretraining.settings import NamesTraining
from prima_features.pretraining.settings.stages import ImageTower
from prima_features.pretraining.training.gradients import backward_in_chunks, gather_rows
from prima_features.pretraining.training.stage import Stage, Validated
from prima_features.studies.labels import is_named


@dataclass(frozen=True, eq=False)
class SeriesBatch:
    """Some series and their names."""

    tokens: Ragged
    """Token vectors of each series, float32."""
    names: list[str]


class NameTowers(nn.Module):
    """A ViT over one series' token vectors, and the name encoder with a projection to the same length."""

    def __init__(self, encoder: nn.Module, sizes: ImageTower, config: PrimaConfig) -> None:
        super().__init__()
        width = config.sequence.transformer.dim
        transformer = TransformerConfig(width, sizes.depth, sizes.heads, sizes.dim_head, sizes.mlp_dim)
        self.image = RegisterViT(ViTConfig(transformer, sizes.registers, sizes.out_dim))
        self.encoder = encoder
        self.project = nn.Linear(config.names.sequence.out_dim, sizes.out_dim)
        self.temperature = nn.Parameter(torch.tensor([0.07]))

    def forward(self, tokens: Ragged, names: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Vectors (B, C) of B series and of their names, L2-normalised."""
        # The ViT sees no name, which would give the answer away.
        images = self.image(tokens)[1]
        return F.normalize(images, dim=-1), F.normalize(self.project(self.encoder(names)), dim=-1)


class NamesStage(Stage[list[SeriesBatch]]):
    """Trains the sequence-name encoder on the cached latents of a cohort."""

    def __init__(
        self, settings: NamesTraining, accelerator: Accelerator, start: Start, cohort: Cohort
    ) -> None:
        self.settings, self.accelerator, self._cohort = settings, accelerator, cohort
        self.failures = cohort.failures
        train, held_out = split_studies(cohort.studies, settings.data.validation, settings.seed)
        self._train = _named_series(train)
        # One of each name: a second copy would be a wrong answer.
        self._held_out = list({series.name: series for series in _named_series(held_out)}.values())
        self._sampler = Sampler(
            keys=[series.name for series in self._train],
            repeats=[1] * len(self._train),
            batch=settings.batch,
            seed=settings.seed,
            what="names of series",
        )
        self.prima = start.prima
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.towers = NameTowers(start.prima.names["sequence"], settings.tower, start.config)
        self.towers.to(accelerator.device).eval()
        self.modules = {"towers": self.towers}
        self.trained = list(self.towers.parameters())
        self.digest = f"{cohort.digest} {digest_of(self.towers.state_dict())}"
        self.counts = {
            "training series": len(self._train),
            "different names": len({series.name for series in self._train}),
            "validation names": len(self._held_out),
        }

    def load(self, number: int) -> list[SeriesBatch]:
        """This process's series of a batch, some tokens left out, in chunks."""
        items = self._sampler.batch(number)
        mine = share_of(items, self.accelerator.process_index, self.accelerator.num_processes)
        pairs = []
        for place in mine:
            series = self._train[items[place]]
            rng = generator(self.settings.seed, "augment", number, place)
            vectors = self._vectors(series)
            kept = torch.from_numpy(rng.random(len(vectors)) >= self.settings.drop_token)
            pairs.append((vectors[kept] if kept.any() else vectors, series.name))
        return self._batches(pairs)

    def backward(self, batch: list[SeriesBatch], number: int) -> Mapping[str, Tensor]:
        """CLIP over the series of all processes."""

        def loss(embedded: Sequence[Tensor], temperatures: Sequence[Tensor]) -> Tensor:
            images, names = map(gather_rows, embedded)
            return clip_loss(images, names, temperatures[0])

        share = 1 / self.accelerator.gradient_accumulation_steps
        total = backward_in_chunks(batch, self._embed, loss, [self.towers.temperature], share)
        return {"loss": total, "temperature": self.towers.temperature.detach()[0]}

    @torch.no_grad()
    def validate(self) -> Validated:
        """Retrieval among held-out series of different names; every process computes the same."""
        if not self._held_out:
            return Validated()
        batches = self._batches([(self._vectors(series), series.name) for series in self._held_out])
        images, names = (torch.cat(rows) for rows in zip(*map(self._embed, batches), strict=True))
        loss = clip_loss(images, names, self.towers.temperature).item()
        return Validated({"clip_loss": loss, **_named(retrieval(images, names))}, -loss)

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the encoder with the trained name encoder; the ViT is left behind."""
        write_model(
            folder, self.prima, model_card("names", record), dtype=getattr(torch, self.settings.export_type)
        )

    def _vectors(self, series: CachedSeries) -> Tensor:
        return series_vectors(usual_tokens(self._cohort.tokens(series)), self.prima.config)

    def _batches(self, pairs: Sequence[tuple[Tensor, str]]) -> list[SeriesBatch]:
        size = self.settings.chunk or self.settings.batch // self.accelerator.num_processes
        chunks = [pairs[i : i + size] for i in range(0, len(pairs), size)]
        return [
            SeriesBatch(Ragged.from_list([v for v, _ in chunk]), [name for _, name in chunk])
            for chunk in chunks
        ]

    def _embed(self, batch: SeriesBatch) -> tuple[Tensor, Tensor]:
        device = self.accelerator.device
        tokens = Ragged(batch.tokens.values.to(device), batch.tokens.cu_seqlens.to(device))
        with self.accelerator.autocast():
            images, names = self.towers(tokens, batch.names)
        return images.float(), names.float()


def _named_series(studies: Sequence[CachedStudy]) -> list[CachedSeries]:
    """All series with a real name; a UID in place of a name carries no information."""
    return [series for study in studies for series in study.series if is_named(series.name)]


def _named(recalls: Mapping[str, float]) -> dict[str, float]:
    """Recalls of the stage: names instead of texts, and series instead of studies."""
    return {name.replace("text", "name").replace("study", "series"): value for name, value in recalls.items()}
