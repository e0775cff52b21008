"""The CLIP stage with the recipe's objectives: pairs, words, and the true content of synthetic brains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from synth.pairs import pair_accuracy, pair_loss
from synth.settings import SynthClipTraining
from synth.truth import PREDICTED, Truth, new_truth, truth_losses
from synth.weights import blend, snapshot, tell_apart
from synth.words import Words, words_loss
from torch import Tensor

from prima_features.encoders.prima.networks import SeriesOutput, StudyOutput
from prima_features.pretraining.batches.augment import apply, draw
from prima_features.pretraining.batches.collate import StudyBatch
from prima_features.pretraining.batches.sampler import UNITS, Sampler, drawn_from, grouped, keys_of
from prima_features.pretraining.data.cohort import CachedStudy, Cohort
from prima_features.pretraining.data.randomness import generator
from prima_features.pretraining.data.records import TrainingStudy
from prima_features.pretraining.model.start import Start
from prima_features.pretraining.stages.clip import ClipStage, Embedded
from prima_features.pretraining.training.gather import gather_rows

_FIRST = 64
"""Studies that new weights are fitted to."""
_KNOWN = 256
"""Studies that means of the truth are taken of."""


class Further(NamedTuple):
    """What the recipe adds to the embeddings of B studies. No columns if an objective is switched off."""

    studies: Tensor
    """(B, D), what `prima embed` writes."""
    words: Tensor
    """(B, W), logits of the words in the reports."""
    truth: Tensor
    """(B, 5), losses of predicting the truth, by `PREDICTED`."""


class SynthClipStage(ClipStage):
    """Trains on the recipe's objectives next to Prima's."""

    Settings = SynthClipTraining
    settings: SynthClipTraining

    def __init__(
        self,
        settings: SynthClipTraining,
        accelerator: Accelerator,
        start: Start,
        cohort: Cohort,
        vocabulary: Path,
    ) -> None:
        self._together = settings.together
        super().__init__(settings, accelerator, start, cohort, vocabulary)
        self._held_out_groups = grouped(self._held_out, self._together)
        self._held_out = [group[0] for group in self._held_out_groups]
        self._seen = [group[0] for group in self._groups[: len(self._held_out)]]
        if self._together > 1:
            series = self.counts.pop("training series")
            self.counts |= {"validation subjects": len(self._held_out), "training series": series}
        if settings.tell_apart and not {"sequence.", "study."} & set(start.taken):
            tell_apart(self.prima, self._first_batch().to(accelerator.device))
        self._initial: dict[str, dict[str, Tensor]] = {}
        if settings.start_share:  # of the parts that are `model`'s: new ones have nothing to keep
            encoder = snapshot(self.prima)
            taken = {name: encoder[name] for name in encoder if name.startswith(start.taken)}
            self._initial = {"prima": taken, "text": snapshot(self.text.tower)}
        self._words: Words | None = None
        if settings.words_weight:
            ids = [self.text.vocabulary.encode(study.findings) for study in self._train]
            self._words = Words(self.prima.config.study.flat_dim, ids, self.text.vocabulary.size)
            self._add("words", self._words)
        self._truth: Truth | None = None
        if settings.content_weight or settings.traits_weight:
            self._truth = new_truth(self.prima.config, map(cohort.study, self._train[:_KNOWN]))
            self._add("truth", self._truth)
        self.digest = self._digest()

    def finish(self) -> bool:
        """Blend the trained weights with a share of those that the stage started from."""
        for name, initial in self._initial.items():
            blend(self.modules[name], initial, self.settings.start_share)
        return bool(self._initial)

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write encoder, text tower and vocabulary."""
        if self.settings.start_share:
            record = {**record, "start_share": self.settings.start_share}
        super().export(folder, record)

    def _add(self, name: str, module: torch.nn.Module) -> None:
        self.modules[name] = module.to(self.accelerator.device)
        self.trained += module.parameters()

    def _new_sampler(self) -> Sampler:
        """Draws subjects if their studies come in pairs."""
        settings = self.settings
        self._groups = grouped(self._train, self._together)
        return Sampler(
            keys=keys_of(self._groups, bool(settings.data.synthetic)),
            repeats=[
                1 + settings.augmentation.abnormal_repeats * any(study.abnormal for study in group)
                for group in self._groups
            ],
            batch=settings.batch // self._together,
            seed=settings.seed,
            what=UNITS[self._together],
        )

    def _read(self, item: int, number: int, place: int) -> list[TrainingStudy]:
        """The studies at a place in a batch: one, or with pairs two."""
        rng = generator(self.settings.seed, "group", number, place)
        chosen = drawn_from(self._groups[item], self._together, rng)
        return [self._augmented(study, number, self._together * place + i) for i, study in enumerate(chosen)]

    def _first_batch(self) -> StudyBatch:
        """The first studies, the same in all processes."""
        rng = generator(self.settings.seed, "first batch")
        studies = [self._cohort.study(study) for study in self._train[:_FIRST]]
        return self._batch([apply(one, draw(one, self.settings.augmentation, rng)) for one in studies])

    def _loss(
        self, rows: Sequence[Tensor], temperature: Tensor, owners: Tensor, batch: Sequence[StudyBatch]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Prima's objectives and the recipe's."""
        settings, further = self.settings, self._split(rows)
        total, measures = super()._loss(rows, temperature, owners, batch)
        if settings.pair_weight:
            measures["pair_loss"] = pair_loss(further.studies)
            total = total + settings.pair_weight * measures["pair_loss"]
        if self._words is not None:
            measures["words_loss"] = words_loss(further.words, gather_rows(self._present(batch)))
            total = total + settings.words_weight * measures["words_loss"]
        if self._truth is not None:
            for name, value in zip(PREDICTED, further.truth.mean(0), strict=True):
                measures[f"{name}_loss"] = value
                weight = settings.content_weight if name == "content" else settings.traits_weight
                total = total + weight * value
        return total, measures

    def _further(
        self, batch: StudyBatch, series: SeriesOutput, study: StudyOutput, texts: Tensor
    ) -> list[Tensor]:
        nothing = texts.new_zeros(len(texts), 0, dtype=torch.float32)
        truth = self._truth
        return [
            study.embedding.float() if self._together > 1 else nothing,
            nothing if self._words is None else self._words(study.embedding.float()),
            nothing
            if truth is None
            else truth_losses(truth, batch, series, study, texts, len(self.prima.sequence.registers)),
        ]

    def _widths(self) -> list[int]:
        return [
            *super()._widths(),
            self.prima.config.study.flat_dim if self._together > 1 else 0,
            0 if self._words is None else len(self._words.chosen),
            0 if self._truth is None else len(PREDICTED),
        ]

    def _further_measures(self, rows: Sequence[Tensor]) -> dict[str, float]:
        """The losses of predicting the truth, and how many second studies find the first one of their subject."""
        measures = {}
        first = self._split(rows)
        if self._truth is not None:
            measures["study_traits_loss"] = first.truth[:, PREDICTED.index("study_traits")].mean().item()
        paired = [number for number, group in enumerate(self._held_out_groups) if len(group) > 1]
        if paired and len(self._held_out) > 1:
            again: list[CachedStudy] = [self._held_out_groups[number][1] for number in paired]
            second = self._split(self._unaugmented(again)[0])
            measures["pair_accuracy"] = pair_accuracy(
                first.studies, second.studies, torch.tensor(paired, device=first.studies.device)
            )
        return measures

    def _subject(self, study: Tensor) -> Tensor:
        return study // self._together

    def _split(self, rows: Sequence[Tensor]) -> Further:
        return Further(*rows[len(Embedded._fields) :])

    def _present(self, batch: Sequence[StudyBatch]) -> Tensor:
        """Which words the reports of this process's studies have."""
        assert self._words is not None
        device = self.accelerator.device
        return torch.cat([self._words.present(chunk.ids.to(device)) for chunk in batch])
