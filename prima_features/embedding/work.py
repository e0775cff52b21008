"""One process's work on an output: its share of the studies to parts, and the parts to the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prima_features.embedding.companions import is_stale, write_companions
from prima_features.embedding.engine.local import Engine
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.file.records import FailedStudy, Result, StudyHeader
from prima_features.embedding.file.write import write_embeddings
from prima_features.embedding.record.ids import add_ids, keep_ids
from prima_features.embedding.record.journal import Journal
from prima_features.embedding.record.run_file import earlier_records, records_in
from prima_features.embedding.resume.claims import Claims
from prima_features.embedding.resume.options import RunOptions
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.embedding.resume.plan import DamagedPartError, Finished, OutputPlan
from prima_features.encoders.base import Encoder
from prima_features.errors import FailedFastError, OutputError, StoppedError
from prima_features.files.disk import check_source
from prima_features.studies import Pseudonyms
from prima_features.studies.study import Failure, Study

_POLL = 1.0
"""Seconds between two looks at what other processes are doing."""


@dataclass(frozen=True)
class Job:
    """What one process is to do for an output."""

    source: Path
    """Source of the studies."""
    output: Path
    studies: Mapping[str, Study]
    """All studies of the output by their ids, in the order of the file."""
    share: tuple[str, ...]
    """Ids of the studies that this process embeds, in order."""
    plan: OutputPlan
    options: RunOptions
    pseudonyms: Pseudonyms | None = None
    """What studies from DICOM are called; None for other sources."""

    @property
    def parts(self) -> PartsFolder:
        """Where finished studies wait until the output is complete."""
        return PartsFolder.of(self.output)


@dataclass(frozen=True)
class StudyDone:
    """Passed on after each study, for a progress display."""

    id: str
    n_series: int
    """Series embedded; 0 if the study failed."""
    failures: tuple[Failure, ...]
    done: int
    total: int


class Work:
    """One process's work on an output, perhaps shared with other processes (see `resume.claims`).

    Attributes:
        headers: of the share's finished studies.
        embedded: ids of the studies that this process has tried itself.

    Args:
        job: what to do.
        claims: which studies other processes work on.
        journal: keeps the record of this process's run.
        stopping: asked between studies whether to end early.
        on_study: called after each study of the share that is finished, here or elsewhere.
    """

    def __init__(
        self,
        job: Job,
        claims: Claims,
        journal: Journal,
        stopping: Callable[[], bool],
        on_study: Callable[[StudyDone], None],
    ):
        self.headers: dict[str, StudyHeader] = {}
        self.embedded: set[str] = set()
        self._damaged: set[str] = set()
        self._job, self._claims, self._journal = job, claims, journal
        self._times, self._parts, self._wrote = journal.times, job.parts, False
        self._finished = Finished(job.output, job.studies, job.plan, job.parts)
        self._stopping, self._on_study = stopping, on_study

    def run(self, engine: Engine, encoder: Encoder, options: EngineOptions) -> None:
        """Embed the share. If it is all studies, write the output, if any study succeeded.

        Args:
            engine: embeds studies with this encoder and these options.

        Raises:
            StoppedError: `stopping` returned True.
            FailedFastError: a scan failed, and the options say to stop then.
            SourceError: the disk with the scans is not available.
            OutputError: the disk is full or not available.
        """
        try:
            self._embed_share(engine, encoder, options)
            self._journal.save("finished")
            while self._is_to_be_written and not self._write_output():
                self._embed_share(engine, encoder, options)
            if self._is_to_be_written:
                self._write_companions(options.pictures)
        except OutputError:
            # The parts folder goes when the output is complete, also under the feet of one who was slow.
            if self._parts.folder.exists() or not self._finished.is_complete():
                raise
            for study_id in self._unfinished():
                self._settle(study_id)

    @property
    def _is_to_be_written(self) -> bool:
        return self._job.options.shard.is_all and any(header.n_series for header in self.headers.values())

    def _unfinished(self) -> list[str]:
        return [study_id for study_id in self._job.share if study_id not in self.headers]

    def _embed_share(self, engine: Engine, encoder: Encoder, options: EngineOptions) -> None:
        while waiting := self._unfinished():
            for result in engine(self._claimed(waiting), encoder, options, self._stopping, self._times):
                with self._times.measure("write"):
                    self._keep(result)
            left = self._unfinished()
            if left and self._stopping():
                raise self._stopped()
            if len(left) == len(waiting):  # others are at them
                time.sleep(_POLL)

    def _claimed(self, waiting: Sequence[str]) -> Iterator[Study]:
        """The studies that nobody has finished or is at, claimed one by one as they are asked for."""
        for study_id in waiting:
            if self._stopping():
                return
            if self._settle(study_id) or not self._claims.take(study_id):
                continue
            if self._settle(study_id):  # finished by another between the look and the claim
                self._claims.release(study_id)
                continue
            yield self._job.studies[study_id]

    def _settle(self, study_id: str) -> bool:
        """Count a study if it is finished; False if it is not."""
        if (header := self._finished.header(study_id)) is None:
            return False
        self._note(study_id, header, here=False)
        return True

    def _keep(self, result: Result) -> None:
        """Save the result of a study as a part."""
        changed = self._finished.look_again(result.id)
        if changed or isinstance(result, FailedStudy):
            check_source(self._job.source)
        if changed:
            result = FailedStudy(result.id, (_changed(result.id),))
        result = replace(result, input_hash=self._finished.input_hash(result.id))
        header = StudyHeader(result.input_hash, result.n_series, result.failures, result.flags)
        if self._job.options.fail_fast and not header.sound:
            raise failed_fast(next(failure for failure in header.failures if failure.defect))
        self._parts.save(result, self._job.studies[result.id], self._job.plan.provenance.uses_anatomy)
        self._claims.release(result.id)
        self.embedded.add(result.id)
        self._note(result.id, header, here=True)

    def _note(self, study_id: str, header: StudyHeader, here: bool) -> None:
        self.headers[study_id] = header
        self._journal.study_done(header.n_series, here)
        self._on_study(
            StudyDone(study_id, header.n_series, header.failures, len(self.headers), len(self._job.share))
        )

    def _write_output(self) -> bool:
        """Write the output, or wait until another process has; False if a study must be embedded again."""
        while not self._finished.is_complete():
            if self._stopping():
                raise self._stopped()
            if not self._claims.take("output"):
                time.sleep(_POLL)
                continue
            try:
                with self._times.measure("write"):
                    write_embeddings(
                        self._job.output,
                        self._results(),
                        self._job.plan.provenance,
                        self._job.plan.left_out,
                        self._job.plan.dtype,
                        scratch=self._parts.folder,
                    )
                self._wrote = True
                break
            except DamagedPartError as error:
                if error.study_id in self._damaged:
                    raise OutputError(
                        f"The part of {error.study_id} in {self._parts.folder} cannot be read back although it was "
                        "written again: check the disk, and report the problem if it is sound"
                    ) from error
                self._damaged.add(error.study_id)
                del self.headers[error.study_id]
                return False
            finally:
                self._claims.release("output")
        return True

    def _write_companions(self, pictures: bool) -> None:
        """Write the files next to a complete output, if this process wrote it or nobody else is left to."""
        job = self._job
        if self._wrote and job.pseudonyms is not None:
            with self._claims.waiting_for("ids"):
                add_ids(job.output, job.studies.values(), job.pseudonyms, scratch=self._parts.folder)
                keep_ids(job.output, job.plan.studies, scratch=self._parts.folder)
        if not (self._wrote or (is_stale(job.output, job.options.report) and not self._claims.others())):
            return
        self._journal.save("finished")
        records = records_in(self._parts.folder, job.plan.settings)
        if job.plan.earlier and job.plan.rows != "none":
            records += earlier_records(job.output, job.plan.settings)
        write_companions(
            job.output,
            records,
            job.plan.left_out
            + tuple(failure for header in self.headers.values() for failure in header.failures),
            parts=[self._parts.folder],
            report=job.options.report,
            pictures=pictures,
        )

    def clear(self) -> None:
        """Remove the parts if the share is all studies, unless other processes still use them.

        Nothing may be written to the parts folder afterwards: another process may be removing it.
        """
        if self._job.options.shard.is_all:
            self._claims.end(self._parts.remove)

    def _results(self) -> Iterator[Result]:
        for result in self._finished.results():
            if self._stopping():
                raise self._stopped()
            yield result

    def _stopped(self) -> StoppedError:
        again = "the same command"
        if self._job.options.rows != "all":
            again += f" without --{'force' if self._job.options.force else 'retry-failed'}"
        return StoppedError(
            f"Stopped: {len(self.headers)} of {len(self._job.share)} studies are finished and kept in "
            f"{self._parts.folder}; run {again} again to continue"
        )


def failed_fast(failure: Failure) -> FailedFastError:
    """The error that ends a run at its first failure."""
    where = " ".join(part for part in (failure.study, failure.series) if part) or "the source"
    hint = f" ({failure.hint})" if failure.hint else ""
    return FailedFastError(
        f"Stopped at the first failure (--fail-fast): {where}: {failure.error}{hint}; finished work is kept"
    )


def _changed(study_id: str) -> Failure:
    return Failure(
        study_id,
        "",
        "read",
        "its files changed while they were read",
        "run again with --retry-failed once no process writes to them",
    )
