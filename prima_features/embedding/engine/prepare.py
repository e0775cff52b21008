"""The first step of every engine: studies are read and prepared for the encoders.

`StudyReader` is that step as a picklable function of one study. Nothing here imports torch, so that a process that
only reads starts quickly and stays small.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from prima_features.encoders.base import Prepared, Preparer
from prima_features.encoders.checks import checked_prepared
from prima_features.errors import SeriesError
from prima_features.files.disk import check_disk
from prima_features.studies.study import Failure, Series, Study
from prima_features.volumes import ReadOptions
from prima_features.volumes.sharing import Shared, reading_once

logger = logging.getLogger(__name__)


def failure_of(study: str, series: str, stage: str, error: BaseException) -> Failure:
    """The record of an error, without paths and names of patients.

    Args:
        study: its id.
        series: its stored name; empty for the study as a whole.
    """
    if isinstance(error, SeriesError):
        return Failure(study, series, stage, str(error), str(getattr(error, "hint", "")))
    # Only the type: another library's message may quote a path, and a DICOM path can contain a patient's name.
    logger.debug("%s of %s failed", stage, study, exc_info=error)
    hint = "run again with --debug for the details, and report the problem if the scan is intact"
    return Failure(study, series, stage, f"unexpected {type(error).__name__}", hint)


_LEAST_WEIGHT = 8
"""Bounds the number of studies in a window of many that could not be read."""


@dataclass(frozen=True)
class StudyRequest:
    """A study, and the encoders that are to embed it."""

    study: Study
    encoders: tuple[int, ...] = (0,)
    """Positions in the sequence of encoders of the run, at least one."""


@dataclass(frozen=True)
class PreparedSeries:
    """One series, and what the encoder's preparer made of it."""

    series: Series
    prepared: Prepared


@dataclass(frozen=True)
class PreparedStudy:
    """The usable series of a study for one encoder, and the failures of the others."""

    study: Study
    series: tuple[PreparedSeries, ...]
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    """Time that the encoder's preparer takes; reading counts in full for each encoder that shares a scan."""
    encoder: int = 0
    """Position in the sequence of encoders of the run."""

    @property
    def n_items(self) -> int:
        """Items that the network has to encode, in the encoder's unit, such as subvolumes."""
        return sum(series.prepared.weight for series in self.series)

    @property
    def weight(self) -> int:
        """Its share of a window; above 0 even if nothing could be read."""
        return max(self.n_items, _LEAST_WEIGHT)


@dataclass(frozen=True)
class StudyReader:
    """Reads whole studies for one or more encoders; each series is read once.

    What is wrong with a series is recorded for the encoders that cannot use it. The other series are still read.
    """

    preparers: tuple[Preparer, ...]
    """Of each encoder of the run."""
    options: ReadOptions
    pictures: bool = False
    """Also draw each series."""

    def __call__(self, request: StudyRequest) -> tuple[PreparedStudy, ...]:
        """Read a study; returns it prepared for each encoder of the request.

        Raises:
            SourceError: the disk with the scans is not available.
        """
        study, encoders = request.study, request.encoders
        series: dict[int, list[PreparedSeries]] = {encoder: [] for encoder in encoders}
        failures: dict[int, list[Failure]] = {encoder: [] for encoder in encoders}
        seconds = dict.fromkeys(encoders, 0.0)
        for one in study.series:
            # A single encoder needs no copy of the voxels in memory while it prepares them.
            with reading_once() if len(encoders) > 1 else nullcontext(Shared()) as shared:
                for encoder in encoders:
                    start = time.monotonic() + shared.saved
                    try:
                        prepared = self.preparers[encoder](one, self.options, self.pictures)
                        series[encoder].append(PreparedSeries(one, checked_prepared(prepared)))
                    except (Exception, SystemExit) as error:  # a preparer may be of another package
                        check_disk(error, (*one.files, *one.anatomy_files))
                        failures[encoder].append(failure_of(study.id, one.stored_name, "read", error))
                    seconds[encoder] += time.monotonic() - start + shared.saved
        return tuple(
            PreparedStudy(study, tuple(series[one]), tuple(failures[one]), seconds[one], one)
            for one in encoders
        )


def windows(
    studies: Iterable[Sequence[PreparedStudy]], sizes: Sequence[int]
) -> Iterator[list[PreparedStudy]]:
    """Group consecutive studies of one encoder, to be encoded together.

    Args:
        studies: each prepared for one or more encoders.
        sizes: the weight at which a window of each encoder is full.
    """
    filling: list[list[PreparedStudy]] = [[] for _ in sizes]
    for study in studies:
        for one in study:
            window = filling[one.encoder]
            window.append(one)
            if sum(member.weight for member in window) >= sizes[one.encoder]:
                filling[one.encoder] = []
                yield window
    yield from filter(None, filling)
