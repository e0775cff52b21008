"""The heads stage: diagnosis, referral and priority from frozen embeddings (docs/pretraining.md)."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from prima_features.encoders.prima.networks.config import HeadConfig, HeadsConfig
from prima_features.encoders.prima.networks.heads import MLP
from prima_features.models.resolve import resolve
from prima_features.pretraining.batches.loading import Sampler, share_of
from prima_features.pretraining.data.draws import generator, held_out
from prima_features.pretraining.data.labels import LabelledStudies, positive_weights, read_labelled
from prima_features.pretraining.model.export import model_card, write_heads
from prima_features.pretraining.objectives import level_loss, presence_loss
from prima_features.pretraining.settings import HeadsTraining
from prima_features.pretraining.training.gradients import mean_over_processes, world_size
from prima_features.pretraining.training.stage import Stage, Validated

logger = logging.getLogger(__name__)

PRIORITY = ("priority", "")
Key = tuple[str, str]
"""Kind and name of a head."""


@dataclass(frozen=True, eq=False)
class HeadBatch:
    """Studies of one step."""

    rows: np.ndarray
    """(B,) of the whole batch: all processes count the same known labels."""
    mine: slice
    """This process's part of them."""
    embedding: Tensor
    """(n, D) of this process's studies, with noise."""


