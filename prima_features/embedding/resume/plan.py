"""The plan of a run, and how much of it is finished.

The plan is written to the parts folder, for the other processes of a run and for `prima merge`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

from prima_features.embedding.file.records import Result, StudyHeader, input_hash
from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.file.write import Provenance, VectorType
from prima_features.embedding.resume.claims import Claims
from prima_features.embedding.resume.options import Rows, RunOptions
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.errors import OutputError, UsageError
from prima_features.files.disk import source_errors, state_of, write_bytes
from prima_features.files.safe import MIB, load_json, read_text
from prima_features.studies.study import Failure, Study

_MOST_BYTES = 2048 * MIB
"""Of a plan: 3 million studies with two series left out of each."""
_MOST_VALUES = 50_000_000
"""Items of all lists and objects of a plan, 15 for such a study."""


@dataclass(frozen=True)
class OutputPlan:
    """The studies of an output and how they are embedded: the same for every process that works on it."""

    provenance: Provenance
    settings: str
    """Hash of what changes the numbers (`records.settings_hash`)."""
    dtype: VectorType
    studies: tuple[str, ...]
    """Ids, in the order of the file."""
    left_out: tuple[Failure, ...]
    """What the finder left out."""
    rows: Rows = "all"
    """Which studies of the earlier output may be kept: `sound` where failed ones are tried again, `none` where
    everything is made from_scratch."""
    earlier: str = ""
    """State of the earlier output when the run began (`state_of`): what is there later was made by this run."""

    @property
    def identity(self) -> str:
        """Equal for processes that may share the work. The command may differ, by a device or a shard."""
        values = vars(self) | {"provenance": dict(vars(self.provenance))}
        del values["earlier"]
        for name in ("command", "licence", "citation"):
            del values["provenance"][name]
        return hashlib.sha256(json.dumps(values, sort_keys=True, default=vars).encode()).hexdigest()

    def may_keep(self, sound: bool, dtype: str, state: str) -> bool:
        """Whether the plan lets a study of the output be kept, if its inputs are the same.

        Args:
            sound: nothing of the study failed.
            dtype: number type of the output's vectors; half of a number is not made whole again.
            state: version of the output; one that this run has made is kept in any case.
        """
        rows = self.rows if state == self.earlier else "all"
        return dtype in ("float32", self.dtype) and (rows == "all" or (rows == "sound" and sound))

    def write(self, folder: Path) -> None:
        """Keep the plan with the parts.

        Raises:
            UsageError: there are more studies than one run can have.
            OutputError: the disk is full or the folder cannot be written to.
        """
        content = json.dumps(vars(self), default=vars).encode()
        n_values = len(self.studies) + (len(fields(Failure)) + 1) * len(
            self.left_out
        )  # as `load_json` counts
        if len(content) > _MOST_BYTES or n_values > 0.9 * _MOST_VALUES:
            raise UsageError(
                f"{len(self.studies):,} studies, with {len(self.left_out):,} series or files left out, are too many "
                "for one run: embed parts of the source to separate outputs, and combine them with prima merge"
            )
        write_bytes(_path(folder), content)


def read_plan(folder: Path) -> OutputPlan | None:
    """The plan of a parts folder; None if there is none that this release understands.

    Raises:
        OutputError: it cannot be read.
    """
    try:
        values: dict[str, Any] = load_json(read_text(_path(folder), _MOST_BYTES), values=_MOST_VALUES)
        values["provenance"] = Provenance(**values["provenance"])
        values["studies"] = tuple(values["studies"])
        values["left_out"] = tuple(Failure(**failure) for failure in values["left_out"])
        plan = OutputPlan(**values)
    except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, KeyError, AttributeError):
        return None
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be read ({error.strerror}); check the disk and run the same command again"
        ) from error
    # Ids become names of files: one with a separator would lead out of the folder.
    sound = all(
        isinstance(one, str) and "/" not in one and "\\" not in one and "\0" not in one
        for one in plan.studies
    )
    return plan if sound and plan.dtype in get_args(VectorType) and plan.rows in get_args(Rows) else None


def _path(folder: Path) -> Path:
    return folder / "plan.json"


_BY_STRICTNESS: tuple[Rows, ...] = get_args(Rows)


def agree(
    plan: OutputPlan, share: Iterable[str], options: RunOptions, parts: PartsFolder, claims: Claims
) -> OutputPlan:
    """Announce a plan, or join the processes that follow it.

    A run that was interrupted under --force or --retry-failed stays such a run when it goes on without the option. With
    the option, it begins from_scratch: the share's parts that must not be kept are deleted, unless a live process
    works on that share, which has done so already.

    Args:
        share: ids of this process's studies.

    Returns:
        The plan as it is followed, with `rows` and `earlier` of the run that goes on.

    Raises:
        UsageError: processes at work on the output follow another plan.
        OutputError: the parts folder cannot be written to.
    """
    with claims.waiting_for("start"):
        others = [other for other in claims.others() if other.plan]
        from_scratch = options.rows != "all" and not others
        if old := read_plan(parts.folder):
            plan = _continued(plan, old, from_scratch)
        for other in others:
            if other.plan != plan.identity:
                raise UsageError(
                    f"{other} is writing the same output with different studies, scans or options; wait until "
                    f"it ends, or name another output"
                )
        if not any(other.shard == str(options.shard) for other in others):
            _discard_unwanted(share, options, parts)
        plan.write(parts.folder)
        claims.announce(plan.identity, str(options.shard))
    return plan


def _continued(plan: OutputPlan, old: OutputPlan, from_scratch: bool) -> OutputPlan:
    if replace(old, rows=plan.rows).identity != plan.identity:
        return plan
    rows = max(plan.rows, old.rows, key=_BY_STRICTNESS.index)
    return replace(plan, rows=rows, earlier=plan.earlier if from_scratch else old.earlier)


def _discard_unwanted(share: Iterable[str], options: RunOptions, parts: PartsFolder) -> None:
    if options.rows == "all":
        return
    for study_id in share:
        header = parts.header(study_id)
        if header is not None and (options.force or not header.sound):
            parts.discard(study_id)


class DamagedPartError(Exception):
    """A part that was there cannot be read; its study has to be embedded again."""

    def __init__(self, study_id: str):
        super().__init__(study_id)
        self.study_id = study_id


class Finished:
    """Parts and rows that are valid for the current inputs of the studies.

    Parts are checked before the output, because the process that completes the output then deletes the parts.
    """

    def __init__(self, output: Path, studies: Mapping[str, Study], plan: OutputPlan, parts: PartsFolder):
        self._output, self._plan, self._parts = output, plan, parts
        self._studies = studies
        self._hashes: dict[str, str] = {}
        self._stored: StoredStudies | None = None

    def input_hash(self, study_id: str) -> str:
        """Hash of the study's inputs when they were first looked at.

        Raises:
            SourceError: the disk with the scans is not available.
        """
        if study_id not in self._hashes:
            self.look_again(study_id)
        return self._hashes[study_id]

    def look_again(self, study_id: str) -> bool:
        """Whether the study's inputs have changed since they were last looked at.

        Raises:
            SourceError: the disk with the scans is not available.
        """
        with source_errors():
            uses_anatomy = self._plan.provenance.uses_anatomy
            now = input_hash(self._studies[study_id], self._plan.settings, uses_anatomy)
        before = self._hashes.get(study_id, now)
        self._hashes[study_id] = now
        return now != before

    def header(self, study_id: str) -> StudyHeader | None:
        """Header of a finished study; None if it is still to be embedded. Deletes a stale part."""
        expected = self.input_hash(study_id)
        if header := self._parts.header(study_id):
            if header.input_hash == expected:
                return header
            self._parts.discard(study_id)
        stored = self._read_output()
        return self._usable(stored, study_id) if stored else None

    def results(self) -> Iterator[Result]:
        """Every study of the plan, in order.

        Raises:
            DamagedPartError: one has neither a part nor a row that can be read; its part is deleted.
        """
        stored = self._read_output()
        with stored or nullcontext():
            for study_id in self._plan.studies:
                part = self._parts.load(study_id, self.input_hash(study_id))
                if part is not None:
                    yield part
                elif stored is not None and self._usable(stored, study_id):
                    yield stored.get(study_id)
                else:
                    self._parts.discard(study_id)
                    raise DamagedPartError(study_id)

    def is_complete(self) -> bool:
        """Whether the output is what the plan asks for."""
        stored = self._read_output()
        return (
            stored is not None
            and tuple(stored.headers) == self._plan.studies
            and stored.dtype == self._plan.dtype
            and [*map(_stored_fields, stored.left_out)] == [*map(_stored_fields, self._plan.left_out)]
            and all(self._usable(stored, study_id) for study_id in self._plan.studies)
        )

    def _usable(self, stored: StoredStudies, study_id: str) -> StudyHeader | None:
        """Header of the study's row in the output, if the plan allows to keep it."""
        header = stored.headers.get(study_id)
        if header is None or header.input_hash != self.input_hash(study_id):
            return None
        return header if self._plan.may_keep(header.sound, stored.dtype, stored.state) else None

    def _read_output(self) -> StoredStudies | None:
        """The output as it is now: another process may have replaced it."""
        if (state := state_of(self._output)) and (self._stored is None or self._stored.state != state):
            self._stored = StoredStudies(self._output)
        return self._stored if state else None


def _stored_fields(failure: Failure) -> tuple[str, ...]:
    """What a file keeps of it."""
    return (failure.study, failure.series, failure.stage, failure.error, failure.hint)
