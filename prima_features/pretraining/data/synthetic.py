"""Series and studies that are generated when they are needed, with their reports and ground truth.

`RenderedSeries` takes voxels and an affine from any function; `SyntheticStudies` are the cohorts of
`prima_features.synthetic`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes
from prima_features.files.disk import output_errors
from prima_features.pretraining.data.cache import Cache
from prima_features.pretraining.data.records import Annotations, RawStudy, Wordings
from prima_features.reports import findings
from prima_features.studies.labels import series_name
from prima_features.studies.study import DEFAULT_DESCRIPTION, NiftiImage, Series
from prima_features.synthetic import (
    CONTENT,
    TRAITS,
    Acquisition,
    Anatomy,
    Subject,
    build_anatomy,
    content,
    draw_acquisitions,
    draw_subject,
    holds_lesion,
    measure,
    render_series,
    traits,
)
from prima_features.synthetic.acquisition import SEQUENCES
from prima_features.synthetic.protocol import Settings
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.render import IMAGES
from prima_features.synthetic.report import write_report
from prima_features.synthetic.report.phrases import WORDING
from prima_features.synthetic.sites import SITES
from prima_features.volumes import ReadOptions, Volume

Annotate = Callable[[Subvolumes, Preprocessing], Annotations]
"""Returns what `RawSeries.annotations` does."""
Render = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Gives voxels (columns, rows, slices), slices stacked along the last axis, and the affine (4, 4) from voxels to mm
in R, A, S."""


@dataclass(frozen=True)
class RenderedSeries:
    """A series that is made when it is asked for."""

    name: str
    fingerprint: str
    """Changes when what would be made does, such as a seed with the version of what makes it."""
    render: Render = field(repr=False)
    options: ReadOptions = ReadOptions()
    annotate: Annotate | None = field(default=None, repr=False)

    @property
    def stored_name(self) -> str:
        """The name; nothing in it is a patient's."""
        return self.name

    def volume(self, preprocessing: Preprocessing) -> Volume:
        """Make it, and read it as a NIfTI file of the same content would be read.

        Raises:
            SeriesError: it cannot be used.
            OutputError: the disk with the temporary folder is full.
        """
        voxels, affine = self.render()
        with output_errors(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "series.nii"
            nib.save(nib.Nifti1Image(voxels, affine), path)
            image = NiftiImage(path, orientation=_in_plane(affine))
            return read_volume(Series(self.name, image), preprocessing, self.options)

    def annotations(self, tokens: Subvolumes, preprocessing: Preprocessing) -> Annotations:
        """Ground truth from the generator, if it gives any."""
        return Annotations() if self.annotate is None else self.annotate(tokens, preprocessing)


def _in_plane(affine: np.ndarray) -> tuple[float, ...]:
    """Direction cosines of columns and rows in LPS, which say that the slices run along the third axis."""
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3, :2]
    return tuple((lps / np.linalg.norm(lps, axis=0)).T.ravel().tolist())


CACHED_ANNOTATIONS = {"truth": [*CONTENT, *TRAITS, *SEQUENCES]}
"""What is cached with the latents of synthetic series; part of the cache's key."""
_HEALTHY = ("control", "autism")
"""Conditions that no report calls abnormal."""


