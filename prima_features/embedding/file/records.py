"""The embeddings file's tables and columns, and the records of studies and series that they store.

Format version 2. A reader refuses newer versions. A change to the meaning of a column raises the version and adds the
rule for reading older files here. Version 1 has no columns `slice_axis`, `slice_axis_known_by` and `flags` in /series:
`VERSION_1` fills them in.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from prima_features.encoders.base import BrainRecord, Picture, Tokens
from prima_features.studies.study import Failure, Study
from prima_features.volumes.volume import PLANES

FORMAT = "prima-embeddings"
FORMAT_VERSION = 2

TEXT = "text"
"""Variable-length UTF-8."""
VECTOR = "vector"
"""As many numbers per row as the model gives, in the file's float type."""
WORDS = "words"
"""UTF-8, words separated by commas; a tuple in records."""

STUDY = {
    "embedding": VECTOR,
    "clip": VECTOR,
    "id": TEXT,
    "subject": TEXT,
    "session": TEXT,
    "description": TEXT,
    "source": TEXT,
    "n_series": "int32",
}
"""Columns of /study: attributes of `records.EmbeddedStudy`. `clip` is missing if the encoder gives none."""

SERIES = {
    "embedding": VECTOR,
    "study": "int64",
    "name": TEXT,
    "plane": TEXT,
    "source": TEXT,
    "n_tokens": "int32",
    "shape": "int32",
    "spacing": "float32",
    "slice_axis": "int8",
    "slice_axis_known_by": TEXT,
    "flags": WORDS,
}
"""Columns of /series: attributes of `records.EmbeddedSeries`; `study` is a row of /study."""

BRAIN = {
    "mask_from": TEXT,
    "brain_litres": "float32",
    "mni_from": TEXT,
    "to_mni": "float64",
    "mni_scale": "float32",
    "mni_dice": "float32",
}
"""Further columns of /series, in files of encoders that use brain masks and transforms to MNI152 (`brain_columns`).
Unknown numbers are NaN."""

COMPONENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("shape", "spacing", "coord"), ("z", "y", "x")),
    "to_mni": tuple(f"{row}{column}" for row in "1234" for column in "1234"),
}
"""Columns of several numbers per row: `shape` is `shape_z`, `shape_y` and `shape_x` in tables."""

VERSION_1: dict[str, Callable[[Any], np.ndarray]] = {
    "slice_axis": lambda planes: np.array([PLANES.index(plane) for plane in planes], np.int8),
    "slice_axis_known_by": lambda planes: np.array([""] * len(planes), object),
    "flags": lambda planes: np.array([""] * len(planes), object),
}
"""Columns of /series that version 1 lacks, from its column `plane`. How an axis was determined was not recorded."""

TOKEN = {"embedding": "float16", "series": "int64", "coord": "int16"}
"""Columns of /token; `series` is a row of /series."""

FAILURE = {"study": TEXT, "series": TEXT, "stage": TEXT, "error": TEXT, "hint": TEXT}
"""Columns of /failure: attributes of `records.Failure`."""

INPUT = {"study": TEXT, "hash": TEXT}
"""Columns of /input: what each study was made of, failed ones too, so that a later run knows which still hold."""


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
    brain: BrainRecord | None = None
    """None from encoders that use neither brain masks nor transforms."""

    @property
    def slice_axis(self) -> int:
        """Which of (z, y, x) the slices are stacked along."""
        return PLANES.index(self.plane)


def brain_columns(series: Sequence[EmbeddedSeries]) -> dict[str, list[Any]]:
    """The columns `BRAIN` of series."""
    brains = [one.brain or BrainRecord() for one in series]
    return {
        "mask_from": [brain.mask_from for brain in brains],
        "brain_litres": [brain.litres for brain in brains],
        "mni_from": [brain.to_mni_from for brain in brains],
        "to_mni": [brain.to_mni or (np.nan,) * 16 for brain in brains],
        "mni_scale": [brain.scale for brain in brains],
        "mni_dice": [brain.dice for brain in brains],
    }


def brain_of(columns: Mapping[str, Sequence[Any]], row: int) -> BrainRecord:
    """A row of the columns `BRAIN`, the matrix as columns `to_mni_11` to `to_mni_44`."""
    to_mni = tuple(columns[f"to_mni_{place}"][row] for place in COMPONENTS["to_mni"])
    return BrainRecord(
        mask_from=columns["mask_from"][row],
        litres=columns["brain_litres"][row],
        to_mni_from=columns["mni_from"][row],
        to_mni=() if np.isnan(to_mni[0]) else to_mni,
        scale=columns["mni_scale"][row],
        dice=columns["mni_dice"][row],
    )


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
    """What it was made of (`input_hash`)."""

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
    """What was tried (`input_hash`)."""

    @property
    def n_series(self) -> int:
        """None."""
        return 0

    @property
    def flags(self) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(frozen=True)
class StudyHeader:
    """A finished study without its vectors."""

    input_hash: str
    n_series: int
    failures: tuple[Failure, ...]
    flags: tuple[str, ...] = ()
    """All flags of its series (`records.EmbeddedStudy.flags`)."""

    @property
    def sound(self) -> bool:
        """True if nothing of the study failed; series that a rule excludes by design do not count."""
        return not any(failure.defect for failure in self.failures)


Result = EmbeddedStudy | FailedStudy


def flags_of(flags: str, slice_axis_known_by: str) -> tuple[str, ...]:
    """The flags of one series as a run counts them, from its columns `flags` and `slice_axis_known_by`."""
    guessed = (GUESSED,) if slice_axis_known_by.startswith("guess") else ()
    return (*guessed, *filter(None, flags.split(",")))


def settings_hash(settings: dict[str, Any]) -> str:
    """Hash of the model, preprocessing and whatever else changes the numbers of every study; JSON types."""
    return _digest(settings)[:16]


def input_hash(study: Study, settings: str, uses_anatomy: bool = False) -> str:
    """What a study's embedding depends on: the hash of the settings, and one of its texts and files.

    Of files, names, sizes and times are hashed, and not the folders they are in: the same scans may be mounted
    elsewhere on the next machine. A file that is not there is hashed as such.

    Args:
        settings: from `settings_hash`; the result begins with it.
        uses_anatomy: whether brain masks and transforms are inputs, too (`EncoderInfo.uses_anatomy`).
    """
    files: list[tuple[Any, ...]] = []
    for series in study.series:
        sizes = [_size_and_time(path) for path in series.files]
        files.append((series.name, series.image, sizes))
        if uses_anatomy and series.anatomy_files:
            paths = (series.mask, series.to_mni)
            files.append((paths, [None if path is None else _size_and_time(path) for path in paths]))
    return f"{settings}:{_digest([study.id, study.subject, study.session, study.description, files])[:32]}"


_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP)
"""Errors of a path that leads to no file, as `Path.exists` counts them."""


def _size_and_time(path: Path) -> tuple[int, int] | None:
    """Of a file; None if it is not there. One request only: a network disk may take a millisecond for each."""
    try:
        state = path.stat()
    except ValueError:  # no possible name
        return None
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return state.st_size, state.st_mtime_ns


def settings_of(input_hash: str) -> str:
    """The hash of the settings that an input hash begins with."""
    return input_hash.partition(":")[0]


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """A path as its name, a dataclass as its fields. `asdict` would copy every path: most of the time of a hash."""
    if isinstance(value, PurePath):
        return value.name
    return {one.name: getattr(value, one.name) for one in fields(value)}
