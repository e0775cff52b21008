"""Writing the embeddings file, completely or not at all."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import h5py
import numpy as np

from prima_features._version import __version__
from prima_features.embedding.file.records import (
    BRAIN,
    FAILURE,
    FORMAT,
    FORMAT_VERSION,
    INPUT,
    SERIES,
    STUDY,
    TEXT,
    TOKEN,
    VECTOR,
    WORDS,
    EmbeddedStudy,
    Result,
    brain_columns,
)
from prima_features.errors import UsageError
from prima_features.files.disk import replacing
from prima_features.files.text import bounded, printable
from prima_features.models.caveats import caveat_of
from prima_features.studies.study import Failure

if TYPE_CHECKING:
    from typing_extensions import Buffer

VectorType = Literal["float32", "float16"]
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Provenance:
    """What made the embeddings: the file's root attributes."""

    model: str
    model_revision: str
    model_sha256: str
    preprocessing: dict[str, Any]
    command: str = ""
    encoder: str = "prima"
    """Kind of the model: `model_type` in its config.json."""
    caveat: str = ""
    """What must be said with every number of the model; empty if nothing is known (`models.caveats`)."""
    widths: dict[str, int | None] = field(default_factory=dict)
    """Lengths of the vectors by level (`encoders.base.Widths`); empty in files of earlier releases."""
    licence: str = ""
    citation: str = ""
    """Licence of the model, and what to cite; empty if not stated, as in files of earlier releases."""
    uses_anatomy: bool = False
    """Whether brain masks and transforms to MNI152 are inputs of the model."""

    @property
    def has_clip(self) -> bool:
        """Whether the encoder has vectors that are comparable with text."""
        return not self.widths or self.widths.get("clip") is not None

    def attributes(self) -> dict[str, Any]:
        """As HDF5 attributes, with the format, this release's version and the time."""
        attributes = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "model": self.model,
            "model_revision": self.model_revision,
            "model_sha256": self.model_sha256,
            "preprocessing": json.dumps(self.preprocessing, sort_keys=True),
            "prima_features_version": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.command,
            "encoder": self.encoder,
            "widths": json.dumps(self.widths, sort_keys=True),
            "caveat": self.caveat or caveat_of(self.model, self.model_sha256),
            "licence": self.licence,
            "citation": self.citation,
        }
        return {
            name: printable(value) if isinstance(value, str) else value for name, value in attributes.items()
        }


def write_embeddings(
    path: Path,
    studies: Iterable[Result],
    provenance: Provenance,
    left_out: Sequence[Failure] = (),
    dtype: VectorType = "float32",
    scratch: Path | None = None,
) -> None:
    """Write an embeddings file, one study at a time, and rename it into place when it is complete.

    Args:
        path: where to; an existing file is replaced at the end, in one step.
        studies: read once, in order; never held together in memory. Failed ones only leave their failures.
        left_out: what the finder left out; each study brings its own failures.
        dtype: number type of the study and series vectors.
        scratch: folder of the temporary file, on the same disk; by default that of `path`.

    Raises:
        OutputError: the disk is full or the folder cannot be written to.
        UsageError: a vector is not finite in the stored number type.
    """
    with replacing(path, scratch) as temporary, Sink(temporary) as sink, h5py.File(sink, "w") as file:
        file.attrs.update(provenance.attributes())
        tables = _Tables(file, dtype, provenance)
        tables.failure.extend(_columns(left_out, FAILURE))
        for study in studies:
            tables.add(study)
            sink.check()
        tables.flush()


class _Tables:
    """The file's tables, and how a study spreads over them."""

    def __init__(self, file: h5py.File, dtype: VectorType, provenance: Provenance):
        self._file, self._dtype = file, dtype
        self._uses_anatomy = provenance.uses_anatomy
        has_clip = provenance.has_clip
        self._study_columns = {name: kind for name, kind in STUDY.items() if has_clip or name != "clip"}
        self.study = _Table(file.create_group("study"), self._study_columns, dtype)
        series = SERIES | (BRAIN if self._uses_anatomy else {})
        self.series = _Table(file.create_group("series"), series, dtype)
        self.failure = _Table(file.create_group("failure"), FAILURE, dtype)
        self.input = _Table(file.create_group("input"), INPUT, dtype)
        self.token: _Table | None = None

    def add(self, study: Result) -> None:
        failures = study.failures
        if not (study.n_series or failures):  # no study is lost without a word
            failures = (
                Failure(study.id, "", "encode", "nothing of it was embedded, and no reason is recorded"),
            )
        self.failure.extend(_columns(failures, FAILURE))
        self.input.extend({"study": [study.id], "hash": [study.input_hash]})
        if isinstance(study, EmbeddedStudy):
            self._add_vectors(study)

    def _add_vectors(self, study: EmbeddedStudy) -> None:
        row = self.study.extend(_columns([study], self._study_columns))
        columns = _columns(study.series, SERIES) | {"study": [row] * study.n_series}
        if self._uses_anatomy:
            columns |= brain_columns(study.series)
        first = self.series.extend(columns)
        for i, series in enumerate(study.series, first):
            if series.tokens is not None:
                self.token = self.token or _Table(self._file.create_group("token"), TOKEN, self._dtype)
                coord = series.tokens.coord
                self.token.extend(
                    {"embedding": series.tokens.embedding, "coord": coord, "series": [i] * len(coord)}
                )

    def flush(self) -> None:
        for table in (self.study, self.series, self.failure, self.input, self.token):
            if table is not None:
                table.flush()


