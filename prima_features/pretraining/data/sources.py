"""Sources of studies: scans that `prima embed` can read, or synthetic brains."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prima_features.embedding.file.records import Failure
from prima_features.embedding.record.ids import add_ids, check_key, load_pseudonyms
from prima_features.encoders.prima.prepare import read_volume
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes
from prima_features.errors import SeriesError, UsageError
from prima_features.files.disk import check_disk, check_source
from prima_features.pretraining.data.records import Annotations, RawStudy, Source
from prima_features.pretraining.settings import ReportedScans, Scans
from prima_features.pretraining.settings.common import CACHE
from prima_features.reports.summaries import StudyReport
from prima_features.studies import (
    BidsOptions,
    DicomOptions,
    FindOptions,
    Found,
    Selection,
    Series,
    Study,
    find,
)
from prima_features.volumes import ReadOptions, Volume


def open_source(
    settings: Scans,
    seed: int,
    folder: Path,
    reports: Mapping[str, StudyReport] | None = None,
    keep: bool = True,
    device: str = "cpu",
) -> tuple[Source, tuple[Failure, ...]]:
    """The studies that the settings name, and what is left out.

    Args:
        settings: a source on disk, or the number of synthetic subjects.
        seed: of synthetic studies.
        folder: of the run; see `scans.find_scans`.
        reports: by study id, for a source on disk.
        keep: write to the folder.
        device: on which synthetic brains are computed.

    Raises:
        UsageError, NothingUsableError: as `studies.find`.
    """
    if settings.synthetic:
        from prima_features.pretraining.data.synthetic import SyntheticStudies

        cohort_seed = seed if settings.synthetic_seed is None else settings.synthetic_seed
        wordings = settings.wordings if isinstance(settings, ReportedScans) else 0
        return SyntheticStudies(
            settings.synthetic,
            cohort_seed,
            settings.description,
            settings.synthetic_settings,
            reports=(settings.cache or folder / CACHE) / "reports" if wordings else None,
            wordings=wordings,
            device=device,
            visits=settings.synthetic_visits,
        ), ()
    return find_scans(settings, folder, reports, keep)


_PIECE = 2**16
"""Bytes of a file that tell it from another one of the same size and time."""


@dataclass(frozen=True)
class ScannedSeries:
    """A series in files."""

    series: Series
    options: ReadOptions
    source: Path
    """That it was found in."""

    @property
    def name(self) -> str:
        """What the sequence encoder reads."""
        return self.series.name

    @property
    def stored_name(self) -> str:
        """The name without a UID."""
        return self.series.stored_name

    @property
    def fingerprint(self) -> str:
        """The files by their places in the source, which may be moved; their sizes and times, with a piece of one of
        them, since archives can give all files one time; how they are read."""
        files = self.series.files
        states = [path.stat() if path.exists() else None for path in files]
        sizes = [(state.st_size, state.st_mtime_ns) if state else None for state in states]
        root = self.source if self.source.is_dir() else self.source.parent
        found = [asdict(self.series.image), asdict(self.options), sizes, _piece(files[len(files) // 2])]
        return json.dumps(found, default=partial(_relative, root))

    def volume(self, preprocessing: Preprocessing) -> Volume:
        """Read the files.

        Raises:
            SeriesError: they cannot be read or used.
            SourceError: the disk with the scans does not answer any more.
        """
        try:
            return read_volume(self.series, preprocessing, self.options)
        except SeriesError as error:
            check_disk(error, self.series.files)
            check_source(self.source)
            raise

    def annotations(self, tokens: Subvolumes, preprocessing: Preprocessing) -> Annotations:
        """None: scans come without ground truth."""
        return Annotations()


def _piece(path: Path) -> str:
    """Hash of the middle of a file; empty if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _PIECE) // 2)
            return hashlib.sha256(file.read(_PIECE)).hexdigest()
    except OSError:
        return ""


def _relative(root: Path, value: Any) -> str:
    return os.path.relpath(value, root) if isinstance(value, Path) else str(value)


def find_scans(
    settings: Scans, folder: Path, reports: Mapping[str, StudyReport] | None, keep: bool
) -> tuple[tuple[RawStudy, ...], tuple[Failure, ...]]:
    """The studies of a source, those with a report where reports are given.

    Args:
        settings: where and what.
        folder: of `studies.ids.tsv`, which maps the pseudonyms of a DICOM source to patients.
        reports: by study id, or for DICOM by StudyInstanceUID.
        keep: write that table.

    Returns:
        Studies, and what is left out with the reason.

    Raises:
        UsageError: as `studies.find`, or reports are given and none is of a study.
        NothingUsableError: as `studies.find`.
    """
    assert settings.source is not None
    identities = folder / "studies.h5"
    pseudonyms = load_pseudonyms(identities)
    found = find(
        settings.source,
        FindOptions(
            format=settings.format,
            selection=Selection(settings.participants, settings.sessions),
            bids=BidsOptions(settings.datatypes, settings.suffixes),
            dicom=DicomOptions(min_slices=settings.min_slices),
        ),
        pseudonyms,
    )
    if found.format == "dicom":
        check_key(identities, pseudonyms, found.studies)
    if found.format == "dicom" and keep:
        folder.mkdir(parents=True, exist_ok=True)
        add_ids(identities, found.studies, pseudonyms)
    matched = {study.id: _report_of(study, reports or {}) for study in found.studies}
    if reports is not None and found.studies and not any(matched.values()):
        raise UsageError(_why_none(settings.source, found, reports))
    studies = tuple(
        _raw(study, settings, matched[study.id])
        for study in found.studies
        if reports is None or matched[study.id]
    )
    without = [study.id for study in found.studies if reports is not None and not matched[study.id]]
    return studies, (
        *found.left_out,
        *(Failure(id, "", "find", "it has no report", defect=False) for id in without),
    )


def _report_of(study: Study, reports: Mapping[str, StudyReport]) -> StudyReport | None:
    ids = [study.id]
    if study.identity is not None:
        ids.append(study.identity.study_uid)
    return next((reports[id] for id in ids if id in reports), None)


def _why_none(source: Path, found: Found, reports: Mapping[str, StudyReport]) -> str:
    """Why no study has a report."""
    if not reports:
        return "data.reports holds no report: fill its column of findings"
    theirs, wanted = next(iter(reports)), "the ids of the source"
    if found.format == "dicom":  # whose ids can name a patient, which nothing that is printed does
        form = re.sub(r"[^\W\d_]", "x", re.sub(r"\d", "0", theirs))
        theirs, wanted = f"{form} (0 for digits, x for letters)", "StudyInstanceUIDs"
    return (
        f"none of the studies taken from {source} has a report in data.reports: their ids look like "
        f"{found.studies[0].id}, and those of the table like {theirs}; give the table {wanted}, or name the source "
        "that the table is of"
    )


def _raw(study: Study, settings: Scans, report: StudyReport | None) -> RawStudy:
    assert settings.source is not None
    options = ReadOptions(settings.slice_axis, settings.min_slices)
    report = report or StudyReport(())
    return RawStudy(
        id=study.id,
        subject=study.subject,
        description=settings.description or study.description,
        series=tuple(ScannedSeries(series, options, settings.source) for series in study.series),
        findings=report.findings,
        abnormal=report.abnormal,
        split=report.split,
    )
