"""One process's work on outputs: its share of the studies to parts, and the parts to the files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from prima_features.embedding.companions import is_stale, write_companions
from prima_features.embedding.engine.local import Engine
from prima_features.embedding.engine.options import EngineOptions, StageTimes
from prima_features.embedding.engine.prepare import StudyRequest
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
    label: str = ""
    """Distinguishes the output in messages from others of the run; empty if it is the only one."""

    @property
    def parts(self) -> PartsFolder:
        """Where finished studies wait until the output is complete."""
        return PartsFolder.of(self.output)


@dataclass(frozen=True)
class StudyDone:
    """Passed on after each study of each output, for a progress display."""

    output: Path
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
        self.job, self._claims, self._journal = job, claims, journal
        self._times, self._parts, self._wrote = journal.times, job.parts, False
        self._finished = Finished(job.output, job.studies, job.plan, job.parts)
        self._stopping, self._on_study = stopping, on_study

    @property
    def times(self) -> StageTimes:
        """Seconds per stage; the engine adds to it."""
        return self._times

    @property
    def unfinished(self) -> list[str]:
        """Ids of the share's studies that are still to be embedded."""
        return [study_id for study_id in self.job.share if study_id not in self.headers]

    @contextmanager
    def _unless_complete(self) -> Iterator[None]:
        """Ignore that the parts folder is gone if the output is complete.

        The other processes of a run may have taken this one for dead, finished, and removed the folder.

        Raises:
            OutputError: the disk is full or not available.
        """
        try:
            yield
        except OutputError:
            if self._parts.folder.exists() or not self._finished.is_complete():
                raise
            for study_id in self.unfinished:
                self._settle(study_id)

    def claim(self, study_id: str) -> bool:
        """Whether this process is to embed a study: it is neither finished nor claimed by another process.

        Raises:
            SourceError: the disk with the scans is not available.
            OutputError: the disk is full or not available.
        """
        if study_id in self.headers:
            return False
        with self._unless_complete():
            if self._settle(study_id) or not self._claims.take(study_id):
                return False
            if not self._settle(study_id):
                return True
            self._claims.release(study_id)  # finished by another between the look and the claim
        return False

    def keep(self, result: Result) -> None:
        """Save the result of a claimed study.

        Raises:
            FailedFastError: a scan failed, and the options say to stop then.
            SourceError: the disk with the scans is not available.
            OutputError: the disk is full or not available.
        """
        if result.id in self.headers:  # others have completed the output
            return
        with self._times.measure("write"), self._unless_complete():
            self._keep(result)

    def save_record(self) -> None:
        """Save the record of this run, for the process that writes the output.

        Raises:
            OutputError: the disk is full or not available.
        """
        with self._unless_complete():
            self._journal.save("finished")

    def finish(self, pictures: bool) -> bool:
        """If the share is all studies and any succeeded, write the output and the files next to it.

        Args:
            pictures: include pictures of the series in the HTML report.

        Returns:
            False if a part is damaged and its study must be embedded again.

        Raises:
            StoppedError: `stopping` returned True.
            SourceError: the disk with the scans is not available.
            OutputError: the disk is full or not available.
        """
        if not (self.job.options.shard.is_all and any(header.n_series for header in self.headers.values())):
            return True
        with self._unless_complete():
            if not self._write_output():
                return False
            self._write_companions(pictures)
        return True

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
            check_source(self.job.source)
        if changed:
            result = FailedStudy(result.id, (_changed(result.id),))
        result = replace(result, input_hash=self._finished.input_hash(result.id))
        header = StudyHeader(result.input_hash, result.n_series, result.failures, result.flags)
        if self.job.options.fail_fast and not header.sound:
            defect = next(failure for failure in header.failures if failure.defect)
            raise failed_fast(defect, self.job.label)
        self._parts.save(result, self.job.studies[result.id], self.job.plan.provenance.uses_anatomy)
        self._claims.release(result.id)
        self.embedded.add(result.id)
        self._note(result.id, header, here=True)

    def _note(self, study_id: str, header: StudyHeader, here: bool) -> None:
        self.headers[study_id] = header
        self._journal.study_done(header.n_series, here)
        self._on_study(
            StudyDone(
                self.job.output,
                study_id,
                header.n_series,
                header.failures,
                len(self.headers),
                len(self.job.share),
            )
        )

    def _write_output(self) -> bool:
        """Write the output, or wait until another process has; False if a study must be embedded again."""
        while not self._finished.is_complete():
            if self._stopping():
                raise stopped([self])
            if not self._claims.take("output"):
                time.sleep(_POLL)
                continue
            try:
                with self._times.measure("write"):
                    write_embeddings(
                        self.job.output,
                        self._results(),
                        self.job.plan.provenance,
                        self.job.plan.left_out,
                        self.job.plan.dtype,
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
        job = self.job
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
        if self.job.options.shard.is_all:
            self._claims.end(self._parts.remove)

    def _results(self) -> Iterator[Result]:
        for result in self._finished.results():
            if self._stopping():
                raise stopped([self])
            yield result


def embed_outputs(
    works: Sequence[Work],
    engine: Engine,
    encoders: Sequence[Encoder],
    options: EngineOptions,
    stopping: Callable[[], bool],
) -> None:
    """Embed the shares of the outputs of one run, and write the outputs that are complete.

    Each scan is read once for all outputs that still need it.

    Args:
        works: one per output, all with the same studies and shares.
        engine: embeds studies with these encoders and options.
        encoders: of each output.
        stopping: asked between studies whether to end early.

    Raises:
        StoppedError: `stopping` returned True.
        FailedFastError: a scan failed, and the options say to stop then.
        SourceError: the disk with the scans is not available.
        OutputError: the disk is full or not available.
    """
    unwritten = works
    while unwritten:
        _embed_shares(works, engine, encoders, options, stopping)
        for work in works:
            work.save_record()
        unwritten = [work for work in unwritten if not work.finish(options.pictures)]


def _embed_shares(
    works: Sequence[Work],
    engine: Engine,
    encoders: Sequence[Encoder],
    options: EngineOptions,
    stopping: Callable[[], bool],
) -> None:
    while before := [study_id for work in works for study_id in work.unfinished]:
        requests = _claimed(works, stopping)
        if (first := next(requests, None)) is not None:
            times = [work.times for work in works]
            for number, result in engine(chain([first], requests), encoders, options, stopping, times):
                works[number].keep(result)
        left = [study_id for work in works for study_id in work.unfinished]
        if left and stopping():
            raise stopped(works)
        if len(left) == len(before):  # other processes have claimed them
            time.sleep(_POLL)


def _claimed(works: Sequence[Work], stopping: Callable[[], bool]) -> Iterator[StudyRequest]:
    """The studies that an output still needs, claimed one by one as they are asked for."""
    job = works[0].job
    for study_id in job.share:
        if stopping():
            return
        if wanted := tuple(number for number, work in enumerate(works) if work.claim(study_id)):
            yield StudyRequest(job.studies[study_id], wanted)


def stopped(works: Sequence[Work]) -> StoppedError:
    """The error that ends a run which was asked to stop."""
    options = works[0].job.options
    again = "the same command"
    if options.rows != "all":
        again += f" without --{'force' if options.force else 'retry-failed'}"
    counts = [
        f"{len(work.headers)} of {len(work.job.share)} {'in' if i else 'studies are finished and kept in'} "
        f"{work.job.parts.folder}"
        for i, work in enumerate(works)
    ]
    return StoppedError(f"Stopped: {', '.join(counts)}; run {again} again to continue")


def failed_fast(failure: Failure, label: str = "") -> FailedFastError:
    """The error that ends a run at its first failure.

    Args:
        label: of the output (`Job.label`).
    """
    where = " ".join(part for part in (failure.study, failure.series) if part) or "the source"
    hint = f" ({failure.hint})" if failure.hint else ""
    of = f" with {label}" if label else ""
    return FailedFastError(
        f"Stopped at the first failure (--fail-fast): {where}{of}: {failure.error}{hint}; finished work is kept"
    )


def _changed(study_id: str) -> Failure:
    return Failure(
        study_id,
        "",
        "read",
        "its files changed while they were read",
        "run again with --retry-failed once no process writes to them",
    )
