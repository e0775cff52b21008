"""`merge()`: shards' parts, or embeddings files, into one file."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from prima_features.embedding.companions import write_companions
from prima_features.embedding.file.records import Result, StudyHeader, settings_of
from prima_features.embedding.file.stored import StoredStudies
from prima_features.embedding.file.write import Provenance, VectorType, write_embeddings
from prima_features.embedding.record.ids import ids_of, ids_path, keep_ids, keys_of, merge_ids, read_ids
from prima_features.embedding.record.journal import Record, new_record
from prima_features.embedding.record.output import check_output
from prima_features.embedding.record.run_file import (
    by_design,
    earlier_records,
    key,
    read_run_file,
    records_in,
)
from prima_features.embedding.resume.parts import PartsFolder
from prima_features.embedding.resume.plan import OutputPlan, read_plan
from prima_features.errors import NothingUsableError, OutputError, UsageError
from prima_features.files.targets import same_file
from prima_features.studies.study import Failure

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Merged:
    """Result of `merge`."""

    output: Path
    n_studies: int
    n_series: int
    failures: tuple[Failure, ...]
    report: Path | None = None
    """The HTML report, if it was written."""
    caveat: str = ""
    """Caveat of the model (`models.caveats`); empty if there is none."""

    @property
    def complete(self) -> bool:
        """True if nothing failed; series that a rule excludes by design do not count."""
        return not any(failure.defect for failure in self.failures)


class PlannedStudies:
    """A parts folder: the studies of its plan, as far as they are finished. Read like `StoredStudies`.

    Args:
        folder: the parts.
        earlier: an existing output from which the plan may keep studies.

    Raises:
        UsageError: it is no parts folder.
    """

    def __init__(self, folder: Path, earlier: Path | None = None):
        self.path, self._parts = folder, PartsFolder(folder)
        if (plan := read_plan(folder)) is None:
            raise UsageError(f"{folder} is not a parts folder (plan.json is missing)")
        self.plan: OutputPlan = plan
        self._earlier = StoredStudies(earlier) if earlier else None

    def __enter__(self) -> PlannedStudies:
        if self._earlier is not None:
            self._earlier.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._earlier is not None:
            self._earlier.__exit__(kind, error, trace)

    @property
    def provenance(self) -> Provenance:
        """What made the parts."""
        return self.plan.provenance

    @property
    def settings(self) -> str:
        """Hash of what changes the numbers of all studies."""
        return self.plan.settings

    @property
    def dtype(self) -> str:
        """Number type that the output was to have."""
        return self.plan.dtype

    @property
    def left_out(self) -> tuple[Failure, ...]:
        """What the finder left out."""
        return self.plan.left_out

    @cached_property
    def headers(self) -> dict[str, StudyHeader]:
        """The finished studies, in the order of the plan."""
        found = ((study_id, self._header(study_id)) for study_id in self.plan.studies)
        return {study_id: header for study_id, header in found if header is not None}

    def get(self, study_id: str) -> Result:
        """One study with its vectors.

        Raises:
            OutputError: its part is damaged.
        """
        part = self._parts.load(study_id, self.headers[study_id].input_hash)
        if part is None and self._earlier is not None and self._kept(study_id):
            part = self._earlier.get(study_id)
        if part is None:
            raise OutputError(
                f"The part of {study_id} in {self.path} is damaged: run its shard again, and then prima merge"
            )
        return part

    def _header(self, study_id: str) -> StudyHeader | None:
        header = self._parts.header(study_id)
        if header is not None and settings_of(header.input_hash) == self.plan.settings:
            # A scan that has changed since is not finished, and its row in the earlier output is older still.
            return None if self._parts.changed(study_id) else header
        return self._kept(study_id)

    def _kept(self, study_id: str) -> StudyHeader | None:
        """The study's row in the earlier output, where it may be kept."""
        if self._earlier is None or (header := self._earlier.headers.get(study_id)) is None:
            return None
        allowed = self.plan.may_keep(header.sound, self._earlier.dtype, self._earlier.state)
        return header if allowed and settings_of(header.input_hash) == self.plan.settings else None


Source = PlannedStudies | StoredStudies


