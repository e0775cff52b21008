"""`embed()`: from a source on disk to an embeddings file, and `embed_several()`: to one file per model."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch

from prima_features.embedding.engine.device import computation
from prima_features.embedding.engine.local import Engine, embed_requests
from prima_features.embedding.engine.options import EngineOptions, StageTimes
from prima_features.embedding.file.records import settings_hash
from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.file.write import Provenance, VectorType
from prima_features.embedding.record.ids import (
    Rows,
    add_ids,
    agree_on_pseudonyms,
    check_key,
    earlier_pseudonyms,
    forget_key,
    ids_path,
    write_ids,
)
from prima_features.embedding.record.journal import Journal, Record, options_record
from prima_features.embedding.record.output import check_output, index_path, report_path
from prima_features.embedding.resume.claims import Claims
from prima_features.embedding.resume.options import RunOptions, Shard
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.embedding.resume.plan import OutputPlan, agree
from prima_features.embedding.work import Job, StudyDone, Work, embed_outputs, failed_fast
from prima_features.encoders.base import Encoder, EncoderInfo
from prima_features.encoders.checks import checked_info
from prima_features.encoders.registry import load_encoder
from prima_features.errors import NothingUsableError, UsageError
from prima_features.files.disk import state_of
from prima_features.files.text import MODEL_CHARACTERS, bounded, model_text
from prima_features.models import DEFAULT_MODEL
from prima_features.studies import FindOptions, Found, Pseudonyms, find, format_of
from prima_features.studies.study import Failure
from prima_features.volumes.read import READER_VERSION
from prima_features.wording import count

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbedSummary:
    """Result of `embed`."""

    output: Path
    format: str
    shard: Shard
    """The share of the studies that this run processed. The output exists only if that is all of them."""
    n_studies: int
    """Studies of the share with at least one embedded series."""
    n_series: int
    """Their series."""
    n_kept: int
    """Studies that were not embedded by this run: finished before, or by another process."""
    failures: tuple[Failure, ...]
    seconds: float
    """Duration of the run."""
    times: StageTimes
    """Seconds per stage in this process; computing, reading and writing overlap."""
    report: Path | None = None
    """The HTML report, if it was written."""
    flags: dict[str, int] = field(default_factory=dict)
    """Number of series per flag, including `slice-axis-guessed`; most frequent first."""

    @property
    def is_empty(self) -> bool:
        """True if no study could be embedded, so the output was not written. `embed` raises an error instead."""
        return self.n_studies == 0 and self.shard.is_all

    @property
    def because(self) -> str:
        """The most frequent reasons of its failures, after a colon; empty if there are none."""
        return _because(self.failures)

    @property
    def complete(self) -> bool:
        """True if nothing failed; series that a rule excludes by design do not count."""
        return not any(failure.defect for failure in self.failures)


def embed(
    source: str | Path,
    output: str | Path,
    model: Encoder | str = DEFAULT_MODEL,
    find_options: FindOptions = FindOptions(),
    engine_options: EngineOptions = EngineOptions(),
    run_options: RunOptions = RunOptions(),
    engine: Engine = embed_requests,
    description: str | None = None,
    dtype: VectorType = "float32",
    keep_patient_id: bool = False,
    command: str = "prima_features.embed()",
    on_study: Callable[[StudyDone], None] = lambda done: None,
    stoppable: AbstractContextManager[Callable[[], bool]] = nullcontext(lambda: False),
) -> EmbedSummary:
    """Embed every study of a source into one HDF5 file, with `OUTPUT.run.json` and `OUTPUT.report.html` next to it.

    The file appears, by rename, when it is complete. Until then finished studies are kept in `OUTPUT.h5.parts/`. Those
    studies and the studies of an earlier output are reused if model, preprocessing and inputs are unchanged. Several
    processes may work on the same output.

    Args:
        source: a BIDS dataset, a DICOM tree, a NIfTI file or folder, or a manifest table.
        output: the file to write; an existing embeddings file is replaced at the end.
        model: a loaded model of any encoder, or its name, directory or Hub id.
        find_options: formats, subjects and series to include.
        engine_options: devices, precision, batch size, reader processes, and how scans are read.
        run_options: the share of the studies to embed, and the treatment of failed and finished studies.
        engine: reads and encodes the studies, on this machine or on a Ray cluster.
        description: study description for the model, instead of the one in the scan.
        dtype: number type of the stored vectors.
        keep_patient_id: store DICOM PatientIDs instead of pseudonyms.
        command: recorded in the file; left out for DICOM sources, because paths can contain names.
        on_study: called after each study.
        stoppable: context manager that is entered while studies are embedded. It returns a function that is called
            between studies; the run stops if it returns True.

    Returns:
        Counts, failures and times of the run.

    Raises:
        UsageError: the source does not exist, the output's folder is missing or read-only, the output is another kind
            of file or in use by another run, or the model cannot be loaded.
        NothingUsableError: no study could be embedded; nothing is written.
        StoppedError, FailedFastError: the run was stopped, or a scan failed with `fail_fast`.
        SourceError, OutputError: a disk is full or not available. Finished studies are kept in the parts folder.
    """
    (summary,) = embed_several(
        source,
        {Path(output): model},
        find_options,
        engine_options,
        run_options,
        engine,
        description,
        dtype,
        keep_patient_id,
        command,
        on_study,
        stoppable,
    )
    return summary


def embed_several(
    source: str | Path,
    models: Mapping[Path, Encoder | str],
    find_options: FindOptions = FindOptions(),
    engine_options: EngineOptions = EngineOptions(),
    run_options: RunOptions = RunOptions(),
    engine: Engine = embed_requests,
    description: str | None = None,
    dtype: VectorType = "float32",
    keep_patient_id: bool = False,
    command: str = "prima_features.embed_several()",
    on_study: Callable[[StudyDone], None] = lambda done: None,
    stoppable: AbstractContextManager[Callable[[], bool]] = nullcontext(lambda: False),
) -> list[EmbedSummary]:
    """Embed every study of a source with several models, reading each scan once.

    Each output is the same as that of `embed` with its model, and is resumed by either function. The outputs of a DICOM
    source have the same pseudonyms.

    Args:
        models: the model of each output.
        **options: as in `embed`.

    Returns:
        Counts, failures and times for each output, in order. If a model could embed no study, its output is not
        written, and `EmbedSummary.is_empty` is True.

    Raises:
        UsageError: as in `embed`, or the pseudonyms of existing outputs differ.
        NothingUsableError: no study could be embedded with any of the models; nothing is written.
        StoppedError, FailedFastError, SourceError, OutputError: as in `embed`. Finished studies of all outputs are
            kept.
    """
    started = time.monotonic()
    source, outputs = Path(source), list(models)
    description = _checked_description(description or "")
    for output in outputs:
        check_output(output, [source], run_options.report)
    with _finding(source, outputs, find_options, keep_patient_id) as (found, pseudonyms):
        left_out = _left_out(source, found, run_options)
        encoders = [load_encoder(one) if isinstance(one, str) else one for one in models.values()]
        _check_encoders(encoders, found, engine_options)
    studies = {
        study.id: replace(study, description=description or study.description) for study in found.studies
    }
    share = tuple(study.id for study in run_options.shard.select(list(studies.values())))
    command = "" if found.format == "dicom" else bounded(command)
    times: list[StageTimes] = []
    with ExitStack() as held:
        jobs, claims = [], []
        for output, encoder in zip(outputs, encoders, strict=True):
            ids = tuple(studies)
            plan = _plan(encoder, output, ids, left_out, engine_options, run_options, dtype, command)
            label = plan.provenance.model if len(outputs) > 1 else ""
            jobs.append(Job(source, output, studies, share, plan, run_options, pseudonyms, label))
            claims.append(held.enter_context(Claims(jobs[-1].parts.folder)))
        stopping = held.enter_context(stoppable)
        with ExitStack() as recording:
            journals = []
            for i, job in enumerate(jobs):
                options = options_record(
                    found, find_options, engine_options, run_options, encoders[i].device, dtype
                )
                facts = _facts(job, found, checked_info(encoders[i]).unit, options, len(jobs))
                journal = Journal(job.parts.folder, job.plan.settings, facts, times)
                journals.append(recording.enter_context(journal))
                jobs[i] = replace(job, plan=agree(job.plan, share, run_options, job.parts, claims[i]))
            earlier_ids = list(map(_add_ids, jobs, claims))
            for job in jobs:
                _warn_of_dropped(job)
            works = [
                Work(job, claimed, journal, stopping, on_study)
                for job, claimed, journal in zip(jobs, claims, journals, strict=True)
            ]
            embed_outputs(works, engine, encoders, engine_options, stopping)
        for work in works:
            work.clear()
    seconds = time.monotonic() - started
    summaries = [_summary(work, found.format, seconds) for work in works]
    _conclude(source, summaries, earlier_ids)
    return summaries


def _check_encoders(encoders: Sequence[Encoder], found: Found, options: EngineOptions) -> None:
    """Check that encoders can be used with the options, and log warnings about masks and transforms if one uses them.

    Raises:
        UsageError: one has no tokens to store.
    """
    infos = list(map(checked_info, encoders))
    for info in infos:
        if options.keep_tokens and info.widths.token is None:
            raise UsageError(
                f"The model {info.name} has no tokens to store (its encoder is {info.encoder!r}): "
                "use --level study"
            )
    if any(info.uses_anatomy for info in infos):
        for warning in found.anatomy_warnings:
            logger.warning("%s", warning)


def _facts(job: Job, found: Found, unit: str, options: Record, n_models: int) -> Record:
    """What the record of the run states of an output."""
    anatomy_warnings = found.anatomy_warnings if job.plan.provenance.uses_anatomy else ()
    return {
        "command": job.plan.provenance.command,
        "shard": str(job.options.shard),
        "unit": unit,
        "options": options | ({"models": n_models} if n_models > 1 else {}),
        "warnings": [*found.warnings, *anatomy_warnings],
    }


def _conclude(source: Path, summaries: Sequence[EmbedSummary], earlier_ids: Sequence[Rows]) -> None:
    """Restore the identity tables of outputs that were not written, and warn of unknown orientations.

    Args:
        earlier_ids: rows that the identity table of each output had before.

    Raises:
        NothingUsableError: no output was written.
    """
    for summary, earlier in zip(summaries, earlier_ids, strict=True):
        if summary.is_empty and summary.format == "dicom":
            write_ids(summary.output, earlier)
    if all(summary.is_empty for summary in summaries):
        raise _nothing_usable(source, [failure for summary in summaries for failure in summary.failures])
    if n_unknown := max(summary.flags.get("orientation-unknown", 0) for summary in summaries):
        logger.warning(
            "%s: the file does not say which side is left, and the image may be mirrored or turned (flag "
            "orientation-unknown); check the orientation, or correct the header",
            count(n_unknown, "series", "series"),
        )


def _left_out(source: Path, found: Found, options: RunOptions) -> tuple[Failure, ...]:
    """What the finder left out. Its warnings are logged.

    Raises:
        NothingUsableError: it found no study.
        FailedFastError: something is wrong with the data, and the options say to stop then.
    """
    for warning in found.warnings:
        logger.warning("%s", warning)
    if not found.studies:
        raise _nothing_usable(source, found.left_out)
    if options.fail_fast and (defect := next((item for item in found.left_out if item.defect), None)):
        raise failed_fast(defect)
    return found.left_out


def _add_ids(job: Job, claims: Claims) -> Rows:
    """Add the job's studies to the table of identities; returns the rows that it had before."""
    if job.pseudonyms is None:
        return {}
    with claims.waiting_for("ids"):
        return add_ids(job.output, job.studies.values(), job.pseudonyms, scratch=job.parts.folder)


