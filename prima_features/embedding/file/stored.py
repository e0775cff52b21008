"""The studies of a finished embeddings file, as the records they were written from."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from prima_features.embedding.file.read import Embeddings, damage_named
from prima_features.embedding.file.records import (
    FAILURE,
    EmbeddedSeries,
    EmbeddedStudy,
    FailedStudy,
    Result,
    StudyHeader,
    brain_of,
    flags_of,
    settings_of,
)
from prima_features.embedding.file.validate import ascending
from prima_features.embedding.file.write import Provenance
from prima_features.encoders.base import Tokens
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import state_of
from prima_features.studies.study import Failure

_STUDY_TEXTS = ("id", "subject", "session", "description", "source")
_NOT_OF_A_RUN = ("find", "merge")
"""Stages of failures that each run determines again, and that are not kept with their study."""


class StoredStudies:
    """The content of an embeddings file, study by study.

    A context manager, open only while vectors are read. What was opened stays readable when the file is replaced.

    Attributes:
        state: which version of the file it is (`disk.state_of`).

    Raises:
        UsageError: it is no embeddings file, or damaged.
        OutputError: it was replaced between two reads.
    """

    def __init__(self, path: Path):
        self.state = state_of(path)
        self._file = Embeddings(path)
        self._hdf5: h5py.File | None = None

    def __enter__(self) -> StoredStudies:
        self._hdf5 = self._file.open()
        if state_of(self.path) != self.state:
            raise OutputError(f"{self.path} was replaced while it was read; run the same command again")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._hdf5 is not None:
            self._hdf5.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def has_tokens(self) -> bool:
        """Whether it keeps tokens."""
        return self._file.has_tokens

    @cached_property
    def dtype(self) -> str:
        """Number type of the vectors."""
        return self._file.describe("study/embedding").split()[-1]

    @property
    def provenance(self) -> Provenance:
        """Model, settings and versions."""
        attributes = self._file.attributes
        return Provenance(
            model=attributes["model"],
            model_revision=attributes["model_revision"],
            model_sha256=attributes["model_sha256"],
            preprocessing=self._file.preprocessing,
            command=attributes["command"],
            encoder=attributes["encoder"],
            caveat=self._file.caveat,
            widths=self._file.widths,
            licence=attributes["licence"],
            citation=attributes["citation"],
            uses_anatomy=self._file.has_brains,
        )

    @cached_property
    def settings(self) -> str:
        """Hash of the settings that change the vectors of all studies; empty if it was not recorded."""
        return next((settings_of(header.input_hash) for header in self.headers.values()), "")

    @property
    def is_dicom(self) -> bool:
        """Whether the file was made of DICOM, for which no paths are stored."""
        return self._file.n_series > 0 and not any(self._file.series_columns["source"])

    @cached_property
    def headers(self) -> dict[str, StudyHeader]:
        """Every study by its id, failed ones too, in the order of the file.

        A file of a release that kept no input hashes gives empty ones, and no failed studies.
        """
        studies = self._file.study_columns.take()
        n_series = dict(zip(studies["id"].tolist(), studies["n_series"].tolist(), strict=True))
        hashes = dict.fromkeys(n_series, "")
        if self._file.has("input/study"):
            names, values = self._file.array("input/study"), self._file.array("input/hash")
            hashes = {study.decode(): value.decode() for study, value in zip(names, values, strict=True)}
            self._check_ids(len(names) == len(hashes) and n_series.keys() <= hashes.keys())
        self._check_ids(len(n_series) == self._file.n_studies)
        return {
            study: StudyHeader(
                value,
                int(n_series.get(study, 0)),
                tuple(self._failures.get(study, ())),
                tuple(self._flags.get(study, ())),
            )
            for study, value in hashes.items()
        }

    def _check_ids(self, sound: bool) -> None:
        if not sound:
            raise UsageError(
                f"{self.path} is damaged: a study's id occurs twice, or is missing from one of its tables; copy the "
                "file again, or embed its studies again"
            )

    @cached_property
    def left_out(self) -> tuple[Failure, ...]:
        """What the finder had left out, and studies that were not there yet when the file was merged.

        Whether the finder left something out by design is not stored, and `defect` is False for all of that.
        """
        return tuple(failure for failure in self._failure_rows if failure.stage in _NOT_OF_A_RUN)

    def get(self, study_id: str) -> Result:
        """One study with its vectors, as float32.

        Raises:
            KeyError: there is none of this id.
        """
        header = self.headers[study_id]
        if study_id not in self._rows:
            return FailedStudy(study_id, header.failures, header.input_hash)
        row = self._rows[study_id]
        return EmbeddedStudy(
            **{name: self._studies[name][row] for name in _STUDY_TEXTS},
            embedding=self._vectors("study/embedding", row, row + 1)[0],
            clip=self._vectors("study/clip", row, row + 1)[0] if self._file.has("study/clip") else None,
            series=tuple(self._series(*self._first_series[row : row + 2])),
            failures=header.failures,
            input_hash=header.input_hash,
        )

    def _series(self, first: int, end: int) -> list[EmbeddedSeries]:
        vectors = self._vectors("series/embedding", first, end)
        columns = self._series_columns
        return [
            EmbeddedSeries(
                **{
                    name: columns[name][row]
                    for name in ("name", "plane", "source", "n_tokens", "slice_axis_known_by")
                },
                shape=tuple(columns[f"shape_{axis}"][row] for axis in "zyx"),
                spacing=tuple(columns[f"spacing_{axis}"][row] for axis in "zyx"),
                flags=tuple(filter(None, columns["flags"][row].split(","))),
                embedding=vector,
                tokens=self._tokens(row),
                brain=brain_of(columns, row) if self._file.has_brains else None,
            )
            for row, vector in enumerate(vectors, first)
        ]

    def _tokens(self, series: int) -> Tokens | None:
        if not self.has_tokens:
            return None
        first, end = np.searchsorted(self._token_series, (series, series + 1))
        return Tokens(self._array("token/embedding", first, end), self._array("token/coord", first, end))

    def _vectors(self, name: str, first: int, end: int) -> np.ndarray:
        return self._array(name, first, end).astype(np.float32)

    def _array(self, name: str, first: int, end: int) -> np.ndarray:
        assert self._hdf5 is not None, "vectors are read within a with block"
        with damage_named(self.path):
            return self._file.values(self._hdf5[name], slice(first, end))

    # Columns as lists: a record for each of a large cohort's series would take several times their memory.
    @cached_property
    def _studies(self) -> dict[Any, list[Any]]:
        return {name: values.tolist() for name, values in self._file.study_columns.take().items()}

    @cached_property
    def _series_columns(self) -> dict[Any, list[Any]]:
        return {name: values.tolist() for name, values in self._file.series_columns.take().items()}

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {study: row for row, study in enumerate(self._studies["id"])}

    @cached_property
    def _first_series(self) -> np.ndarray:
        """(N + 1,) row of /series at which each study's begin."""
        return np.searchsorted(self._file.series_columns["study"], np.arange(self._file.n_studies + 1))

    @cached_property
    def _token_series(self) -> np.ndarray:
        rows = self._file.array("token/series")
        if not ascending(rows, self._file.n_series):
            raise UsageError(
                f"{self.path} is damaged: /token/series names series that are not in /series, or in another order"
            )
        return rows

    @cached_property
    def _failures(self) -> dict[str, list[Failure]]:
        """By study: what failed in a run."""
        failures = defaultdict(list)
        for failure in self._failure_rows:
            if failure.stage not in _NOT_OF_A_RUN:
                failures[failure.study].append(failure)
        return failures

    @cached_property
    def _flags(self) -> dict[str, list[str]]:
        """By study: the flags of its series."""
        flags: defaultdict[str, list[str]] = defaultdict(list)
        ids = self._file.study_columns["id"].tolist()
        columns = ("study", "flags", "slice_axis_known_by")
        series = self._file.series_columns
        for row, words, known_by in zip(*(series[name] for name in columns), strict=True):
            if found := flags_of(words, known_by):
                flags[ids[row]] += found
        return flags

    @cached_property
    def _failure_rows(self) -> list[Failure]:
        """All rows of /failure. What a run records is a defect."""
        columns = self._file.failure_columns.take()
        return [
            Failure(study, series, stage, error, hint, defect=stage != "find")
            for study, series, stage, error, hint in zip(*(columns[name] for name in FAILURE), strict=True)
        ]
