"""`embed()`: from a source on disk to one embeddings file."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from prima_features.embedding.engine import EngineOptions, FailedStudy, embed_studies
from prima_features.embedding.ids import ids_path, load_pseudonyms, write_ids
from prima_features.embedding.parts import Parts, input_hash
from prima_features.embedding.read import Embeddings
from prima_features.embedding.records import EmbeddedStudy, Failure
from prima_features.embedding.write import Provenance, VectorType, write_embeddings
from prima_features.errors import NothingUsableError, UsageError
from prima_features.studies import FindOptions, LeftOut, Study, find
from prima_features.weights import DEFAULT_MODEL, PrimaModel


@dataclass(frozen=True)
class StudyDone:
    """Told after each study, for a progress display."""

    id: str
    n_series: int
    """Series embedded; 0 where the study failed."""
    failures: tuple[Failure, ...]
    done: int
    total: int


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    output: Path
    format: str
    n_studies: int
    n_series: int
    n_resumed: int
    """Studies taken over from an interrupted run."""
    failures: tuple[Failure, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """True where nothing was left out but what a rule leaves out by design."""
        return not any(failure.defect for failure in self.failures)


def embed(
    source: str | Path,
    output: str | Path,
    model: PrimaModel | str = DEFAULT_MODEL,
    find_options: FindOptions = FindOptions(),
    engine_options: EngineOptions = EngineOptions(),
    description: str | None = None,
    dtype: VectorType = "float32",
    keep_patient_id: bool = False,
    command: str = "prima_features.embed()",
    on_study: Callable[[StudyDone], None] = lambda done: None,
) -> Summary:
    """Embed every study of a source into one HDF5 file.

    The file appears when it is complete, by rename. Finished studies wait in `OUTPUT.h5.parts/`; an
    interrupted run takes them up again where model, preprocessing and inputs are still the same.

    Args:
        source: a BIDS dataset, a DICOM tree, a NIfTI file or folder, or a manifest table.
        output: the file to write; an embeddings file that is there is replaced at the end.
        model: a loaded model, or its name, directory or Hub id.
        find_options: what to look for in the source, and which subjects.
        description: study description that the model reads, in place of the scan's own.
        dtype: number type of the stored vectors.
        keep_patient_id: store DICOM PatientIDs in place of pseudonyms.
        command: recorded in the file; left out for DICOM sources, since paths can carry names.
        on_study: called after each study.

    Raises:
        UsageError: the source does not exist, the output's folder is missing or read-only, the output is some
            other file, or the model cannot be loaded.
        NothingUsableError: no study could be embedded; nothing is written.
        OutputError: the disk is full. What is finished stays in the parts folder.
    """
    started = time.monotonic()
    source, output = Path(source), Path(output)
    check_output(output)
    pseudonyms = load_pseudonyms(output, keep_patient_id)
    found = find(source, find_options, pseudonyms)
    if isinstance(model, str):
        model = PrimaModel.from_pretrained(model)
    studies = tuple(
        replace(study, description=description) if description else study for study in found.studies
    )
    left_out = tuple(_as_failure(item) for item in found.left_out)
    if not studies:
        raise _nothing_usable(source, left_out)

    is_dicom = found.format == "dicom"
    ids_were_there = ids_path(output).exists()
    if is_dicom:
        write_ids(output, studies, pseudonyms)
    run = _Run(model, engine_options, Parts(output), on_study)
    run.embed(studies)
    failures = left_out + tuple(run.failures)
    if not run.n_studies:
        run.parts.remove()
        if is_dicom and not ids_were_there:
            ids_path(output).unlink()
        raise _nothing_usable(source, failures)
    provenance = replace(run.provenance, command="" if is_dicom else command)
    write_embeddings(output, run.finished(studies), provenance, left_out + tuple(run.failed), dtype)
    run.parts.remove()
    return Summary(
        output=output,
        format=found.format,
        n_studies=run.n_studies,
        n_series=run.n_series,
        n_resumed=run.n_resumed,
        failures=failures,
        seconds=time.monotonic() - started,
    )


def check_output(output: Path) -> None:
    """Raise `UsageError` where the output cannot be written, before any work is done."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder; name a file in it, such as {output / 'embeddings.h5'}")
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} does not exist; create it or name another")
    if not os.access(output.parent, os.W_OK | os.X_OK):
        raise UsageError(f"The folder {output.parent} cannot be written to; choose another for {output.name}")
    if output.exists():
        try:
            Embeddings(output)
        except UsageError as error:
            raise UsageError(f"{output} exists and is not an embeddings file; name another output") from error


class _Run:
    """Takes studies to parts, and keeps count."""

    def __init__(
        self,
        model: PrimaModel,
        options: EngineOptions,
        parts: Parts,
        on_study: Callable[[StudyDone], None],
    ):
        self.model, self.options, self.parts, self.on_study = model, options, parts, on_study
        preprocessing = asdict(model.config.preprocessing) | {"slice_axis": options.read.slice_axis}
        self.provenance = Provenance(model.name, model.revision, model.sha256, preprocessing)
        self.n_studies = self.n_series = self.n_resumed = 0
        self.failures: list[Failure] = []
        """Of all studies, those in parts too."""
        self.failed: list[Failure] = []
        """Of studies that nothing could be made of, which have no part."""
        self._digests: dict[str, str] = {}

    def embed(self, studies: Sequence[Study]) -> None:
        """Make a part of each study that has none yet, or one of other inputs."""
        self.parts.create()
        self._digests = {study.id: self._digest(study) for study in studies}
        waiting = []
        for study in studies:
            if (part := self.parts.load(study.id, self._digests[study.id])) is not None:
                self.n_resumed += 1
                self._count(part, len(studies))
            else:
                waiting.append(study)
        for result in embed_studies(waiting, self.model, self.options):
            if isinstance(result, EmbeddedStudy):
                self.parts.save(result, self._digests[result.id])
            self._count(result, len(studies))

    def finished(self, studies: Sequence[Study]) -> Iterator[EmbeddedStudy]:
        """The parts, in the order of the studies."""
        for study in studies:
            if (part := self.parts.load(study.id, self._digests[study.id])) is not None:
                yield part

    def _digest(self, study: Study) -> str:
        settings = asdict(self.provenance) | asdict(self.options.read) | {"tokens": self.options.keep_tokens}
        return input_hash(study, settings)

    def _count(self, result: EmbeddedStudy | FailedStudy, total: int) -> None:
        n_series = 0
        if isinstance(result, EmbeddedStudy):
            n_series = result.n_series
            self.n_studies += 1
            self.n_series += n_series
        else:
            self.failed += result.failures
        self.failures += result.failures
        done = self.n_studies + len({failure.study for failure in self.failed})
        self.on_study(StudyDone(result.id, n_series, result.failures, done, total))


def _as_failure(item: LeftOut) -> Failure:
    return Failure(item.study, item.what, "find", item.reason, item.hint, item.defect)


def _nothing_usable(source: Path, failures: Sequence[Failure]) -> NothingUsableError:
    defects = [failure for failure in failures if failure.defect]
    reasons = Counter(failure.error for failure in defects or failures).most_common(3)
    why = "; ".join(f"{reason} ({count} times)" if count > 1 else reason for reason, count in reasons)
    return NothingUsableError(
        f"Nothing in {source} could be embedded{': ' + why if why else ''}", tuple(failures)
    )
