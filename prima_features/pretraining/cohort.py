"""The studies of a run with their cached tokens: filled before the first step, read during the steps."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from prima_features.embedding.records import Failure
from prima_features.errors import NothingUsableError, SeriesError, UsageError
from prima_features.pretraining.cache import Cache, Entry
from prima_features.pretraining.records import RawSeries, RawStudy, SeriesTokens, Source, Wordings

logger = logging.getLogger(__name__)

Make = Callable[[RawSeries], Mapping[str, Tensor]]
"""Computes what is cached of a series; raises SeriesError where it cannot be used."""


@dataclass(frozen=True)
class CachedSeries:
    """A series whose cache entry is there."""

    name: str
    entry: Entry


@dataclass(frozen=True)
class CachedStudy:
    """A study of which at least one series is there."""

    id: str
    subject: str
    description: str
    series: tuple[CachedSeries, ...]
    wordings: Wordings
    abnormal: bool
    split: str

    @property
    def findings(self) -> tuple[str, ...]:
        """Items of the report, in its first wording."""
        return self.wordings[0]


@dataclass(frozen=True)
class Cohort:
    """All usable studies, and what is not usable."""

    studies: tuple[CachedStudy, ...]
    cache: Cache
    failures: tuple[Failure, ...] = ()

    @cached_property
    def digest(self) -> str:
        """Changes when the studies do, so that a run is not resumed on others."""
        rows = [
            (study.id, study.description, study.wordings, study.abnormal, study.split,
             [(series.name, series.entry.inputs) for series in study.series])
            for study in self.studies
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()

    def tensors(self, series: CachedSeries) -> dict[str, Tensor]:
        """What is cached of a series.

        Raises:
            UsageError: the entry was damaged or removed during the run.
        """
        found = self.cache.load(series.entry)
        if found is None:
            raise UsageError(
                f"{series.entry.path} was changed or removed during the run: run the same command again, and it "
                "is made anew"
            )
        return found

    def tokens(self, series: CachedSeries) -> SeriesTokens:
        """A series' latents and what places them, where the cache holds latents."""
        tensors = self.tensors(series)
        return SeriesTokens(
            name=series.name,
            slice_axis=int(tensors["slice_axis"]),
            latent=tensors["latent"],
            row=tensors["row"],
            coord=tensors["coord"],
            counts=tuple(tensors["counts"].tolist()),
            content=tensors.get("content"),
            traits=tensors.get("traits"),
            kind=tensors.get("kind"),
        )


def fill_cohort(
    source: Source,
    cache: Cache,
    make: Make,
    accelerator: Accelerator,
    failures: Sequence[Failure] = (),
    on_study: Callable[[int, int], None] = lambda done, total: None,
) -> Cohort:
    """See that every series of every study is in the cache; processes share the work.

    Here a bad series is caught, recorded with its reason and left out, and the rest goes on.

    Raises:
        NothingUsableError: no series is usable.
        OutputError: the cache cannot be written.
    """
    mine: list[tuple[int, CachedStudy | None, tuple[Failure, ...]]] = []
    for number in range(accelerator.process_index, len(source), accelerator.num_processes):
        mine.append((number, *_fill_study(source[number], cache, make)))
        on_study(min(number + accelerator.num_processes, len(source)), len(source))
    everything = sorted(gather_object(mine), key=lambda item: item[0])
    studies = tuple(study for _, study, _ in everything if study is not None)
    all_failures = (*failures, *(failure for _, _, bad in everything for failure in bad))
    if not studies:
        raise NothingUsableError("No study can be trained on: none has a usable series", all_failures)
    return Cohort(studies, cache, all_failures)


def _fill_study(study: RawStudy, cache: Cache, make: Make) -> tuple[CachedStudy | None, tuple[Failure, ...]]:
    series, failures = [], []
    for number, one in enumerate(study.series):
        entry = cache.entry(f"{study.id}/{number}/{one.name}", one.fingerprint)
        try:
            if cache.load(entry) is None:
                cache.save(entry, make(one))
            series.append(CachedSeries(one.name, entry))
        except SeriesError as error:
            failures.append(Failure(study.id, one.stored_name, "read", str(error), error.hint))
        except (RuntimeError, ValueError, ArithmeticError) as error:
            # Another library's message may quote a path, and a DICOM path a patient's name.
            logger.debug("%s failed", study.id, exc_info=error)
            reason = f"unexpected {type(error).__name__}"
            failures.append(Failure(study.id, one.stored_name, "read", reason, "see it with --debug"))
    if not series:
        return None, tuple(failures)
    made = CachedStudy(
        id=study.id,
        subject=study.subject,
        description=study.description,
        series=tuple(series),
        wordings=(study.findings,) if study.find is None else study.find(),
        abnormal=study.abnormal,
        split=study.split,
    )
    return made, tuple(failures)
