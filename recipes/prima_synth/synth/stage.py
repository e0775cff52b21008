"""The CLIP stage with the recipe's objectives: pairs, words, and the true content of synthetic brains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from synth.pairs import by_subject, draw_pair, pair_accuracy, pair_loss
from synth.settings import SynthClipTraining
from synth.truth import PREDICTED, Truth, TruthBatch, new_truth, truth_losses, with_truth
from synth.weights import blend, snapshot, tell_apart
from synth.words import Words, words_loss
from torch import Tensor

from prima_features.encoders.prima.networks import SeriesOutput, StudyOutput
from prima_features.pretraining.batches.loading import Sampler
from prima_features.pretraining.batches.studies import StudyBatch, apply, draw
from prima_features.pretraining.data.cache import CachedStudy, Cohort
from prima_features.pretraining.data.draws import generator
from prima_features.pretraining.data.records import TrainingStudy
from prima_features.pretraining.model.start import Start
from prima_features.pretraining.settings import ClipTraining
from prima_features.pretraining.stages.clip import ClipStage, Embedded, Study, report_key
from prima_features.pretraining.training.gradients import gather_rows

_FIRST = 64
"""Number of studies that initial weights are fitted to."""
_KNOWN = 256
"""Number of studies for the means of the ground truth."""


class Further(NamedTuple):
    """Additional outputs for B studies. No columns if an objective is switched off."""

    studies: Tensor
    """(B, D), study embeddings as `prima embed` writes them."""
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
        super().__init__(settings, accelerator, start, cohort, vocabulary)
        self._again: list[CachedStudy | None] = []
        if settings.pair_weight:
            self._subjects, held_out = by_subject(self._train), by_subject(self._held_out)
            self._held_out = [group[0] for group in held_out]
            self._again = [group[1] if len(group) > 1 else None for group in held_out]
            self._seen = [group[0] for group in self._subjects[: len(held_out)]]
            series = self.counts.pop("training series")
            self.counts |= {"validation subjects": len(held_out), "training series": series}
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

    @classmethod
    def sampler(cls, settings: ClipTraining, studies: Sequence[Study]) -> Sampler:
        """Draws studies, or subjects if their studies are paired."""
        if settings.together == 1:
            return super().sampler(settings, studies)
        subjects = by_subject(studies)
        repeats = settings.augmentation.abnormal_repeats
        return Sampler(
            keys=[report_key(settings, group[0]) for group in subjects],
            repeats=[1 + repeats * any(study.abnormal for study in group) for group in subjects],
            batch=settings.batch // 2,
            seed=settings.seed,
            what="subjects",
        )

    def _read(self, item: int, number: int, place: int) -> list[TrainingStudy]:
        """The study at a place in a batch, or the two of a subject."""
        if not self.settings.pair_weight:
            return super()._read(item, number, place)
        pair = draw_pair(self._subjects[item], generator(self.settings.seed, "group", number, place))
        return [self._augmented(study, number, 2 * place + i) for i, study in enumerate(pair)]

    def _batch(self, studies: Sequence[TrainingStudy]) -> StudyBatch:
        batch = super()._batch(studies)
        settings = self.settings
        return with_truth(batch, studies) if settings.content_weight or settings.traits_weight else batch

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
        studies = study.embedding.float()
        words = nothing if self._words is None else self._words(studies)
        truth = nothing
        if self._truth is not None:
            assert isinstance(batch, TruthBatch)
            registers = len(self.prima.sequence.registers)
            truth = truth_losses(self._truth, batch, series, study, texts, registers)
        return [studies if self.settings.pair_weight else nothing, words, truth]

    def _widths(self) -> list[int]:
        return [
            *super()._widths(),
            self.prima.config.study.flat_dim if self.settings.pair_weight else 0,
            0 if self._words is None else len(self._words.chosen),
            0 if self._truth is None else len(PREDICTED),
        ]

    def _further_measures(self, rows: Sequence[Tensor]) -> dict[str, float]:
        """Losses of predicting the ground truth, and share of second studies nearest to one of their subject."""
        measures = {}
        first = self._split(rows)
        if self._truth is not None:
            measures["study_traits_loss"] = first.truth[:, PREDICTED.index("study_traits")].mean().item()
        again = {row: study for row, study in enumerate(self._again) if study is not None}
        if again and len(self._held_out) > 1:
            second = self._split(self._unaugmented(list(again.values()))[0])
            own = torch.tensor(list(again), device=first.studies.device)
            measures["pair_accuracy"] = pair_accuracy(first.studies, second.studies, own)
        return measures

    def _subject(self, study: Tensor) -> Tensor:
        return study // self.settings.together

    def _split(self, rows: Sequence[Tensor]) -> Further:
        return Further(*rows[len(Embedded._fields) :])

    def _present(self, batch: Sequence[StudyBatch]) -> Tensor:
        """Which words the reports of this process's studies have."""
        assert self._words is not None
        device = self.accelerator.device
        return torch.cat([self._words.present(chunk.ids.to(device)) for chunk in batch])
