"""Where studies come from: any `records.Source` will do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prima_features.embedding.file.records import Failure
from prima_features.pretraining.data.records import Source
from prima_features.pretraining.data.reports import Report
from prima_features.pretraining.settings import ReportedScans, Scans
from prima_features.pretraining.settings.layout import CACHE


def open_source(
    settings: Scans,
    seed: int,
    folder: Path,
    reports: Mapping[str, Report] | None = None,
    keep: bool = True,
    device: str = "cpu",
) -> tuple[Source, tuple[Failure, ...]]:
    """The studies that the settings name, and what is left out.

    Args:
        settings: a source on disk, or how many subjects to make up.
        seed: of made-up studies.
        folder: of the run; see `scans.find_scans`.
        reports: by study id, for a source on disk.
        keep: write to the folder.
        device: where brains are made.

    Raises:
        UsageError, NothingUsableError: as `studies.find`.
    """
    if settings.synthetic:
        from prima_features.pretraining.data.sources.synthetic import SyntheticStudies

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
    from prima_features.pretraining.data.sources.scans import find_scans

    return find_scans(settings, folder, reports, keep)
