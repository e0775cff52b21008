"""Generates a cohort in one process or several, with the same result."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from prima_features._version import __version__
from prima_features.errors import OutputError, StoppedError, UsageError
from prima_features.processes import in_processes
from prima_features.synthetic.protocol import Settings

Format = Literal["bids", "dicom"]


@dataclass(frozen=True)
class CohortOptions:
    """Settings of a synthetic cohort."""

    subjects: int
    seed: int = 0
    format: Format = "bids"
    settings: Settings = "usual"
    """Name of the ranges in `prima_features.synthetic.protocol.RANGES` that scanner settings are drawn from."""
    device: str = "cpu"
    preview: bool = False
    conditions: tuple[str, ...] = ()
    """Conditions to draw from, by their shares in the population; all if empty."""
    visits: int = 1
    """Studies of each subject."""
    visit_days: tuple[float, float] = (365.0, 1095.0)
    """Fewest and most days from one visit to the next."""

    @property
    def studies(self) -> int:
        """Number of studies."""
        return self.subjects * self.visits


@dataclass(frozen=True)
class Made:
    """One finished study."""

    row: dict[str, str]
    report: dict[str, str]
    labels: dict[str, str]
    """Diagnoses under published names, referrals and priority."""
    visit: dict[str, str] = field(default_factory=dict)
    """Row of sessions.tsv; empty if subjects have one visit."""
    preview: bytes = b""
    """Middle slices, as `prima_features.synthetic.output.preview.tiles` packs them."""


OnStudy = Callable[[Made, int], None]


def make_cohort(
    output: Path,
    options: CohortOptions,
    workers: int = 1,
    on_study: OnStudy = lambda made, done: None,
    stopping: Callable[[], bool] = lambda: False,
) -> list[Made]:
    """Make a cohort in a new or empty folder.

    Args:
        on_study: called after each study, in order, with it and how many are done.
        stopping: called before each study; true stops after the studies in progress.

    Raises:
        UsageError: the folder is not empty, or cannot be created.
        OutputError: a file could not be written, or a worker ended early.
        StoppedError: `stopping` returned true; the tables contain the finished studies.
    """
    _prepare(output)
    made: list[Made] = []
    try:
        for study in _each(output, options, workers, stopping):
            made.append(study)
            on_study(study, len(made))
        if made:
            _write_tables(output, options, made)
    except OutputError:  # a worker died
        raise
    except OSError as error:
        cure = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "check the disk"
        raise OutputError(
            f"{output} cannot be written ({error.strerror or error}); {cure}, and choose a new folder"
        ) from error
    if len(made) < options.studies:
        raise StoppedError(
            f"Stopped: {output} contains {len(made)} of {options.studies} studies and their tables; to generate "
            f"all of them, choose a new folder"
        )
    return made


def _prepare(output: Path) -> None:
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UsageError(f"{output} is not an empty folder; choose a new one")
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"Cannot create {output} ({error.strerror}); choose another folder") from error


def _each(output: Path, options: CohortOptions, workers: int, stopping: Callable[[], bool]) -> Iterator[Made]:
    indices = range(options.studies)
    make = partial(make_study, output, options)
    if workers == 1:
        with _one_thread_here():
            for index in indices:
                if stopping():
                    return
                yield make(index)
        return
    died = (
        f"A worker process ended early, possibly out of memory; {output} is incomplete; use fewer --workers "
        f"and choose a new folder"
    )
    yield from in_processes(make, indices, workers, died, stopping)


@contextmanager
def _one_thread_here() -> Iterator[None]:
    # As in the workers: sums over several threads end in other last digits, and images are rounded from them.
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_study(output: Path, options: CohortOptions, index: int) -> Made:
    """Make one study and write its images: `index` counts the visits of the first subject, then of the next."""
    from prima_features.synthetic import (
        build_anatomy,
        draw_acquisitions,
        draw_subject,
        measure,
        render_series,
    )
    from prima_features.synthetic.labels import label_row
    from prima_features.synthetic.output import dicom, preview, table
    from prima_features.synthetic.output.bids import write_bids
    from prima_features.synthetic.report import write_report
    from prima_features.synthetic.visits import scanned_again, visit

    number, later = divmod(index, options.visits)
    now = visit(draw_subject(options.seed, number, among=options.conditions), later, options.visit_days)
    subject, session = now.subject, f"ses-{now.session}" if options.visits > 1 else ""
    usual = draw_acquisitions(options.seed, number, subject.site, settings=options.settings)
    scans = scanned_again(usual, subject, later, options.settings)
    anatomy = build_anatomy(subject, options.device)
    truth = measure(anatomy)
    series = [render_series(anatomy, scan) for scan in scans]
    report = write_report(subject, truth, scans)
    if options.format == "bids":
        participant = f"sub-{subject.id}"
        study = f"{participant}_{session}" if session else participant
        write_bids(output, participant, series, session)
    else:
        participant = dicom.patient_id(subject)
        study = dicom.study_uid(subject, options.settings, session)
        dicom.write_dicom(output, subject, series, options.settings, session, now.days)
    row = table.row(subject, truth, scans, options.settings, participant)
    day = dicom.study_day(subject, now.days)
    return Made(
        row=row,
        report={"study_id": study, "report": report},
        labels=label_row(subject, truth, study),
        visit=table.visit_row(row, now, day) if session else {},
        preview=preview.tiles(subject, anatomy, series) if options.preview else b"",
    )


def _write_tables(output: Path, options: CohortOptions, made: list[Made]) -> None:
    from prima_features.synthetic import labels
    from prima_features.synthetic.output import preview, table

    several = options.visits > 1
    columns = table.SUBJECT_COLUMNS if several else table.COLUMNS
    cells = ({name: study.row[name] for name in columns} for study in made[:: options.visits])
    table.write_table(output / "participants.tsv", cells, list(columns))
    table.write_table(output / "reports.tsv", (study.report for study in made), ["study_id", "report"])
    table.write_table(output / "labels.tsv", (study.labels for study in made), labels.COLUMNS)
    (output / "participants.json").write_text(json.dumps(columns, indent=1) + "\n")
    ignored = "reports.tsv\nlabels.tsv\npreview.png\n*_trace.*\n*_ADC.*\n"
    if several:
        visits = (study.visit for study in made)
        table.write_table(output / "sessions.tsv", visits, list(table.VISIT_COLUMNS))
        (output / "sessions.json").write_text(json.dumps(table.VISIT_COLUMNS, indent=1) + "\n")
        ignored += "sessions.tsv\nsessions.json\n"
    if options.format == "bids":
        (output / "dataset_description.json").write_text(json.dumps(_description(options), indent=1) + "\n")
        (output / "README").write_text(_README + (_VISITS if several else ""))
        (output / ".bidsignore").write_text(ignored)
    if options.preview:
        preview.write_sheet(output / "preview.png", [study.preview for study in made])


def _description(options: CohortOptions) -> dict[str, object]:
    return {
        "Name": f"Synthetic brains, seed {options.seed}",
        "BIDSVersion": "1.9.0",
        "DatasetType": "raw",
        "License": "CC0",
        "GeneratedBy": [
            {
                "Name": "prima-features",
                "Version": __version__,
                "Description": f"prima synth, seed {options.seed}, {options.settings} settings; of no person",
            }
        ],
    }


_README = """Synthetic brain MRI made by `prima synth` of prima-features. No image is of a person.

participants.tsv contains the true factors of each brain, described in participants.json; reports.tsv a radiology report
per study; labels.tsv diagnoses under the names of Prima's heads, referrals and a priority.

The anatomy is a warped Colin 27 average brain (Copyright (C) 1993-2009 Louis Collins, McConnell Brain Imaging Centre,
Montreal Neurological Institute, McGill University).
"""
_VISITS = """
sessions.tsv has one row per visit with what changes; participants.tsv has what does not.
"""
