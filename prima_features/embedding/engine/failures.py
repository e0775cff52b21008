"""What is recorded of a series or study that an engine could not embed."""

from __future__ import annotations

import logging

from prima_features.errors import SeriesError
from prima_features.studies.study import Failure

logger = logging.getLogger(__name__)


def failure_of(study: str, series: str, stage: str, error: Exception) -> Failure:
    """The record of an error, which tells no path and no name of a patient.

    Args:
        study: its id.
        series: its stored name; empty for the study as a whole.
    """
    if isinstance(error, SeriesError):
        return Failure(study, series, stage, str(error), error.hint)
    # Another library's message may quote a path, and a DICOM path a patient's name: only its kind is told.
    logger.debug("%s of %s failed", stage, study, exc_info=error)
    hint = "run again with --debug for the details, and report it if the scan is sound"
    return Failure(study, series, stage, f"unexpected {type(error).__name__}", hint)