def _plan(
    encoder: Encoder,
    output: Path,
    studies: tuple[str, ...],
    left_out: tuple[Failure, ...],
    engine_options: EngineOptions,
    run_options: RunOptions,
    dtype: VectorType,
    command: str,
) -> OutputPlan:
    provenance = _provenance(checked_info(encoder), engine_options, command)
    settings = _settings(encoder, provenance, engine_options)
    return OutputPlan(provenance, settings, dtype, studies, left_out, run_options.rows, state_of(output))


def _summary(work: Work, format: str, seconds: float) -> EmbedSummary:
    job = work.job
    headers = [work.headers[study_id] for study_id in job.share]
    return EmbedSummary(
        output=job.output,
        format=format,
        shard=job.options.shard,
        n_studies=sum(header.n_series > 0 for header in headers),
        n_series=sum(header.n_series for header in headers),
        n_kept=len(set(job.share) - work.embedded),
        failures=job.plan.left_out + tuple(failure for header in headers for failure in header.failures),
        seconds=seconds,
        times=work.times,
        report=_page(job.output, job.options),
        flags=dict(Counter(flag for header in headers for flag in header.flags).most_common()),
    )


def _checked_description(text: str) -> str:
    """A description from the user, as the model reads it.

    Raises:
        UsageError: it is too long.
    """
    if len(text) > MODEL_CHARACTERS:
        raise UsageError(
            f"The study description has {len(text):,} characters, and the model reads at most {MODEL_CHARACTERS:,}: "
            "shorten it"
        )
    return model_text(text)


