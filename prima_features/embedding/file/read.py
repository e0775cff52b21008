"""Reading an embeddings file: tables as DataFrames, vectors as arrays, each read when asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from prima_features.embedding.file.records import (
    BRAIN,
    COMPONENTS,
    FAILURE,
    FORMAT,
    FORMAT_VERSION,
    SERIES,
    STUDY,
    VECTOR,
    VERSION_1,
    flags_of,
)
from prima_features.embedding.file.validate import check, plain_attribute
from prima_features.errors import PrimaError, UsageError
from prima_features.files.safe import load_json
from prima_features.files.text import bounded
from prima_features.models.caveats import MOST_CAVEAT, caveat_of, warn_of

if TYPE_CHECKING:
    import pandas as pd


_CHECKED_ROWS = 1024
_MAY_BE_NAN = tuple(f"/series/{name}" for name in BRAIN)


class Embeddings:
    """An embeddings file. It is closed between reads, so no lock remains on a network disk.

    Args:
        path: the HDF5 file.

    Raises:
        UsageError: it does not exist, is not an embeddings file, or was written by a newer release.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise UsageError(f"{self.path} does not exist or is not a file")
        self._checked: tuple[int, ...] = ()
        with self.open() as file:
            self.attributes: dict[str, Any] = {
                key: value.item() if isinstance(value, np.generic) else value
                for key, value in file.attrs.items()
            }
            # Files of earlier releases can lack these.
            self.attributes.setdefault("encoder", "prima")
            # And files of other tools these: no model has an empty checksum.
            for name in ("model", "model_revision", "model_sha256", "command"):
                self.attributes.setdefault(name, "")
            for name in ("licence", "citation"):
                self.attributes[name] = bounded(str(self.attributes.get(name, "")))
            stated = self.attributes.get("caveat") or caveat_of(
                str(self.attributes.get("model", "")), str(self.attributes.get("model_sha256", ""))
            )
            self.attributes["caveat"] = bounded(str(stated), MOST_CAVEAT)
            self.n_studies = int(file["study/id"].shape[0])
            self.n_series = int(file["series/name"].shape[0])
            self.has_tokens = "token" in file
            self.has_brains = "to_mni" in file["series"]

    @property
    def caveat(self) -> str:
        """Caveat of the model, one sentence that must accompany all of its numbers; empty for most models."""
        return str(self.attributes["caveat"])

    @property
    def preprocessing(self) -> dict[str, Any]:
        """Preprocessing settings of the encoder, and other settings that change the vectors."""
        try:
            values = load_json(self.attributes["preprocessing"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{self.path} is damaged: its preprocessing settings cannot be read") from error
        if not isinstance(values, dict):
            raise UsageError(f"{self.path} is damaged: its preprocessing settings cannot be read")
        return values

    @property
    def widths(self) -> dict[str, int | None]:
        """Lengths of the vectors by level: study, series, clip and token. Empty in files of earlier releases."""
        try:
            values = load_json(self.attributes.get("widths", "{}"))
        except (ValueError, TypeError, AttributeError):
            values = None
        levels = ("study", "series", "clip", "token")
        if not isinstance(values, dict) or not all(
            name in levels and (width is None or type(width) is int) for name, width in values.items()
        ):
            raise UsageError(f"{self.path} is damaged: its attribute widths is not a table of vector lengths")
        return values

    @property
    def study_columns(self) -> Columns:
        """The columns of `studies`, without pandas, which takes long to import."""
        return Columns(self, "study", STUDY)

    @property
    def series_columns(self) -> Columns:
        """The columns of `series`."""
        return Columns(self, "series", SERIES | (BRAIN if self.has_brains else {}))

    @property
    def failure_columns(self) -> Columns:
        """The columns of `failures`."""
        return Columns(self, "failure", FAILURE)

    @cached_property
    def studies(self) -> pd.DataFrame:
        """One row per study: id, subject, session, description, source, n_series."""
        return self.study_columns.frame()

    @cached_property
    def series(self) -> pd.DataFrame:
        """One row per series: study (row of `studies`), name, plane, source, n_tokens, shape, spacing, slice_axis (of
        z, y, x), slice_axis_known_by and flags (separated by commas). If the encoder uses brain masks and transforms
        to MNI152: mask_from, brain_litres, mni_from, to_mni_11 to to_mni_44 (the matrix row by row, mm in RAS),
        mni_scale and mni_dice; unknown numbers are NaN."""
        return self.series_columns.frame()

    @cached_property
    def failures(self) -> pd.DataFrame:
        """One row per study or series that was left out: study, series, stage, error, hint."""
        return self.failure_columns.frame()

    @cached_property
    def flags(self) -> dict[str, int]:
        """Number of series per flag, including `slice-axis-guessed`; most frequent first."""
        columns = (self.series_columns[name] for name in ("flags", "slice_axis_known_by"))
        return dict(
            Counter(flag for row in zip(*columns, strict=True) for flag in flags_of(*row)).most_common()
        )

    @cached_property
    def study_embedding(self) -> np.ndarray:
        """(N, D) vectors of the studies, which heads and probes use."""
        return self.array("study/embedding")

    @cached_property
    def clip_embedding(self) -> np.ndarray:
        """(N, C) L2-normalised vectors that can be compared with text.

        Raises:
            UsageError: the encoder of the file gives none.
        """
        if not self.has("study/clip"):
            raise UsageError(
                f"{self.path} has no vectors that are comparable with text: its encoder provides none"
            )
        return self.array("study/clip")

    @cached_property
    def series_embedding(self) -> np.ndarray:
        """(M, d) vectors of the series."""
        return self.array("series/embedding")

    def array(self, name: str) -> np.ndarray:
        """One dataset by its path in the file, e.g. `token/embedding`.

        Raises:
            KeyError: there is no such dataset.
        """
        with self.open() as file:
            return self.values(file[name])

    def blocks(self, name: str, n_rows: int) -> Iterator[np.ndarray]:
        """The rows of one dataset, up to `n_rows` at a time, for what does not fit into memory.

        Raises:
            KeyError: there is no such dataset.
        """
        with self.open() as file:
            for first in range(0, len(file[name]), n_rows):
                yield self.values(file[name], slice(first, first + n_rows))

    def has(self, name: str) -> bool:
        """Whether there is such a dataset."""
        with self.open() as file:
            return name in file

    def width(self, name: str) -> int:
        """Length of the rows of a two-dimensional dataset."""
        with self.open() as file:
            return int(file[name].shape[1])

    def describe(self, name: str) -> str:
        """Shape and number type of one dataset, without reading it."""
        with self.open() as file:
            return f"{' x '.join(map(str, file[name].shape))} {file[name].dtype}"

    def values(self, dataset: Any, rows: slice | tuple[()] = ()) -> np.ndarray:
        """Rows of a dataset of the opened file.

        Raises:
            UsageError: the file is damaged, or a vector in it contains NaN or infinity.
        """
        try:
            found = dataset[rows]
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{self.path} is damaged: parts of it cannot be read; copy or create it again"
            ) from error
        is_float = isinstance(dataset, h5py.Dataset) and dataset.dtype.kind == "f"
        # Numbers of brains may be NaN; `validate` has checked them.
        if is_float and dataset.name not in _MAY_BE_NAN and not _is_finite(found):
            raise UsageError(
                f"{self.path} is damaged: {dataset.name} contains NaN or infinity; embed the scans again"
            )
        return found

    def check_vectors(self) -> None:
        """Read all vectors of studies and series once.

        Raises:
            UsageError: one of them contains NaN or infinity, or cannot be read.
        """
        for name in ("study/embedding", "study/clip", "series/embedding"):
            if self.has(name):
                for _ in self.blocks(name, _CHECKED_ROWS):
                    pass

    def open(self) -> h5py.File:
        """The HDF5 file itself, for reading; checked (see `validate`) when it is opened first, and if it was replaced.

        Raises:
            UsageError: it is not HDF5, not an embeddings file, or of a newer release.
        """
        try:
            # No lock: many network disks refuse HDF5's, or keep those of dead processes. None is needed, since a
            # file that has its name is never written to again, only replaced as a whole.
            file = _File(self.path, "r", locking=False)
        except (OSError, RuntimeError) as error:
            raise UsageError(f"{self.path} cannot be opened as HDF5: it is not an embeddings file") from error
        try:
            state = os.fstat(file.id.get_vfd_handle())
            identity = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
            if identity != self._checked:
                self._check_format(file)
                check(self.path, file)
                self._checked = identity
        except BaseException:
            file.close()
            raise
        return file

    def _check_format(self, file: h5py.File) -> None:
        kind, version = (plain_attribute(file, name) for name in ("format", "format_version"))
        if not isinstance(kind, str) or kind != FORMAT:
            raise UsageError(f"{self.path} is an HDF5 file but not an embeddings file ({FORMAT})")
        if not isinstance(version, int | np.integer) or version < 1:
            raise UsageError(f"{self.path} has no valid format version: the file is damaged")
        if version > FORMAT_VERSION:
            raise UsageError(
                f"{self.path} has format version {version}, but this release reads versions up to "
                f"{FORMAT_VERSION}; run pip install --upgrade prima-features"
            )

    def __repr__(self) -> str:
        return f"Embeddings({str(self.path)!r}: {self.n_studies} studies, {self.n_series} series)"


class Columns:
    """The columns of one table by name, each read from the file whenever it is asked for.

    None is kept, because the texts of a large cohort's series would take gigabytes as Python strings.
    """

    def __init__(self, file: Embeddings, table: str, kinds: Mapping[str, str]):
        self._file, self._table = file, table
        self._names = [
            column
            for name, kind in kinds.items()
            if kind != VECTOR
            for column in ([f"{name}_{one}" for one in COMPONENTS[name]] if name in COMPONENTS else [name])
        ]

    def __getitem__(self, column: str) -> np.ndarray:
        with self._file.open() as file:
            return self._read(file, column)

    def take(self, rows: slice | np.ndarray = slice(None)) -> dict[str, np.ndarray]:
        """All columns of some rows."""
        with self._file.open() as file:
            return {name: self._read(file, name)[rows] for name in self._names}

    def frame(self) -> pd.DataFrame:
        """The whole table."""
        import pandas as pd

        with self._file.open() as file:
            # Each at once a Series, which takes a fraction of the memory of as many Python strings.
            return pd.DataFrame({name: pd.Series(self._read(file, name)) for name in self._names})

    def _read(self, file: h5py.File, column: str) -> np.ndarray:
        if self._table == "series" and column in VERSION_1 and file.attrs["format_version"] == 1:
            try:
                return VERSION_1[column](self._read(file, "plane"))
            except ValueError as error:
                raise UsageError(f"{self._file.path} is damaged: a plane of /series is unknown") from error
        name, _, component = column.rpartition("_")
        if name not in COMPONENTS:
            dataset = file[self._table][column]
            is_text = h5py.check_string_dtype(dataset.dtype) is not None
            return self._file.values(dataset.asstr() if is_text else dataset)
        # A table without rows may not know how many columns it has.
        rows = self._file.values(file[self._table][name]).reshape(-1, len(COMPONENTS[name]))
        return rows[:, COMPONENTS[name].index(component)].copy()


class _File(h5py.File):
    """An HDF5 file that says what is wrong if a part of it turns out to be damaged while it is read."""

    def __exit__(self, *raised: Any) -> None:
        with damage_named(self.filename):
            super().__exit__(*raised)
            if raised[1] is not None:
                raise raised[1]


@contextmanager
def damage_named(path: str | Path) -> Iterator[None]:
    """Around reading an embeddings file that is open.

    Raises:
        UsageError: a part of it is damaged.
    """
    try:
        yield
    except (OSError, RuntimeError, KeyError, UnicodeDecodeError) as error:
        # Errors of the disk have a number; those of HDF5 have none.
        if isinstance(error, PrimaError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise UsageError(f"{path} is damaged: parts of it cannot be read; copy or create it again") from error


def _is_finite(values: np.ndarray) -> bool:
    """Whether all numbers are. NaN and infinity propagate to the sum, whose own overflow is looked into."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(values.sum(dtype=np.float64)) or np.isfinite(values).all())


def read_embeddings(path: str | Path) -> Embeddings:
    """Open an embeddings file made by `prima embed` (see `Embeddings`).

    All vectors are read once, to check that they are finite.

    Raises:
        UsageError: it is no embeddings file, or damaged.

    Warns:
        ModelCaveatWarning: the file's model has a caveat, such as synthetic training data; once in a process.
    """
    file = Embeddings(path)
    file.check_vectors()
    warn_of(file.caveat)
    return file