class SyntheticStudies:
    """Studies of the first subjects of the synthetic cohort of a seed, as a sequence: first one of each, then further
    ones.

    Args:
        count: number of subjects.
        seed: of the cohort.
        description: what the study encoder reads.
        settings: what those of the scanners are drawn from.
        reports: folder where findings are kept once they are made; without it studies have none.
        wordings: of each report.
        device: on which synthetic brains are computed. Those made on another differ by rounding.
        visits: studies of each subject, of the same brain: the first one at its own site, further ones at others, so
            that what they have in common is the brain.
    """

    def __init__(
        self,
        count: int,
        seed: int,
        description: str = "",
        settings: Settings = "usual",
        reports: Path | None = None,
        wordings: int = 1,
        device: str = "cpu",
        visits: int = 1,
    ) -> None:
        self._settings = settings
        self._reports = (
            None if reports is None else Cache(reports, {"wording": WORDING, "wordings": wordings})
        )
        self._wordings, self._device = wordings, device
        self._count, self._seed, self._visits = count, seed, visits
        self._description = description or DEFAULT_DESCRIPTION

    def __len__(self) -> int:
        return self._count * self._visits

    def __iter__(self) -> Iterator[RawStudy]:
        return (self[number] for number in range(len(self)))

    def __getitem__(self, number: int) -> RawStudy:
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} studies; number {number} is out of range")
        visit, index = divmod(number, self._count)
        subject = draw_subject(self._seed, index)
        # Shared by the series of a study, and computed only if one of them is.
        anatomy = cache(partial(build_anatomy, subject, self._device))
        measures = cache(lambda: measure(anatomy()))
        truth = cache(lambda: traits(subject, anatomy(), measures()))
        site = _elsewhere(subject, visit) if visit else subject.site
        scans = draw_acquisitions(self._seed, index, site, settings=self._settings, visit=visit)
        place = f"{self._seed}/{index}" + (f"/{visit}" if visit else "")
        return RawStudy(
            id=f"sub-{subject.id}" + (f"_ses-{visit + 1}" if visit else ""),
            subject=subject.id,
            description=self._description,
            series=tuple(_series(subject, scan, anatomy, truth) for scan in scans),
            find=None
            if self._reports is None
            else partial(_findings, self._reports, place, self._wordings, subject, scans, measures),
            abnormal=subject.condition not in _HEALTHY,
        )


def _elsewhere(subject: Subject, visit: int) -> str:
    """A site that is not the subject's own."""
    others = [site for site in SITES if site != subject.site]
    return str(generator(subject.seed, subject.index, f"site {visit}").choice(others))


def _findings(
    kept: Cache,
    place: str,
    wordings: int,
    subject: Subject,
    scans: tuple[Acquisition, ...],
    measures: Callable[[], Mapping[str, float]],
) -> Wordings:
    """Of the report that `prima synth` writes, then of others that say the same, as `prima reports summarize` gives
    them by its rules."""
    entry = kept.entry(place, _fingerprint(subject, scans))
    if (found := kept.load(entry)) is None:
        items = [findings(write_report(subject, measures(), scans, wording)) for wording in range(wordings)]
        found = {"findings": torch.frombuffer(bytearray(json.dumps(items).encode()), dtype=torch.uint8)}
        kept.save(entry, found)
    return tuple(map(tuple, json.loads(found["findings"].numpy().tobytes())))


def _series(
    subject: Subject,
    scan: Acquisition,
    anatomy: Callable[[], Anatomy],
    truth: Callable[[], torch.Tensor],
) -> RenderedSeries:
    def render() -> tuple[np.ndarray, np.ndarray]:
        made = render_series(anatomy(), scan)
        return made.volume, made.affine

    def annotate(tokens: Subvolumes, preprocessing: Preprocessing) -> Annotations:
        size = tokens.values.shape[1:]
        shares = content(anatomy(), scan, tokens.coord, size, preprocessing.matrix)
        kind = torch.tensor(SEQUENCES.index(scan.sequence))
        return Annotations(
            {"content": shares.half()}, {"traits": truth(), "kind": kind}, keep=holds_lesion(shares)
        )

    name = series_name(scan.description, scan.protocol) or scan.sequence
    return RenderedSeries(name, _fingerprint(subject, scan), render, annotate=annotate)


def _fingerprint(subject: Subject, scans: Acquisition | tuple[Acquisition, ...]) -> str:
    each = scans if isinstance(scans, tuple) else (scans,)
    return json.dumps([IMAGES, _rounded(asdict(subject)), *(_rounded(asdict(scan)) for scan in each)])


def _rounded(value: Any) -> Any:
    """Numbers without their last digits, in which processors differ."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value
