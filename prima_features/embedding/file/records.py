"""What the encoder made of a study, and what it could not be made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.encoders.base import Picture, Tokens
from prima_features.studies.study import Failure
from prima_features.volumes.volume import PLANES


@dataclass(frozen=True)
class EmbeddedSeries:
    """One series: what was read and its vector."""

    name: str
    plane: str
    source: str
    n_tokens: int
    shape: tuple[int, int, int]
    """(z, y, x) of the volume that tokens were cut from."""
    spacing: tuple[float, float, float]
    """Distance between its samples, mm."""
    embedding: np.ndarray
    """(d,) float32."""
    tokens: Tokens | None = None
    """As float16; kept only with `--level token`."""
    picture: Picture | None = None
    """For the report; not kept in the embeddings file."""
    slice_axis_known_by: str = ""
    """How the slice axis was determined (`volumes.volume.KNOWN_BY`); empty in files of format version 1."""
    flags: tuple[str, ...] = ()
    """Doubts about the series, from finding and from reading it."""

    @property
    def slice_axis(self) -> int:
        """Which of (z, y, x) the slices are stacked along."""
        return PLANES.index(self.plane)


GUESSED = "slice-axis-guessed"
"""Counted among the flags of a run for each series whose slice axis was assumed (`volumes.volume.GUESS`)."""


@dataclass(frozen=True)
class EmbeddedStudy:
    """One study: whose it is, its vectors and its series."""

    id: str
    subject: str
    session: str
    description: str
    source: str
    embedding: np.ndarray
    """(D,) float32."""
    clip: np.ndarray | None
    """(C,) float32, L2-normalised; None from encoders without it."""
    series: tuple[EmbeddedSeries, ...]
    failures: tuple[Failure, ...] = ()
    """Series of this study that were left out on the way."""
    input_hash: str = ""
    """What it was made of (`input_hash.input_hash`)."""

    @property
    def n_series(self) -> int:
        """How many series the study's vector was made of."""
        return len(self.series)

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags of its series, and `GUESSED` for each slice axis that was assumed."""
        return tuple(
            flag for one in self.series for flag in flags_of(",".join(one.flags), one.slice_axis_known_by)
        )


@dataclass(frozen=True)
class FailedStudy:
    """A study that nothing could be made of."""

    id: str
    failures: tuple[Failure, ...]
    input_hash: str = ""
    """What was tried (`input_hash.input_hash`)."""

    @property
    def n_series(self) -> int:
        """None."""
        return 0

    @property
    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class Head:
    """What is known of a finished study without its vectors."""

    input_hash: str
    n_series: int
    failures: tuple[Failure, ...]
    flags: tuple[str, ...] = ()
    """All flags of its series (`records.EmbeddedStudy.flags`)."""

    @property
    def sound(self) -> bool:
        """True where nothing of the study was left out but what a rule leaves out by design."""
        return not any(failure.defect for failure in self.failures)


Result = EmbeddedStudy | FailedStudy


def flags_of(flags: str, slice_axis_known_by: str) -> tuple[str, ...]:
    """The flags of one series as a run counts them, from its columns `flags` and `slice_axis_known_by`."""
    guessed = (GUESSED,) if slice_axis_known_by.startswith("guess") else ()
    return (*guessed, *filter(None, flags.split(",")))