@contextmanager
def _finding(
    source: Path, outputs: Sequence[Path], options: FindOptions, keep_patient_id: bool
) -> Iterator[tuple[Found, Pseudonyms | None]]:
    """What is found, and for DICOM the pseudonyms, which are the same for all outputs.

    A block that fails leaves no trace of new ones, unless an index needs their key: the search of a large tree is not
    lost if the run is stopped before its first study.
    """
    pseudonyms = earlier_pseudonyms(outputs, keep_patient_id)
    format = format_of(source, options)
    if format != "dicom":
        yield find(source, options, None, format), None
        return
    index = next(filter(Path.exists, map(index_path, outputs)), index_path(outputs[0]))
    new = [output for output in outputs if not ids_path(output).exists()]
    folders = [PartsFolder.of(output).folder for output in new]
    try:
        pseudonyms = agree_on_pseudonyms(folders, pseudonyms, keep_patient_id)
        found = find(source, options, pseudonyms, format, index)
        for output in outputs:
            if output not in new:
                check_key(output, pseudonyms, found.studies)
        yield found, pseudonyms
    except BaseException:
        if not index.exists():
            for folder in folders:
                forget_key(folder)
        raise


def _page(output: Path, options: RunOptions) -> Path | None:
    """The output's page, where this run saw to it."""
    path = report_path(output)
    return path if options.report and options.shard.is_all and path.is_file() else None


