"""Where studies come from: any `records.Source` will do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prima_features.embedding.records import Failure
from prima_features.pretraining.records import Source
from prima_features.pretraining.reports import Report
from prima_features.pretraining.settings import Scans


def open_source(
    settings: Scans, seed: int, folder: Path, reports: Mapping[str, Report] | None = None, keep: bool = True
) -> tuple[Source, tuple[Failure, ...]]:
    """The studies that the settings name, and what is left out.

    Args:
        settings: a source on disk, or how many studies to make up.
        seed: of made-up studies.
        folder: of the run; see `scans.find_scans`.
        reports: by study id, for a source on disk.
        keep: write to the folder.

    Raises:
        UsageError, NothingUsableError: as `studies.find`.
    """
    if settings.synthetic:
        from prima_features.pretraining.sources.synthetic import SyntheticStudies

        return SyntheticStudies(settings.synthetic, seed, settings.description), ()
    from prima_features.pretraining.sources.scans import find_scans

    return find_scans(settings, folder, reports, keep)
