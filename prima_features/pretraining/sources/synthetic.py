"""Made-up studies, drawn and rendered as they are needed: they have no reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cache, partial

import numpy as np

from prima_features._version import __version__
from prima_features.pretraining.records import RawStudy
from prima_features.pretraining.sources.rendered import RenderedSeries
from prima_features.studies.names import series_name
from prima_features.studies.study import DEFAULT_DESCRIPTION
from prima_features.synthetic import (
    Acquisition,
    Anatomy,
    Subject,
    build_anatomy,
    draw_acquisitions,
    draw_subject,
    render_series,
)


class SyntheticStudies:
    """The first studies of the synthetic cohort of a seed, as a sequence.

    Args:
        count: number of studies, each of a subject of its own.
        seed: of the cohort.
        description: what the study encoder reads.
    """

    def __init__(self, count: int, seed: int, description: str = "") -> None:
        self._count, self._seed = count, seed
        self._description = description or DEFAULT_DESCRIPTION

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[RawStudy]:
        return (self[number] for number in range(self._count))

    def __getitem__(self, number: int) -> RawStudy:
        if not 0 <= number < self._count:
            raise IndexError(f"there are {self._count} studies, and no number {number}")
        subject = draw_subject(self._seed, number)
        # Shared by a study's series, and only made where one of them is.
        anatomy = cache(partial(build_anatomy, subject))
        scans = draw_acquisitions(self._seed, number, subject.site)
        return RawStudy(
            id=f"sub-{subject.id}",
            subject=subject.id,
            description=self._description,
            series=tuple(_series(subject, scan, anatomy) for scan in scans),
        )


def _series(subject: Subject, scan: Acquisition, anatomy: Callable[[], Anatomy]) -> RenderedSeries:
    def render() -> tuple[np.ndarray, np.ndarray]:
        made = render_series(subject, scan, anatomy=anatomy())
        return made.volume, made.affine

    fingerprint = json.dumps([__version__, asdict(subject), asdict(scan)], default=str)
    return RenderedSeries(series_name(scan.description, scan.protocol) or scan.sequence, fingerprint, render)