def _provenance(info: EncoderInfo, options: EngineOptions, command: str) -> Provenance:
    settings = dict(info.settings) | {
        "slice_axis": options.read.slice_axis,
        "nan": options.read.nan,
        "max_subvolumes_action": options.read.max_subvolumes_action,
    }
    widths = asdict(info.widths)
    if info.widths.study is None:
        widths["study"] = info.widths.series
        settings["study_vector"] = "mean of the series vectors"
    return Provenance(
        info.name,
        info.revision,
        info.sha256,
        settings,
        command,
        info.encoder,
        info.caveat,
        widths,
        info.licence,
        info.citation,
        info.uses_anatomy,
    )


def _settings(encoder: Encoder, provenance: Provenance, options: EngineOptions) -> str:
    """Hash of what changes the numbers of a study, apart from its own files and texts."""
    made_by = asdict(provenance)
    # These change no number.
    for name in ("command", "encoder", "caveat", "widths", "licence", "citation", "uses_anatomy"):
        del made_by[name]
    if (dtype := computation(options, encoder.device).dtype) != torch.float32:
        made_by["precision"] = str(dtype)
    return settings_hash(
        made_by | asdict(options.read) | {"tokens": options.keep_tokens, "reader": READER_VERSION}
    )


def _warn_of_dropped(job: Job) -> None:
    if not job.output.exists():
        return
    if dropped := StoredStudies(job.output).headers.keys() - set(job.plan.studies):
        logger.warning(
            "%s has %s that this run does not select; the new file will not contain them.",
            job.output.name,
            count(len(dropped), "study"),
        )


def _nothing_usable(source: Path, failures: Sequence[Failure]) -> NothingUsableError:
    return NothingUsableError(f"Nothing in {source} could be embedded{_because(failures)}", tuple(failures))


def _because(failures: Sequence[Failure]) -> str:
    defects = [failure for failure in failures if failure.defect]
    reasons = Counter(failure.error for failure in defects or failures).most_common(3)
    why = "; ".join(f"{reason} ({times} times)" if times > 1 else reason for reason, times in reasons)
    return f": {why}" if why else ""
