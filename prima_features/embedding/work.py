"""One process's work on an output: its share of the studies to parts, and the parts to the file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from prima_features.embedding.engine.local import Engine
from prima_features.embedding.engine.options import EngineOptions
from prima_features.embedding.file.records import FailedStudy, Failure, Head, Result
from prima_features.embedding.file.write import write_embeddings
from prima_features.embedding.record.run_record import Journal
from prima_features.embedding.resume.claims import Claims
from prima_features.embedding.resume.finished import DamagedPartError, Finished
from prima_features.embedding.resume.options import RunOptions
from prima_features.embedding.resume.parts import Parts
from prima_features.embedding.resume.plan import Plan
from prima_features.encoder import Prima
from prima_features.errors import FailedFastError, OutputError, StoppedError
from prima_features.files.outage import check_source
from prima_features.studies.study import Study

_POLL = 1.0
"""Seconds between two looks at what other processes are doing."""


class Work:
    """The work on one output, perhaps shared with other processes (see `claims`).

    Attributes:
        heads: of the share's finished studies.
        embedded: ids of the studies that this process has tried itself.

    Args:
        source: where the studies were found.
        share: ids of the studies to embed, in order.
        finished: what is done.
        on_study: told of each study of the share when it is finished, here or elsewhere.
        on_output: called when the output is complete, before the parts are deleted, with whether this process wrote it.
        stopping: asked between studies whether to end early.
        journal: keeps the record of this process's run.
    """

    def __init__(
        self,
        source: Path,
        output: Path,
        studies: Sequence[Study],
        share: Sequence[str],
        plan: Plan,
        options: RunOptions,
        claims: Claims,
        on_study: Callable[[str, Head], None],
        on_output: Callable[[bool], None],
        stopping: Callable[[], bool],
        journal: Journal,
    ):
        self.heads: dict[str, Head] = {}
        self.embedded: set[str] = set()
        self._journal, self._times, self._wrote = journal, journal.times, False
        self._source, self._output, self._plan, self._options = source, output, plan, options
        self._studies = {study.id: study for study in studies}
        self._share = share
        self._parts, self._claims = Parts.of(output), claims
        self._finished = Finished(output, studies, plan, self._parts)
        self._on_study, self._on_output, self._stopping = on_study, on_output, stopping

    def run(self, engine: Engine, model: Prima, options: EngineOptions) -> None:
        """Embed the share; where that is all, write the output, if any study succeeded, and remove the parts.

        Args:
            engine: what embeds studies with this model and these options.

        Raises:
            StoppedError: `stopping` said so.
            FailedFastError: a scan failed, and the options say to stop then.
            SourceError: the disk with the scans went away.
            OutputError: the disk is full or went away.
        """
        try:
            self._embed_share(engine, model, options)
            self._journal.save("finished")
            while self._is_to_be_written and not self._write_output():
                self._embed_share(engine, model, options)
            if self._options.shard.is_all:
                if self._is_to_be_written:
                    self._on_output(self._wrote)
                self._clear()
        except OutputError:
            # The parts folder goes when the output is complete, also under the feet of one who was slow.
            if self._parts.folder.exists() or not self._finished.is_complete():
                raise
            for study_id in self._unfinished():
                self._settle(study_id)

    @property
    def _is_to_be_written(self) -> bool:
        return self._options.shard.is_all and any(head.n_series for head in self.heads.values())

    def _unfinished(self) -> list[str]:
        return [study_id for study_id in self._share if study_id not in self.heads]

    def _embed_share(self, engine: Engine, model: Prima, options: EngineOptions) -> None:
        while waiting := self._unfinished():
            for result in engine(self._claimed(waiting), model, options, self._stopping, self._times):
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
            yield self._studies[study_id]

    def _settle(self, study_id: str) -> bool:
        """Take note of a study that is finished; False where it is not."""
        if (head := self._finished.head(study_id)) is None:
            return False
        self._note(study_id, head, here=False)
        return True

    def _keep(self, result: Result) -> None:
        """Make a part of what came out for a study."""
        changed = self._finished.look_again(result.id)
        if changed or isinstance(result, FailedStudy):
            check_source(self._source)
        if changed:
            result = FailedStudy(result.id, (_changed(result.id),))
        result = replace(result, input_hash=self._finished.input_hash(result.id))
        head = Head(result.input_hash, result.n_series, result.failures, result.flags)
        if self._options.fail_fast and not head.sound:
            raise failed_fast(next(failure for failure in head.failures if failure.defect))
        self._parts.save(result, self._studies[result.id])
        self._claims.release(result.id)
        self.embedded.add(result.id)
        self._note(result.id, head, here=True)

    def _note(self, study_id: str, head: Head, here: bool) -> None:
        self.heads[study_id] = head
        self._journal.study_done(head.n_series, here)
        self._on_study(study_id, head)

    def _write_output(self) -> bool:
        """Write the output, or wait until another process has; False where a study must be embedded again."""
        while not self._finished.is_complete():
            if self._stopping():
                raise self._stopped()
            if not self._claims.take("output"):
                time.sleep(_POLL)
                continue
            try:
                with self._times.measure("write"):
                    write_embeddings(
                        self._output,
                        self._results(),
                        self._plan.provenance,
                        self._plan.left_out,
                        self._plan.dtype,
                        scratch=self._parts.folder,
                    )
                self._wrote = True
                break
            except DamagedPartError as error:
                del self.heads[error.study_id]
                return False
            finally:
                self._claims.release("output")
        return True

    def _clear(self) -> None:
        """Remove the parts, unless there are processes that still look at them."""
        self._claims.withdraw()
        if not self._claims.others():
            self._parts.remove()

    def _results(self) -> Iterator[Result]:
        for result in self._finished.results():
            if self._stopping():
                raise self._stopped()
            yield result

    def _stopped(self) -> StoppedError:
        again = "the same command"
        if self._options.rows != "all":
            again += f" without --{'force' if self._options.force else 'retry-failed'}"
        return StoppedError(
            f"Stopped: {len(self.heads)} of {len(self._share)} studies are finished and kept in {self._parts.folder}; "
            f"run {again} again to go on"
        )


def failed_fast(failure: Failure) -> FailedFastError:
    """The error that ends a run at its first failure."""
    where = " ".join(part for part in (failure.study, failure.series) if part) or "the source"
    hint = f" ({failure.hint})" if failure.hint else ""
    return FailedFastError(
        f"Stopped at the first failure, as asked: {where}: {failure.error}{hint}; what is finished is kept"
    )


def _changed(study_id: str) -> Failure:
    return Failure(
        study_id,
        "",
        "read",
        "its files changed while they were read",
        "run again with --retry-failed when nothing writes to them any more",
    )
