"""The first step of every engine: studies made ready for the encoder, read, resampled and cut into subvolumes.

`StudyReader` is that step as a picklable function of one study. Nothing here imports torch, so that a process that
only reads starts quickly and stays small.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from prima_features.embedding.engine.failures import failure_of
from prima_features.embedding.engine.picture import draw
from prima_features.embedding.file.records import Failure, Picture
from prima_features.files.outage import check_disk
from prima_features.preprocessing import Preprocessing
from prima_features.studies.study import Series, Study
from prima_features.tokens import Subvolumes, cut
from prima_features.volumes import ReadOptions, Volume, read_volume
from prima_features.volumes.brain_check import check_brain

logger = logging.getLogger(__name__)

_LEAST_WEIGHT = 8
"""Subvolumes; bounds the studies of a window where many could not be read."""


@dataclass(frozen=True)
class PreparedSeries:
    """One series' subvolumes, and what the file records of the volume they were cut from."""

    series: Series
    subvolumes: Subvolumes
    plane: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    picture: Picture | None = None
    slice_axis_known_by: str = ""
    flags: tuple[str, ...] = ()


@dataclass(frozen=True)
class PreparedStudy:
    """A study's usable series, and why the others are not."""

    study: Study
    series: tuple[PreparedSeries, ...]
    failures: tuple[Failure, ...] = ()
    seconds: float = 0.0
    """Time that reading took."""

    @property
    def n_subvolumes(self) -> int:
        """Subvolumes that the tokenizer has to encode."""
        return sum(len(series.subvolumes.values) for series in self.series)

    @property
    def weight(self) -> int:
        """What it counts for where subvolumes are counted: something, also where nothing could be read."""
        return max(self.n_subvolumes, _LEAST_WEIGHT)


def prepare_series(
    series: Series, preprocessing: Preprocessing, options: ReadOptions, picture: bool = False
) -> PreparedSeries:
    """Read one series, cut it and, where it is asked for, draw it.

    Raises:
        SeriesError: it cannot be read or cannot be used.
    """
    volume = read_volume(series, preprocessing, options)
    z, y, x = volume.values.shape
    kept = cut(volume, preprocessing)
    drawn = _drawn(volume, kept, preprocessing) if picture else None
    return PreparedSeries(
        series,
        kept,
        volume.plane,
        (z, y, x),
        volume.spacing,
        drawn,
        volume.slice_axis_known_by,
        (*volume.flags, *_doubts(volume, kept, series.name, preprocessing)),
    )


def _doubts(volume: Volume, kept: Subvolumes, name: str, preprocessing: Preprocessing) -> tuple[str, ...]:
    """Flags of a series that does not look like a whole head. A check that fails costs no series."""
    few = ("little-foreground",) if kept.threshold < preprocessing.start_percent else ()
    try:
        return few + check_brain(volume, name)
    except Exception as error:
        logger.debug("A series could not be checked", exc_info=error)
        return few


def _drawn(volume: Volume, kept: Subvolumes, preprocessing: Preprocessing) -> Picture | None:
    """A series' picture. One that fails takes nothing with it but itself."""
    try:
        return draw(volume, kept, preprocessing)
    except Exception as error:
        logger.debug("A series could not be drawn", exc_info=error)
        return None


@dataclass(frozen=True)
class StudyReader:
    """Reads whole studies; what is wrong with a series is recorded, and the others go on."""

    preprocessing: Preprocessing
    options: ReadOptions
    pictures: bool = False
    """Also draw each series."""

    def __call__(self, study: Study) -> PreparedStudy:
        """Read a study.

        Raises:
            SourceError: the disk with the scans does not answer any more.
        """
        began = time.monotonic()
        series: list[PreparedSeries] = []
        failures: list[Failure] = []
        for one in study.series:
            try:
                series.append(prepare_series(one, self.preprocessing, self.options, self.pictures))
            except Exception as error:
                check_disk(error, one.files)
                failures.append(failure_of(study.id, one.stored_name, "read", error))
        return PreparedStudy(study, tuple(series), tuple(failures), time.monotonic() - began)


def windows(studies: Iterable[PreparedStudy], n_subvolumes: int) -> Iterator[list[PreparedStudy]]:
    """Group consecutive studies until they hold `n_subvolumes` or more, to be encoded together."""
    window: list[PreparedStudy] = []
    for study in studies:
        window.append(study)
        if sum(one.weight for one in window) >= n_subvolumes:
            yield window
            window = []
    if window:
        yield window
