"""What is recorded of a series or study that an engine could not embed."""

from __future__ import annotations

import logging

from prima_features.embedding.records import Failure
from prima_features.errors import SeriesError
from prima_features.studies.study import Series, Study

logger = logging.getLogger(__name__)


def failure_of(study: Study, series: Series | None, stage: str, error: Exception) -> Failure:
    """The record of an error, which tells no path and no name of a patient."""
    name = series.stored_name if series else ""
    if isinstance(error, SeriesError):
        return Failure(study.id, name, stage, str(error), error.hint)
    # Another library's message may quote a path, and a DICOM path a patient's name: only its kind is told.
    logger.debug("%s of %s failed", stage, study.id, exc_info=error)
    hint = "run again with --debug for the details, and report it if the scan is sound"
    return Failure(study.id, name, stage, f"unexpected {type(error).__name__}", hint)