def merge(
    output: str | Path,
    inputs: Sequence[str | Path] = (),
    incomplete: bool = False,
    force: bool = False,
    report: bool = True,
    pictures: bool = True,
) -> Merged:
    """Combine the parts of several jobs, or several embeddings files, in one file, with run file and HTML report.

    Studies keep the order of the inputs, and within a parts folder that of its plan. The output's own parts folder is
    deleted when the output is complete; other inputs are kept.

    Args:
        output: the file to write; it appears, by rename, when it is complete.
        inputs: parts folders (or the names of their outputs) and embeddings files; by default the output's own parts
            folder.
        incomplete: write the file even if some studies are unfinished; they are listed in /failure.
        force: replace an embeddings file that was not made of these parts.
        report: also write `OUTPUT.report.html`.
        pictures: include the pictures of the parts and of the inputs' HTML reports.

    Raises:
        UsageError: an input is neither, inputs were made with different models or options or contain different versions
            of a study, studies are unfinished, or the output cannot be written.
        NothingUsableError: no study was embedded.
        OutputError: a part is damaged, or the disk is full or not available.
    """
    started, output = time.monotonic(), Path(output)
    check_output(output, report=report)
    own = PartsFolder.of(output)
    paths = [_resolve(Path(path)) for path in inputs] or [own.folder]
    if not inputs and not own.folder.is_dir():
        raise UsageError(f"{own.folder} does not exist: name the parts folders or the files to merge")
    if any(path == output or same_file(path, output) for path in paths):
        raise UsageError(f"{output} is one of the inputs, which are never replaced; name another output")
    if output.exists() and not force and own.folder not in paths:
        raise UsageError(f"{output} exists; name another output, or use --force")
    earlier = output if output.exists() else None
    sources: list[Source] = [
        PlannedStudies(path, earlier if path == own.folder else None)
        if path.is_dir()
        else StoredStudies(path)
        for path in paths
    ]
    _check_alike(sources)
    where = _whereabouts(sources)
    missing = _missing(sources, where)
    if missing and not incomplete:
        _check_one_key([source.path for source in sources if isinstance(source, PlannedStudies)])
        raise UsageError(
            f"{len(missing)} of {len(where) + len(missing)} studies are not finished, such as {missing[0]}: run "
            "their shards (again), or use --incomplete to leave them out"
        )
    outside = {
        study_id for path in paths if path.is_dir() for study_id in PartsFolder(path).outside(where)
    } - {*missing}
    left_out = _left_out(sources, where) + tuple(_unfinished(study_id) for study_id in missing)
    left_out += tuple(map(_unplanned, sorted(outside)))
    headers = [source.headers[study_id] for study_id, source in where.items()]
    failures = left_out + tuple(failure for header in headers for failure in header.failures)
    if not any(header.n_series for header in headers):
        raise NothingUsableError(f"No study of {', '.join(map(str, paths))} was embedded", failures)

    runs = _runs(sources, earlier)
    rules = {reason: is_rule for source in sources for reason, is_rule in _rules(source).items()}
    dtype: VectorType = "float16" if any(source.dtype == "float16" for source in sources) else "float32"
    own.create()
    merge_ids(output, paths, {*where, *missing})
    _warn_of_unlinked(output, where)
    provenance = _provenance(sources)
    write_embeddings(output, _read(sources, where), provenance, left_out, dtype, scratch=own.folder)
    keep_ids(output, {*where, *missing})
    counts = {"inputs": len(sources), "series": sum(header.n_series for header in headers)}
    merging = {"ended": "finished", "seconds": round(time.monotonic() - started, 2), "counts": counts}
    page = write_companions(
        output,
        [*runs, new_record("merge") | {"settings_hash": sources[0].settings} | merging],
        [_with_rule(failure, rules) for failure in failures],
        parts=[path for path in paths if path.is_dir()],
        earlier=[path for path in paths if path.is_file()],
        report=report,
        pictures=pictures,
    )
    if own.folder in paths and not missing and not outside:
        own.remove()
    elif own.folder not in paths:
        with suppress(OSError):  # it was made for the temporary file; others' parts may be in it
            own.folder.rmdir()
    n_studies = sum(header.n_series > 0 for header in headers)
    return Merged(output, n_studies, counts["series"], failures, page, provenance.caveat)


def _check_one_key(folders: Sequence[Path]) -> None:
    """Raise if shards of a DICOM source have made pseudonyms with different keys, and so different ids."""
    keys = {folder: found for folder in folders if (found := keys_of(folder))}
    first = next(iter(keys), None)
    for folder in keys:
        if first is not None and keys[folder] != keys[first]:
            raise UsageError(
                f"{first} and {folder} give the same DICOM studies different ids, because their shards made pseudonyms "
                f"with different keys: run all shards to one output, or copy {ids_of(first).name} of the first next to "
                "each other output before its shard starts (--incomplete merges different sources)"
            )


def _warn_of_unlinked(output: Path, where: Mapping[str, Source]) -> None:
    """Warn of DICOM studies whose table of identities is not next to their file."""
    theirs = [one for one, source in where.items() if isinstance(source, StoredStudies) and source.is_dicom]
    linked = read_ids(ids_path(output)) if theirs and ids_path(output).exists() else {}
    if lost := [one for one in theirs if one not in linked]:
        logger.warning(
            "%d DICOM studies, such as %s, have no link to their patients in the merged output: the .ids.tsv of their "
            "file is not next to it; put it there and merge again.",
            len(lost),
            lost[0],
        )