class _Table:
    """A group of equally long datasets that rows are appended to, in blocks."""

    _BLOCK_ROWS = 256

    def __init__(self, group: h5py.Group, columns: dict[str, str], dtype: VectorType):
        self._group = group
        self._dtypes = {name: dtype if kind == VECTOR else kind for name, kind in columns.items()}
        self._pending: dict[str, list[Any]] = {name: [] for name in columns}
        self._written = 0

    def extend(self, rows: Mapping[str, Iterable[Any]]) -> int:
        """Append rows, given by column; returns the number of the first."""
        first = self._written + self._n_pending
        for name, values in rows.items():
            self._pending[name].extend(values)
        if self._n_pending >= self._BLOCK_ROWS:
            self.flush()
        return first

    @property
    def _n_pending(self) -> int:
        return len(next(iter(self._pending.values())))

    def flush(self) -> None:
        """Write what is pending; datasets come into being here, empty ones too."""
        count = self._n_pending
        if self._written and not count:
            return
        for name, values in self._pending.items():
            if self._dtypes[name] == TEXT:
                block = np.array(values, dtype=object)
            elif self._dtypes[name] == WORDS:
                block = np.array([",".join(words) for words in values], dtype=object)
            else:
                with np.errstate(over="ignore"):
                    block = np.asarray(values, dtype=self._dtypes[name])
                if name == "embedding" or name == "clip":
                    _check_finite(block, values)
            dataset = self._group.get(name)
            if dataset is None:
                dataset = self._create(name, block)
            dataset.resize(self._written + count, axis=0)
            dataset[self._written :] = block
            values.clear()
        self._written += count

    def _create(self, name: str, block: np.ndarray) -> h5py.Dataset:
        width = block.shape[1:]
        dtype = h5py.string_dtype() if self._dtypes[name] in (TEXT, WORDS) else block.dtype
        row_bytes = np.dtype(dtype).itemsize * int(np.prod(width))
        rows = max(1, min(256, _CHUNK_BYTES // max(row_bytes, 1)))
        return self._group.create_dataset(
            name, (0, *width), dtype, maxshape=(None, *width), chunks=(rows, *(max(1, n) for n in width))
        )


def _check_finite(block: np.ndarray, values: Sequence[Any]) -> None:
    """Raise unless all numbers of vectors are finite: the last line of defence before they are on disk."""
    if np.isfinite(block).all():
        return
    if all(np.isfinite(vector).all() for vector in values):
        raise UsageError("The vectors are too large for float16; run the same command with --dtype float32")
    raise UsageError("A vector contains NaN or infinity; embed the study again")


def _columns(records: Sequence[object], table: dict[str, str]) -> dict[str, list[Any]]:
    """Records by column; a column that is no attribute of theirs is left to the caller."""
    known = [name for name in table if name != "study" or table is FAILURE]
    columns = {name: [getattr(record, name) for record in records] for name in known}
    return {
        name: list(map(bounded, values)) if table[name] == TEXT else values
        for name, values in columns.items()
    }


class Sink(io.RawIOBase):
    """Keeps the first error for `check` and pretends to HDF5 that all went well.

    The HDF5 library does not survive a write that fails: on closing such a file it prints pages of errors and
    takes the process down with a segmentation fault (seen with HDF5 1.14 and h5py 3.16 on a full disk). Given
    this object in place of a path, h5py passes every read and write through it.

    Raises:
        OSError: on leaving the `with` block, or from `check`: the first write that failed.
    """

    def __init__(self, path: Path):
        super().__init__()
        self._file = path.open("w+b", buffering=0)
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error there was."""
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self.close()
        if error is None:
            self.check()

    def write(self, data: Buffer) -> int:
        """Write all of `data`, or from the first error on nothing."""
        view = memoryview(data).cast("B")
        written = 0
        try:
            while self._error is None and written < len(view):
                written += self._file.write(view[written:])
        except OSError as error:
            self._error = error
        if self._error is not None:
            self._file.seek(len(view) - written, os.SEEK_CUR)
        return len(view)

    def readinto(self, buffer: Buffer) -> int:
        """Read; what a failed write left out reads as zeros."""
        view = memoryview(buffer).cast("B")
        count = self._file.readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, unless a write has failed."""
        try:
            if self._error is None:
                return self._file.truncate(size)
        except OSError as error:
            self._error = error
        return size or 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a position, also beyond the end."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The position."""
        return self._file.tell()
