"""The first step of every engine: studies are read and prepared for the encoder.

`StudyReader` is that step as a picklable function of one study. Nothing here imports torch, so that a process that
only reads starts quickly and stays small.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prima_features.encoders.base import Prepared, Preparer
from prima_features.encoders.checks import checked_prepared
from prima_features.errors import SeriesError
from prima_features.files.disk import check_disk
from prima_features.studies.study import Failure, Series, Study
from prima_features.volumes import ReadOptions

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
class PreparedSeries:
    """One series, and what the encoder's preparer made of it."""

    series: Series
    prepared: Prepared


@dataclass(frozen=True)
class PreparedStudy:
    """The usable series of a study, and the failures of the others."""

    study: Study
    series: tuple[PreparedSeries, ...]
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    """Time that reading took."""

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
    """Reads whole studies. What is wrong with a series is recorded, and the other series are still read."""

    prepare: Preparer
    options: ReadOptions
    pictures: bool = False
    """Also draw each series."""

    def __call__(self, study: Study) -> PreparedStudy:
        """Read a study.

        Raises:
            SourceError: the disk with the scans is not available.
        """
        start = time.monotonic()
        series: list[PreparedSeries] = []
        failures: list[Failure] = []
        for one in study.series:
            try:
                prepared = self.prepare(one, self.options, self.pictures)
                series.append(PreparedSeries(one, checked_prepared(prepared)))
            except (Exception, SystemExit) as error:  # a preparer may be of another package
                check_disk(error, one.files)
                failures.append(failure_of(study.id, one.stored_name, "read", error))
        return PreparedStudy(study, tuple(series), tuple(failures), time.monotonic() - start)


def windows(studies: Iterable[PreparedStudy], size: int) -> Iterator[list[PreparedStudy]]:
    """Group consecutive studies up to a weight of `size` or more, to be encoded together."""
    window: list[PreparedStudy] = []
    for study in studies:
        window.append(study)
        if sum(one.weight for one in window) >= size:
            yield window
            window = []
    if window:
        yield window