def _runs(sources: Sequence[Source], earlier: Path | None) -> list[Record]:
    """Records of the runs that made the inputs."""
    runs = earlier_records(earlier, sources[0].settings) if earlier else []
    for source in sources:
        stored = isinstance(source, StoredStudies)
        runs += (earlier_records if stored else records_in)(source.path, source.settings)
    return runs


def _rules(source: Source) -> dict[tuple[str, ...], bool]:
    """Which reasons are rules that leave things out by design, as far as an input tells."""
    if isinstance(source, StoredStudies):
        return by_design(read_run_file(source.path))
    return {key(one.stage, one.error, one.hint): not one.defect for one in source.left_out}


def _with_rule(failure: Failure, rules: Mapping[tuple[str, ...], bool]) -> Failure:
    is_rule = rules.get(key(failure.stage, failure.error, failure.hint), not failure.defect)
    return replace(failure, defect=not is_rule)


def _resolve(path: Path) -> Path:
    """A file or parts folder; the name of an output stands for its parts if it is not there."""
    if not path.name:  # `.` and `/` have no parts next to them
        raise UsageError(f"{path} is not a folder of parts or an embeddings file; name one")
    parts = PartsFolder.of(path).folder
    if not path.exists() and parts.is_dir():
        return parts
    if not path.exists():
        raise UsageError(f"{path} does not exist, and neither does {parts.name} next to it")
    return path


def _check_alike(sources: Sequence[Source]) -> None:
    """Raise where inputs were not made in one way."""
    first = sources[0]
    for other in sources[1:]:
        if _made_by(other) != _made_by(first):
            raise UsageError(
                f"{first.path} and {other.path} were made by different models or with different options; embed "
                "one of them again"
            )


def _made_by(source: Source) -> tuple[object, ...]:
    provenance = source.provenance
    return (provenance.model_sha256, provenance.preprocessing, source.settings)


def _provenance(sources: Sequence[Source]) -> Provenance:
    """That of the first input; with caveat, licence and citation from the first that has one."""
    made = [source.provenance for source in sources]
    texts: dict[str, Any] = {
        name: next((text for one in made if (text := getattr(one, name))), "")
        for name in ("caveat", "licence", "citation")
    }
    return replace(made[0], **texts, uses_anatomy=any(one.uses_anatomy for one in made))


def _whereabouts(sources: Sequence[Source]) -> dict[str, Source]:
    """Which source each study is taken from, in the order of the output."""
    where: dict[str, Source] = {}
    for source in sources:
        for study_id, header in source.headers.items():
            first = where.setdefault(study_id, source)
            known = first.headers[study_id].input_hash
            if first is not source and (not known or known != header.input_hash):
                raise UsageError(
                    f"{study_id} is in {first.path} and in {source.path}, made from different scans; leave one "
                    f"of them out"
                )
            if header.n_series > first.headers[study_id].n_series:  # of one scan, the try that gave more
                where[study_id] = source
    return _in_order(sources, where)


def _in_order(sources: Sequence[Source], where: Mapping[str, Source]) -> dict[str, Source]:
    """Jobs' folders hold shares of one plan: its order is that of the output."""
    orders = (s.plan.studies if isinstance(s, PlannedStudies) else tuple(s.headers) for s in sources)
    order = dict.fromkeys(study_id for studies in orders for study_id in studies)
    return {study_id: where[study_id] for study_id in order if study_id in where}


def _missing(sources: Sequence[Source], where: Mapping[str, Source]) -> tuple[str, ...]:
    """Studies of the plans that no source contains."""
    planned = (study_id for s in sources if isinstance(s, PlannedStudies) for study_id in s.plan.studies)
    return tuple(study_id for study_id in dict.fromkeys(planned) if study_id not in where)


def _left_out(sources: Sequence[Source], where: Mapping[str, Source]) -> tuple[Failure, ...]:
    """Failures of studies that no source contains, each once, since all jobs found the same."""
    everything = dict.fromkeys(failure for source in sources for failure in source.left_out)
    return tuple(failure for failure in everything if failure.stage != "merge" or failure.study not in where)


def _unfinished(study_id: str) -> Failure:
    return Failure(study_id, "", "merge", "not embedded yet", "run its shard, and then prima merge")


def _unplanned(study_id: str) -> Failure:
    reason = "it has a part, but the last job did not find it in the source, so it is not in the plan"
    return Failure(
        study_id, "", "merge", reason, "run all shards again on the same source, and then prima merge"
    )


def _read(sources: Sequence[Source], where: Mapping[str, Source]) -> Iterator[Result]:
    with ExitStack() as stack:
        for source in sources:
            stack.enter_context(source)
        for study_id, source in where.items():
            yield source.get(study_id)
