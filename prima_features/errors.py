"""Errors that a user can cause or mend. Each is one sentence: what is wrong, where, and what to do.

Everything below the batch loop raises; the loop records a `SeriesError` and goes on, and the command
turns the others into one line on stderr and the exit code written here.
"""

from collections.abc import Sequence
from typing import Any


class PrimaError(Exception):
    """Base of the errors that are told to the user as one sentence, without a traceback."""

    exit_code = 1


class UsageError(PrimaError, ValueError):
    """What was asked for cannot be: a missing path, an option that does not fit, a wrong checkpoint."""

    exit_code = 2


class UnknownOptionError(UsageError):
    """An encoder has no option of this name (`Encoder.with_options`)."""


class NothingUsableError(PrimaError):
    """The source was read, and nothing in it can be embedded.

    Args:
        message: the sentence.
        failures: what was left out and why, each a `prima_features.embedding.file.records.Failure`.
    """

    exit_code = 4

    def __init__(self, message: str, failures: Sequence[Any] = ()):
        super().__init__(message)
        self.failures = tuple(failures)


class OutputError(PrimaError, OSError):
    """The results could not be written: the disk is full, or the folder went away."""

    exit_code = 1


class SourceError(PrimaError, OSError):
    """The disk with the scans went away, or that of temporary files is full. What is finished is kept."""

    exit_code = 1


class FailedFastError(PrimaError):
    """A scan failed, and the run was to stop at the first one. What is finished is kept."""

    exit_code = 3


class StoppedError(PrimaError):
    """The run was asked to stop, and did in good order. What is finished is kept."""

    exit_code = 130


class SeriesError(PrimaError, ValueError):
    """One series cannot be embedded. The batch loop records it beside the study and goes on.

    The message names neither files nor patients: the row it is written to says which study and series
    it belongs to, and for DICOM nothing that identifies a patient may reach a log.

    Args:
        message: what is wrong with the series.
        hint: what the user can do about it.
    """

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint
