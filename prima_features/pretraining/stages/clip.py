"""The CLIP stage: studies against their reports, series against those of other patients (docs/pretraining.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from prima_features.encoders.prima.networks.prima import Contrast
from prima_features.pretraining.batches.augment import apply, draw, unchanged
from prima_features.pretraining.batches.collate import StudyBatch, study_batch
from prima_features.pretraining.batches.sampler import UNITS, Sampler, drawn_from, grouped, keys_of, share_of
from prima_features.pretraining.data.cohort import CachedStudy, Cohort
from prima_features.pretraining.data.digest import digest_of
from prima_features.pretraining.data.randomness import generator
from prima_features.pretraining.data.records import TrainingStudy
from prima_features.pretraining.data.split import split_studies
from prima_features.pretraining.model.blend import blend, snapshot
from prima_features.pretraining.model.export import model_card, write_model
from prima_features.pretraining.model.first_weights import tell_apart
from prima_features.pretraining.model.start import Start
from prima_features.pretraining.model.text import TextStart, start_text
from prima_features.pretraining.objectives import (
    Truth,
    Words,
    clip_loss,
    pair_accuracy,
    pair_loss,
    patient_accuracy,
    patient_loss,
    retrieval,
    words_loss,
)
from prima_features.pretraining.settings import ClipTraining
from prima_features.pretraining.stages.told import KNOWN, TOLD, new_truth, truth_losses
from prima_features.pretraining.training.gather import gather_rows
from prima_features.pretraining.training.grad_cache import backward_in_chunks
from prima_features.pretraining.training.stage import Stage, Validated

T = TypeVar("T")
_FIRST = 64
"""Studies that new weights are fitted to where the settings say so."""


class Embedded(NamedTuple):
    """What comes of B studies with S series."""

    images: Tensor
    """(B, C)"""
    texts: Tensor
    """(B, C)"""
    series: Tensor
    """(S, P), of patient discrimination."""
    studies: Tensor
    """(B, D), what `prima embed` writes; no columns where they are not paired."""
    words: Tensor
    """(B, W), logits of the words in the reports; no columns where they are not told."""
    truth: Tensor
    """(B, 5), losses of telling the truth, by `TOLD`; no columns where it is not told."""


class ClipStage(Stage[list[StudyBatch]]):
    """Trains name encoders, both ViTs and the text tower on the cached latents of a cohort."""

    def __init__(
        self, settings: ClipTraining, accelerator: Accelerator, start: Start, cohort: Cohort, vocabulary: Path
    ) -> None:
        self.settings, self.accelerator, self._cohort = settings, accelerator, cohort
        self.failures = cohort.failures
        self._train, held_out = split_studies(cohort.studies, settings.data.validation, settings.seed)
        self._together = settings.together
        self._groups, self._held_out = (grouped(some, self._together) for some in (self._train, held_out))
        self._sampler = Sampler(
            keys=keys_of(self._groups, bool(settings.data.synthetic)),
            repeats=[
                1 + settings.augmentation.abnormal_repeats * any(study.abnormal for study in group)
                for group in self._groups
            ],
            batch=settings.batch // self._together,
            seed=settings.seed,
            what=UNITS[self._together],
        )
        self.prima = start.prima.to(accelerator.device).eval()
        if "contrast." not in start.taken:
            self._contrast.temperature.data.fill_(settings.temperature)
        reports = [study.findings for study in self._train]
        self.text: TextStart = start_text(settings, start, reports, vocabulary, accelerator)
        # Of what the weights are drawn as: what is then measured on batches differs in last digits among processors.
        drawn = digest_of(self.prima.state_dict())
        if settings.tell_apart and not {"sequence.", "study."} & set(start.taken):
            tell_apart(self.prima, self._first_batch().to(accelerator.device))
        self.text.tower.to(accelerator.device)
        self.modules = {"prima": self.prima, "text": self.text.tower}
        self._begun: dict[str, dict[str, Tensor]] = {}
        if settings.start_share:  # of the parts that are `model`'s: new ones have nothing to keep
            encoder = snapshot(self.prima)
            taken = {name: encoder[name] for name in encoder if name.startswith(start.taken)}
            self._begun = {"prima": taken, "text": snapshot(self.text.tower)}
        self.trained = [*self._image_parameters(), *self.text.tower.parameters()]
        self._words: Words | None = None
        if settings.words_weight:
            ids = [self.text.vocabulary.encode(findings) for findings in reports]
            self._words = Words(self.prima.config.study.flat_dim, ids, self.text.vocabulary.size)
            self.modules["words"] = self._words.to(accelerator.device)
            self.trained += self._words.parameters()
        self._truth: Truth | None = None
        if settings.content_weight or settings.traits_weight:
            self._truth = new_truth(self.prima.config, map(cohort.study, self._train[:KNOWN]))
            self.modules["truth"] = self._truth.to(accelerator.device)
            self.trained += self._truth.parameters()
        others = [digest_of(module.state_dict()) for name, module in self.modules.items() if name != "prima"]
        self.digest = " ".join([cohort.digest, drawn, *others, self.text.vocabulary.digest])
        self.counts = {
            "training studies": len(self._train),
            "abnormal training studies": sum(study.abnormal for study in self._train),
            "validation studies": len(held_out),
            **({"validation subjects": len(self._held_out)} if self._together > 1 else {}),
            "training series": sum(len(study.series) for study in self._train),
        }

    def load(self, number: int) -> list[StudyBatch]:
        """This process's studies of a batch, augmented, in chunks."""
        items = self._sampler.batch(number)
        places = share_of(items, self.accelerator.process_index, self.accelerator.num_processes)
        studies = [study for place in places for study in self._read(items[place], number, place)]
        return [self._batch(chunk) for chunk in _chunks(studies, self._chunk)]

    def _read(self, item: int, number: int, place: int) -> list[TrainingStudy]:
        """The studies at a place in a batch: one, or with pairs two."""
        chance = generator(self.settings.seed, "group", number, place)
        chosen = drawn_from(self._groups[item], self._together, chance)
        return [self._augmented(study, number, self._together * place + i) for i, study in enumerate(chosen)]

    def _augmented(self, cached: CachedStudy, number: int, place: int) -> TrainingStudy:
        """A training study, augmented as its place in a batch says."""
        chance = generator(self.settings.seed, "augment", number, place)
        wording = int(chance.integers(len(cached.wordings))) if len(cached.wordings) > 1 else 0
        study = self._cohort.study(cached, wording)
        return apply(study, draw(study, self.settings.augmentation, chance))

    def backward(self, batch: list[StudyBatch], number: int) -> Mapping[str, Tensor]:
        """CLIP and pairs over the studies of all processes, patient discrimination over all their series."""
        contrast, settings = self._contrast, self.settings
        owners = self._owners([n for chunk in batch for n in chunk.n_series])
        measures: dict[str, Tensor] = {}

        def loss(embedded: Sequence[Tensor], temperatures: Sequence[Tensor]) -> Tensor:
            all_of = Embedded(*map(gather_rows, embedded))
            subject = torch.arange(len(all_of.images), device=all_of.images.device) // self._together
            measures["clip_loss"] = clip_loss(all_of.images, all_of.texts, temperatures[0], subject)
            measures["patient_loss"] = patient_loss(
                all_of.series, owners, contrast.patient_temperature.detach(), owners // self._together
            )
            total = measures["clip_loss"] + settings.patient_weight * measures["patient_loss"]
            if settings.pair_weight:
                measures["pair_loss"] = pair_loss(all_of.studies)
                total = total + settings.pair_weight * measures["pair_loss"]
            if self._words is not None:
                measures["words_loss"] = words_loss(all_of.words, gather_rows(self._present(batch)))
                total = total + settings.words_weight * measures["words_loss"]
            if self._truth is not None:
                for name, value in zip(TOLD, all_of.truth.mean(0), strict=True):
                    measures[f"{name}_loss"] = value
                    weight = settings.content_weight if name == "content" else settings.traits_weight
                    total = total + weight * value
            return total

        share = 1 / self.accelerator.gradient_accumulation_steps
        total = backward_in_chunks(batch, self._embed, loss, [contrast.temperature], share)
        return {"loss": total, **measures, "temperature": contrast.temperature.detach()[0]}

    @torch.no_grad()
    def validate(self) -> Validated:
        """Retrieval among the held-out studies, not augmented: with pairs, among the first ones of subjects. As many
        training studies, not augmented either, show whether more studies would help."""
        if not self._held_out:
            return Validated()
        first, n_series = self._unaugmented([group[0] for group in self._held_out])
        owners = self._owners(n_series)
        loss = clip_loss(first.images, first.texts, self._contrast.temperature).item()
        patients = patient_loss(first.series, owners, self._contrast.patient_temperature).item()
        measures = {
            "clip_loss": loss,
            "patient_loss": patients,
            "patient_accuracy": patient_accuracy(first.series, owners),
            **retrieval(first.images, first.texts),
            "trained_clip_loss": self._trained_loss(),
        }
        if self._truth is not None:
            measures["study_traits_loss"] = first.truth[:, TOLD.index("study_traits")].mean().item()
        paired = [number for number, group in enumerate(self._held_out) if len(group) > 1]
        if paired and len(self._held_out) > 1:
            second, _ = self._unaugmented([self._held_out[number][1] for number in paired])
            measures["pair_accuracy"] = pair_accuracy(
                first.studies, second.studies, torch.tensor(paired, device=first.studies.device)
            )
        return Validated(measures, -loss)

    def _trained_loss(self) -> float:
        """CLIP loss of as many training studies as are held out."""
        seen, _ = self._unaugmented([group[0] for group in self._groups[: len(self._held_out)]])
        return clip_loss(seen.images, seen.texts, self._contrast.temperature).item()

    def _unaugmented(self, studies: Sequence[CachedStudy]) -> tuple[Embedded, list[int]]:
        """Studies that the processes share, as they are, in their order; and the numbers of series of this one's."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        # Contiguous parts, so that gathering them gives the studies in their order.
        first, last = (len(studies) * (rank + i) // processes for i in range(2))
        parts, n_series = [], []
        for some in _chunks(studies[first:last], self._chunk):
            batch = self._batch([unchanged(self._cohort.study(study)) for study in some])
            parts.append(self._embed(batch))
            n_series += batch.n_series
        return Embedded(*map(gather_rows, self._joined(parts))), n_series

    def finish(self) -> bool:
        """Leave them a share of the weights that the stage started from, where the settings say so."""
        for name, begun in self._begun.items():
            blend(self.modules[name], begun, self.settings.start_share)
        return bool(self._begun)

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write encoder, text tower and vocabulary."""
        text = (self.text.config, self.text.tower, self.text.vocabulary)
        dtype = getattr(torch, self.settings.export_type)
        if self.settings.start_share:
            record = {**record, "start_share": self.settings.start_share}
        write_model(folder, self.prima, model_card("clip", record), text, dtype=dtype)

    def _first_batch(self) -> StudyBatch:
        """The first studies, the same in all processes."""
        chance = generator(self.settings.seed, "first batch")
        studies = [self._cohort.study(study) for study in self._train[:_FIRST]]
        return self._batch([apply(one, draw(one, self.settings.augmentation, chance)) for one in studies])

    @property
    def _contrast(self) -> Contrast:
        assert self.prima.contrast is not None
        return self.prima.contrast

    def _image_parameters(self) -> list[torch.nn.Parameter]:
        """All but the tokenizer, whose latents are cached, and patient discrimination's fixed temperature."""
        self.prima.tokenizer.requires_grad_(False)
        self._contrast.patient_temperature.requires_grad_(False)
        return [parameter for parameter in self.prima.parameters() if parameter.requires_grad]

    @property
    def _chunk(self) -> int:
        """Studies that this process computes at a time."""
        return self.settings.chunk or self.settings.batch // self.accelerator.num_processes

    def _batch(self, studies: Sequence[TrainingStudy]) -> StudyBatch:
        return study_batch(studies, self.text.vocabulary, self.prima.config)

    def _present(self, batch: Sequence[StudyBatch]) -> Tensor:
        """Which words the reports of this process's studies have."""
        assert self._words is not None
        device = self.accelerator.device
        return torch.cat([self._words.present(chunk.ids.to(device)) for chunk in batch])

    def _embed(self, batch: StudyBatch) -> Embedded:
        """A chunk's embeddings, float32."""
        batch = batch.to(self.accelerator.device)
        with self.accelerator.autocast():
            series, study = self.prima(batch.tokens, batch.names, batch.n_series, batch.descriptions)
            texts = self.text.tower(batch.ids, batch.lengths)
            vectors = self._contrast(series.registers)
        nothing = texts.new_zeros(len(texts), 0, dtype=torch.float32)
        return Embedded(
            images=study.clip.float(),
            texts=texts.float(),
            series=vectors.float(),
            studies=study.embedding.float() if self._together > 1 else nothing,
            words=nothing if self._words is None else self._words(study.embedding.float()),
            truth=nothing
            if self._truth is None
            else truth_losses(self._truth, batch, series, study, texts, len(self.prima.sequence.registers)),
        )

    def _joined(self, parts: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Rows of all parts; a process may have none where few studies are held out."""
        config = self.prima.config
        assert config.contrast is not None
        study, told = config.study, 0 if self._truth is None else len(TOLD)
        words = 0 if self._words is None else len(self._words.chosen)
        paired = study.flat_dim if self._together > 1 else 0
        widths = (study.out_dim, study.out_dim, config.contrast.out_dim, paired, words, told)
        empty = [torch.zeros(0, width, device=self.accelerator.device) for width in widths]
        return [torch.cat(rows) for rows in zip(empty, *parts, strict=True)]

    def _owners(self, n_series: Sequence[int]) -> Tensor:
        """The study (S,) of each series of all processes, from the numbers of series of this one's studies."""
        counts = gather_rows(torch.tensor(n_series, dtype=torch.long, device=self.accelerator.device))
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
