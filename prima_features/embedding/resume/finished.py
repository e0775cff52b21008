"""What of a plan is finished: as a part, or as a row of the output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path

from prima_features.embedding.file.input_hash import input_hash
from prima_features.embedding.file.records import Head, Result
from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.resume.parts import Parts
from prima_features.embedding.resume.plan import Plan
from prima_features.files.disk import state_of
from prima_features.files.outage import source_errors
from prima_features.studies.study import Failure, Study


class DamagedPartError(Exception):
    """A part that was there cannot be read; its study has to be embedded again."""

    def __init__(self, study_id: str):
        super().__init__(study_id)
        self.study_id = study_id


class Finished:
    """Parts and rows that hold for the studies' inputs as they are now.

    A part is looked for before the output is, because whoever completes the output deletes the parts after it.
    """

    def __init__(self, output: Path, studies: Mapping[str, Study], plan: Plan, parts: Parts):
        self._output, self._plan, self._parts = output, plan, parts
        self._studies = studies
        self._hashes: dict[str, str] = {}
        self._stored: StoredStudies | None = None

    def input_hash(self, study_id: str) -> str:
        """Hash of the study's inputs when they were first looked at.

        Raises:
            SourceError: the disk with the scans does not answer.
        """
        if study_id not in self._hashes:
            self.look_again(study_id)
        return self._hashes[study_id]

    def look_again(self, study_id: str) -> bool:
        """Whether the study's inputs have changed since they were last looked at.

        Raises:
            SourceError: the disk with the scans does not answer.
        """
        with source_errors():
            now = input_hash(self._studies[study_id], self._plan.settings)
        before = self._hashes.get(study_id, now)
        self._hashes[study_id] = now
        return now != before

    def head(self, study_id: str) -> Head | None:
        """What is known of a finished study; None where it is still to be embedded. Deletes a stale part."""
        expected = self.input_hash(study_id)
        if head := self._parts.head(study_id):
            if head.input_hash == expected:
                return head
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
            and tuple(stored.heads) == self._plan.studies
            and stored.dtype == self._plan.dtype
            and [*map(_told, stored.left_out)] == [*map(_told, self._plan.left_out)]
            and all(self._usable(stored, study_id) for study_id in self._plan.studies)
        )

    def _usable(self, stored: StoredStudies, study_id: str) -> Head | None:
        """The study's row, where the plan lets it be kept."""
        head = stored.heads.get(study_id)
        if head is None or head.input_hash != self.input_hash(study_id):
            return None
        return head if self._plan.may_keep(head.sound, stored.dtype, stored.state) else None

    def _read_output(self) -> StoredStudies | None:
        """The output as it is now: another process may have replaced it."""
        if (state := state_of(self._output)) and (self._stored is None or self._stored.state != state):
            self._stored = StoredStudies(self._output)
        return self._stored if state else None


def _told(failure: Failure) -> tuple[str, ...]:
    """What a file keeps of it."""
    return (failure.study, failure.series, failure.stage, failure.error, failure.hint)