class HeadsStage(Stage[HeadBatch]):
    """Trains many heads at once; they share nothing but the batches."""

    def __init__(self, settings: HeadsTraining, accelerator: Accelerator) -> None:
        self.settings, self.accelerator = settings, accelerator
        self._model = resolve(settings.model).directory
        self.data = read_labelled(settings.data, self._model)
        held = np.array(held_out(self.data.subjects, settings.data.validation, settings.seed))
        self._train, self._held_out = np.flatnonzero(~held), np.flatnonzero(held)
        self._mean, self._sd = self._standard()
        self._embedding = (self.data.embedding - self._mean) / self._sd
        self._labels = {
            key: torch.from_numpy(values).to(accelerator.device) for key, values in self.data.presence.items()
        }
        self._weights = {
            key: torch.tensor(weight, device=accelerator.device)
            for key, weight in positive_weights(self.data.presence, self._train).items()
        }
        self._levels = torch.from_numpy(self.data.priority).to(accelerator.device)
        self._sampler = Sampler(self._train.tolist(), [1] * len(self._train), settings.batch, settings.seed)
        self.heads = self._new_heads()
        self.modules = {"heads": nn.ModuleList(self.heads.values())}
        self.trained = list(self.modules["heads"].parameters())
        self.digest = _digest(self.data)
        self.counts = {
            "training studies": len(self._train),
            "validation studies": len(self._held_out),
            "heads": len(self.heads),
        }

    def load(self, number: int) -> HeadBatch:
        """This process's studies, multiplied by noise that is drawn for the whole batch."""
        rows = self._train[self._sampler.batch(number)]
        mine = share_of(rows, self.accelerator.process_index, self.accelerator.num_processes)
        rng = generator(self.settings.seed, "noise", number)
        noise = 1 + self.settings.noise * rng.standard_normal((len(rows), self.data.embedding.shape[1]))
        part = slice(mine.start, mine.stop)
        values = self._embedding[rows[part]] * noise[part].astype(np.float32)
        return HeadBatch(rows, part, torch.from_numpy(values))

    def backward(self, batch: HeadBatch, number: int) -> Mapping[str, Tensor]:
        """Sum of the heads' losses, each a mean over the batch's known labels."""
        embedding = batch.embedding.to(self.accelerator.device)
        mine = torch.from_numpy(batch.rows[batch.mine])
        losses = []
        for key, head in self.heads.items():
            with self.accelerator.autocast():
                outputs = head(embedding)
            known = int(self._known(key)[batch.rows].sum())
            losses.append(self._loss(key, outputs.float(), mine, known))
        total = torch.stack(losses).sum()
        self.accelerator.backward(total)
        return {"loss": _sum_over_processes(total)}

    @torch.no_grad()
    def validate(self) -> Validated:
        """Loss and accuracy of each head on the held-out studies."""
        losses, accuracies = [], []
        rows = torch.from_numpy(self._held_out)
        for key, outputs in self._outputs(self._held_out).items():
            known = int(self._known(key)[self._held_out].sum())
            if known:
                losses.append(self._loss(key, outputs, rows, known).item())
                accuracies.append(self._accuracy(key, outputs))
        if not losses:
            return Validated()
        measures = {"loss": float(np.mean(losses)), "accuracy": float(np.mean(accuracies))}
        return Validated(measures, -measures["loss"])

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write a copy of the model with the heads, each with its threshold of best validation accuracy."""
        tensors: dict[str, Tensor] = {}
        for (kind, name), head in self.heads.items():
            prefix = f"{kind}.{name}." if name else f"{kind}."
            for part, tensor in self._unstandardised(head).items():
                tensors[prefix + part] = tensor
        config = HeadsConfig(
            diagnosis=self._head_configs("diagnosis"),
            referral=self._head_configs("referral"),
            priority=self.settings.data.priority,
        )
        dtype = getattr(torch, self.settings.export_type)
        write_heads(folder, self._model, config, tensors, model_card("heads", record), dtype)

    def threshold(self, key: Key) -> float:
        """The threshold of a presence head: best on the held-out studies.

        If these have only one class, best on the training studies.
        """
        present = self.data.presence[key]
        for rows, which in ((self._held_out, "validation"), (self._train, "training")):
            known = rows[~np.isnan(present[rows])]
            if len(np.unique(present[known])) == 2:
                with torch.no_grad():
                    outputs = self._outputs(known, [key])[key].squeeze(-1).cpu().numpy()
                return best_threshold(outputs, present[known] == 1)[0]
            logger.warning("All labels of the %s studies for %s are equal or unknown", which, key[1])
        return 0.0

    def _standard(self) -> tuple[np.ndarray, np.ndarray]:
        """(D,) mean and standard deviation of the training studies; 0 and 1 if embeddings are read as they are."""
        rows = self.data.embedding[self._train]
        if not self.settings.standardise:
            return np.zeros(rows.shape[1], np.float32), np.ones(rows.shape[1], np.float32)
        sd = rows.std(axis=0)
        return rows.mean(axis=0), np.where(sd > 0, sd, 1).astype(np.float32)

    def _unstandardised(self, head: MLP) -> dict[str, Tensor]:
        """Tensors of a head that gives the same outputs for embeddings as they are."""
        tensors = {part: tensor.detach().cpu() for part, tensor in head.state_dict().items()}
        weight = tensors["0.weight"] / torch.from_numpy(self._sd)
        bias = tensors["0.bias"] - weight @ torch.from_numpy(self._mean)
        return {**tensors, "0.weight": weight, "0.bias": bias}

    def _new_heads(self) -> dict[Key, MLP]:
        in_dim = self.data.embedding.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed)
            heads = {key: MLP(in_dim, self.settings.hidden, 1) for key in self._labels}
            if levels := self.settings.data.priority:
                heads[PRIORITY] = MLP(in_dim, self.settings.hidden, len(levels))
        return {key: head.to(self.accelerator.device) for key, head in heads.items()}

    def _known(self, key: Key) -> np.ndarray:
        return self.data.priority >= 0 if key == PRIORITY else ~np.isnan(self.data.presence[key])

    def _loss(self, key: Key, outputs: Tensor, rows: Tensor, known: int) -> Tensor:
        if key == PRIORITY:
            return level_loss(outputs, self._levels[rows], known)
        return presence_loss(outputs.squeeze(-1), self._labels[key][rows], self._weights[key], known)

    def _accuracy(self, key: Key, outputs: Tensor) -> float:
        known = self._known(key)[self._held_out]
        found = outputs.cpu().numpy()[known]
        if key == PRIORITY:
            return float((found.argmax(1) == self.data.priority[self._held_out][known]).mean())
        return best_threshold(found.squeeze(-1), self.data.presence[key][self._held_out][known] == 1)[1]

    def _outputs(self, rows: np.ndarray, keys: list[Key] | None = None) -> dict[Key, Tensor]:
        embedding = torch.from_numpy(self._embedding[rows]).to(self.accelerator.device)
        return {key: self.heads[key](embedding) for key in keys or self.heads}

    def _head_configs(self, kind: str) -> tuple[HeadConfig, ...]:
        return tuple(HeadConfig(key[1], self.threshold(key)) for key in self._labels if key[0] == kind)


def _sum_over_processes(value: Tensor) -> Tensor:
    return mean_over_processes(value) * world_size()


def _digest(data: LabelledStudies) -> str:
    digest = hashlib.sha256(repr(data.ids).encode())
    digest.update(data.embedding.tobytes())
    for key, values in data.presence.items():
        digest.update(f"{key}".encode() + values.tobytes())
    digest.update(data.priority.tobytes())
    return digest.hexdigest()


def best_threshold(outputs: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """The threshold of best accuracy, and that accuracy.

    Args:
        outputs: (N,), at least one.
        present: (N,) bool.

    Returns:
        Of thresholds that are equally good, the middle of the widest gap between outputs; beyond all outputs where
        calling none or all of them present is best.
    """
    order = np.argsort(outputs, kind="stable")
    sorted_outputs, sorted_present = outputs[order].astype(np.float64), present[order]
    # Right when the lowest k are called absent, for k = 0 ... N.
    right = np.concatenate([[0], np.cumsum(~sorted_present)]) + (
        sorted_present.sum() - np.concatenate([[0], np.cumsum(sorted_present)])
    )
    edges = np.concatenate([[sorted_outputs[0] - 2], sorted_outputs, [sorted_outputs[-1] + 2]])
    gaps = np.diff(edges)
    possible = gaps > 0
    best = np.flatnonzero(possible & (right == right[possible].max()))
    chosen = best[gaps[best].argmax()]
    return float((edges[chosen] + edges[chosen + 1]) / 2), float(right[chosen] / len(outputs))
