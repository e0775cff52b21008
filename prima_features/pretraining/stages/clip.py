"""The CLIP stage: studies against their reports, series against those of other patients (docs/pretraining.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar

import torch
from accelerate import Accelerator
from torch import Tensor

from prima_features.encoders.prima.networks import SeriesOutput, StudyOutput
from prima_features.encoders.prima.networks.prima import Contrast
from prima_features.pretraining.batches.loading import Sampler, share_of
from prima_features.pretraining.batches.studies import StudyBatch, apply, draw, study_batch, unchanged
from prima_features.pretraining.data.cache import CachedStudy, Cohort, digest_of
from prima_features.pretraining.data.draws import generator, split_studies
from prima_features.pretraining.data.records import TrainingStudy
from prima_features.pretraining.model.export import model_card, write_model
from prima_features.pretraining.model.start import Start, TextStart, start_text
from prima_features.pretraining.objectives import clip_loss, patient_accuracy, patient_loss, retrieval
from prima_features.pretraining.settings import ClipTraining
from prima_features.pretraining.training.gradients import backward_in_chunks, gather_rows
from prima_features.pretraining.training.stage import Stage, Validated

T = TypeVar("T")


class Study(Protocol):
    """What a batch is drawn by."""

    @property
    def id(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def abnormal(self) -> bool: ...


def report_key(settings: ClipTraining, study: Study) -> str:
    """What a batch takes once: a study, or a synthetic subject, whose studies have nearly the same report."""
    return study.subject if settings.data.synthetic else study.id


class Embedded(NamedTuple):
    """What the networks make of B studies with S series."""

    images: Tensor
    """(B, C)"""
    texts: Tensor
    """(B, C)"""
    series: Tensor
    """(S, P), of patient discrimination."""


class ClipStage(Stage[list[StudyBatch]]):
    """Trains name encoders, both ViTs and the text tower on the cached latents of a cohort.

    A subclass can add objectives: `_further` returns the outputs of the networks that they need, `_loss` and
    `_further_measures` compute them, and `sampler` and `_read` choose the studies. See recipes/prima_synth.
    """

    Settings: ClassVar[type[ClipTraining]] = ClipTraining

    def __init__(
        self, settings: ClipTraining, accelerator: Accelerator, start: Start, cohort: Cohort, vocabulary: Path
    ) -> None:
        self.settings, self.accelerator, self._cohort = settings, accelerator, cohort
        self.failures = cohort.failures
        self._train, self._held_out = split_studies(cohort.studies, settings.data.validation, settings.seed)
        self._seen = self._train[: len(self._held_out)]
        self._sampler = self.sampler(settings, self._train)
        self.prima = start.prima.to(accelerator.device).eval()
        if "contrast." not in start.taken:
            self._contrast.temperature.data.fill_(settings.temperature)
        reports = [study.findings for study in self._train]
        self.text: TextStart = start_text(settings, start, reports, vocabulary, accelerator)
        self.text.tower.to(accelerator.device)
        self.modules = {"prima": self.prima, "text": self.text.tower}
        self.trained = [*self._image_parameters(), *self.text.tower.parameters()]
        # Of the weights as they are drawn: what is measured on batches later differs in the last digits among
        # processors.
        self._drawn = digest_of(self.prima.state_dict())
        self.digest = self._digest()
        self.counts = {
            "training studies": len(self._train),
            "abnormal training studies": sum(study.abnormal for study in self._train),
            "validation studies": len(self._held_out),
            "training series": sum(len(study.series) for study in self._train),
        }

    @classmethod
    def sampler(cls, settings: ClipTraining, studies: Sequence[Study]) -> Sampler:
        """Draws the studies of each batch.

        Raises:
            UsageError: there are fewer studies than a batch takes.
        """
        repeats = settings.augmentation.abnormal_repeats
        return Sampler(
            keys=[report_key(settings, study) for study in studies],
            repeats=[1 + repeats * study.abnormal for study in studies],
            batch=settings.batch,
            seed=settings.seed,
        )

    def load(self, number: int) -> list[StudyBatch]:
        """This process's studies of a batch, augmented, in chunks."""
        items = self._sampler.batch(number)
        places = share_of(items, self.accelerator.process_index, self.accelerator.num_processes)
        studies = [study for place in places for study in self._read(items[place], number, place)]
        return [self._batch(chunk) for chunk in _chunks(studies, self._chunk)]

    def backward(self, batch: list[StudyBatch], number: int) -> Mapping[str, Tensor]:
        """CLIP over the studies of all processes, patient discrimination over all their series."""
        owners = self._owners([n for chunk in batch for n in chunk.n_series])
        measures: dict[str, Tensor] = {}

        def loss(embedded: Sequence[Tensor], temperatures: Sequence[Tensor]) -> Tensor:
            rows = list(map(gather_rows, embedded))
            total, found = self._loss(rows, temperatures[0], owners, batch)
            measures.update(found)
            return total

        temperature = self._contrast.temperature
        share = 1 / self.accelerator.gradient_accumulation_steps
        total = backward_in_chunks(batch, self._embed, loss, [temperature], share)
        return {"loss": total, **measures, "temperature": temperature.detach()[0]}

    def _loss(
        self, rows: Sequence[Tensor], temperature: Tensor, owners: Tensor, batch: Sequence[StudyBatch]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a whole batch, and its parts.

        Args:
            rows: what `_embed` gives, gathered from all processes.
            temperature: (1,), of CLIP.
            owners: (S,), the study of each series.
            batch: this process's chunks.
        """
        images, texts, series = rows[: len(Embedded._fields)]
        subject = self._subject(torch.arange(len(images), device=images.device))
        patient_temperature = self._contrast.patient_temperature.detach()
        measures = {
            "clip_loss": clip_loss(images, texts, temperature, subject),
            "patient_loss": patient_loss(series, owners, patient_temperature, self._subject(owners)),
        }
        return measures["clip_loss"] + self.settings.patient_weight * measures["patient_loss"], measures

    def _subject(self, study: Tensor) -> Tensor:
        """The subject of each study by its place in the batch. A subject's other studies are not wrong answers."""
        return study

    @torch.no_grad()
    def validate(self) -> Validated:
        """Retrieval among the held-out studies, not augmented. The loss of as many training studies, not augmented
        either, shows whether more studies would help."""
        if not self._held_out:
            return Validated()
        rows, n_series = self._unaugmented(self._held_out)
        images, texts, series = rows[: len(Embedded._fields)]
        owners = self._owners(n_series)
        loss = self._clip_loss(images, texts)
        measures = {
            "clip_loss": loss,
            "patient_loss": patient_loss(series, owners, self._contrast.patient_temperature).item(),
            "patient_accuracy": patient_accuracy(series, owners),
            **retrieval(images, texts),
            "trained_clip_loss": self._clip_loss(*self._unaugmented(self._seen)[0][:2]),
            **self._further_measures(rows),
        }
        return Validated(measures, -loss)

    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write encoder, text tower and vocabulary."""
        text = (self.text.config, self.text.tower, self.text.vocabulary)
        dtype = getattr(torch, self.settings.export_type)
        write_model(folder, self.prima, model_card("clip", record), text, dtype=dtype)

    def _digest(self) -> str:
        others = [digest_of(module.state_dict()) for name, module in self.modules.items() if name != "prima"]
        return " ".join([self._cohort.digest, self._drawn, *others, self.text.vocabulary.digest])

    def _read(self, item: int, number: int, place: int) -> list[TrainingStudy]:
        """The studies at a place in a batch."""
        return [self._augmented(self._train[item], number, place)]

    def _augmented(self, cached: CachedStudy, number: int, place: int) -> TrainingStudy:
        """A training study, augmented as its place in a batch says."""
        rng = generator(self.settings.seed, "augment", number, place)
        wording = int(rng.integers(len(cached.wordings))) if len(cached.wordings) > 1 else 0
        study = self._cohort.study(cached, wording)
        return apply(study, draw(study, self.settings.augmentation, rng))

    def _unaugmented(self, studies: Sequence[CachedStudy]) -> tuple[list[Tensor], list[int]]:
        """Embeddings of studies that the processes share, in their order; and the numbers of series of this process's
        studies."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        # Contiguous parts, so that gathering them gives the studies in their order.
        first, last = (len(studies) * (rank + i) // processes for i in range(2))
        parts, n_series = [], []
        for some in _chunks(studies[first:last], self._chunk):
            batch = self._batch([unchanged(self._cohort.study(study)) for study in some])
            parts.append(self._embed(batch))
            n_series += batch.n_series
        # A process may have no study if few are held out.
        empty = [torch.zeros(0, width, device=self.accelerator.device) for width in self._widths()]
        return [gather_rows(torch.cat(rows)) for rows in zip(empty, *parts, strict=True)], n_series

    def _clip_loss(self, images: Tensor, texts: Tensor) -> float:
        return clip_loss(images, texts, self._contrast.temperature).item()

    def _batch(self, studies: Sequence[TrainingStudy]) -> StudyBatch:
        return study_batch(studies, self.text.vocabulary, self.prima.config)

    def _embed(self, batch: StudyBatch) -> list[Tensor]:
        """A chunk's embeddings, float32: those of `Embedded`, and any further ones."""
        batch = batch.to(self.accelerator.device)
        with self.accelerator.autocast():
            series, study = self.prima(batch.tokens, batch.names, batch.n_series, batch.descriptions)
            texts = self.text.tower(batch.ids, batch.lengths)
            vectors = self._contrast(series.registers)
        embedded = Embedded(study.clip.float(), texts.float(), vectors.float())
        return [*embedded, *self._further(batch, series, study, texts)]

    def _widths(self) -> list[int]:
        """Columns of each of a chunk's embeddings."""
        config = self.prima.config
        assert config.contrast is not None
        return [config.study.out_dim, config.study.out_dim, config.contrast.out_dim]

    def _further(
        self, batch: StudyBatch, series: SeriesOutput, study: StudyOutput, texts: Tensor
    ) -> list[Tensor]:
        """Further outputs, each (B, ...) or (S, ...), for a subclass's objectives."""
        return []

    def _further_measures(self, rows: Sequence[Tensor]) -> dict[str, float]:
        """A subclass's measures of the held-out studies, from their embeddings."""
        return {}

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

    def _owners(self, n_series: Sequence[int]) -> Tensor:
        """The study (S,) of each series of all processes, from the numbers of series of this one's studies."""
        counts = gather_rows(torch.tensor(n_series, dtype=torch.long, device=self.accelerator.device))
        return torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
