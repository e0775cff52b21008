"""Filling the cache with the subvolumes or latents of all studies, in one process or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from prima_features.embedding.engine.options import share_of_cpus
from prima_features.embedding.engine.prepare import failure_of
from prima_features.embedding.file.records import Failure
from prima_features.errors import NothingUsableError, OutputError, SourceError
from prima_features.pretraining.data.cache import Cache, CachedSeries, CachedStudy, Cohort
from prima_features.pretraining.data.records import RawSeries, RawStudy, Source
from prima_features.processes import in_processes

_DIED = (
    "A process that fills the cache ended early: for want of memory (set fewer data.workers), or because a script that "
    "starts the run lacks 'if __name__ == \"__main__\":'. The same command goes on from what is cached"
)

Make = Callable[[RawSeries], Mapping[str, Tensor]]
"""Computes the cached tensors of a series; raises SeriesError if the series cannot be used."""


@dataclass(frozen=True)
class Filled:
    """The result for one study."""

    number: int
    study: CachedStudy | None
    """None if no series is usable."""
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Filler:
    """Fills a cache study by study; for `workers` all of it has to pickle."""

    source: Source
    cache: Cache
    make: Make

    def __call__(self, number: int) -> Filled:
        """See that every series of a study is in the cache.

        Raises:
            OutputError: the cache cannot be written, or the GPU's memory does not do.
            SourceError: the disk with the scans does not answer any more.
        """
        return Filled(number, *_fill_study(self.source[number], self.cache, self.make))


def fill_cohort(
    filler: Filler,
    accelerator: Accelerator,
    failures: Sequence[Failure] = (),
    on_study: Callable[[int, int], None] = lambda done, total: None,
    workers: int = 0,
) -> Cohort:
    """See that every series of every study is in the cache; processes share the work.

    Here a bad series is caught, recorded with its reason and left out, and the rest goes on.

    Args:
        filler: of the cache.
        accelerator: which of the run's processes this is.
        failures: of what was left out before.
        on_study: called with studies done and all studies.
        workers: processes that this one starts for it, no more than its share of the CPUs; 0 does the work here.

    Raises:
        NothingUsableError: no series is usable.
        OutputError: the cache cannot be written, the GPU's memory does not do, or a worker ended early.
        SourceError: the disk with the scans does not answer any more.
    """
    total, step = len(filler.source), accelerator.num_processes
    numbers = range(accelerator.process_index, total, step)
    workers = min(workers, share_of_cpus(step), len(numbers))
    mine: list[Filled] = []
    for filled in in_processes(filler, numbers, workers, _DIED) if workers else map(filler, numbers):
        mine.append(filled)
        on_study(min(len(mine) * step, total), total)
    everything: list[Filled] = sorted(gather_object(mine), key=lambda filled: filled.number)
    studies = tuple(filled.study for filled in everything if filled.study is not None)
    all_failures = (*failures, *(failure for filled in everything for failure in filled.failures))
    if not studies:
        raise NothingUsableError("No study to train on: no study has a usable series", all_failures)
    return Cohort(studies, filler.cache, all_failures)


def _fill_study(study: RawStudy, cache: Cache, make: Make) -> tuple[CachedStudy | None, tuple[Failure, ...]]:
    series, failures = [], []
    for number, one in enumerate(study.series):
        entry = cache.entry(f"{study.id}/{number}/{one.name}", one.fingerprint)
        try:
            if cache.load(entry) is None:
                cache.save(entry, make(one))
            series.append(CachedSeries(one.name, entry))
        except (OutputError, SourceError):
            raise
        except torch.OutOfMemoryError as error:  # no fault of the series, which another time would be there
            raise OutputError(
                "GPU out of memory; reduce data.workers or free memory, then run the same command to "
                "continue from what "
                "is cached"
            ) from error
        except Exception as error:
            failures.append(failure_of(study.id, one.stored_name, "read", error))
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
