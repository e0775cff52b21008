"""`prima inspect`: what would be embedded, what not and why; or what a file holds."""

from __future__ import annotations

import logging
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from prima_features.cli import options as find
from prima_features.cli.console import count, out, table

if TYPE_CHECKING:
    from prima_features.embedding.file.read import Embeddings
    from prima_features.studies import FindOptions, Found
    from prima_features.volumes.nifti_geometry import SliceAxis

logger = logging.getLogger(__name__)

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SHOWN_STUDIES = 10


def inspect(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE|FILE.h5", help="Source of scans, as for prima embed, or an embeddings file."
        ),
    ],
    format: find.Format = "auto",
    participant_label: find.Participants = None,
    session_label: find.Sessions = None,
    datatype: find.Datatypes = None,
    suffix: find.Suffixes = None,
    bids_filter_file: find.FilterFile = None,
    derivatives: find.Derivatives = None,
    modality: find.Modality = "MR",
    min_slices: find.MinSlices = 5,
    time_series: find.TimeSeries = "skip",
    slice_tolerance: find.SliceTolerance = 0.05,
    slice_axis: find.SliceAxis = None,
    keep_patient_id: find.KeepPatientId = False,
) -> None:
    """Show what would be embedded and what would be left out and why; or the contents of an embeddings file.

    The exit code is that of prima embed, as far as the headers show: 3 if something is left out that should have been
    readable (in red), 4 if nothing can be embedded.
    """
    if _is_hdf5(source):
        from prima_features.embedding.file.read import read_embeddings

        show_file(read_embeddings(source))
        return
    found_options = find.collect(
        format=format,
        participants=participant_label,
        sessions=session_label,
        datatypes=datatype,
        suffixes=suffix,
        filter_file=bids_filter_file,
        modality=modality,
        min_slices=min_slices,
        time_series=time_series,
        slice_tolerance=slice_tolerance,
        derivatives=derivatives,
    )
    show_source(source, found_options, keep_patient_id, slice_axis)


def show_source(
    source: Path, options: FindOptions, keep_patient_id: bool, slice_axis: SliceAxis | None = None
) -> None:
    """Print every series with its study, and everything that is left out with its reason.

    Raises:
        NothingUsableError: nothing would be embedded.
        typer.Exit: with code 3, something that should have been readable is left out.
    """
    from prima_features.errors import NothingUsableError
    from prima_features.studies import Pseudonyms, find

    found = find(source, options, Pseudonyms(keep_patient_id=keep_patient_id))
    for warning in (*found.warnings, *found.anatomy_warnings):
        logger.warning("%s", warning)
    _show_studies(found, slice_axis)
    _show_left_out(found)
    if not found.studies:
        raise NothingUsableError(f"Nothing in {source} can be embedded")
    if any(item.defect for item in found.left_out):
        raise typer.Exit(3)


def _show_studies(found: Found, slice_axis: SliceAxis | None) -> None:
    from prima_features.volumes.read import read_slice_axis

    n_series = sum(len(study.series) for study in found.studies)
    out.print(f"[bold]{count(len(found.studies), 'study')} with {n_series} series ({found.format})[/]")
    has_anatomy = any(one.anatomy_files for study in found.studies for one in study.series)
    head = ["study", "series", "files", "plane", "slice axis from", "flags", "source"]
    shown = table(*head, *(["brain mask", "to MNI152"] if has_anatomy else []))
    for study in found.studies:
        for series in study.series:
            plane, known_by, flags = read_slice_axis(series, slice_axis)
            anatomy = [escape(series.anatomy_from) if file else "" for file in (series.mask, series.to_mni)]
            shown.add_row(
                escape(study.id),
                escape(series.stored_name),
                str(len(series.files)),
                plane,
                known_by,
                escape(", ".join(flags)),
                escape(series.source),
                *(anatomy if has_anatomy else []),
            )
    if found.studies:
        out.print(shown)
    if has_anatomy:
        n_masks = sum(one.mask is not None for study in found.studies for one in study.series)
        n_transforms = sum(one.to_mni is not None for study in found.studies for one in study.series)
        out.print(f"{n_masks} series with a brain mask, {n_transforms} with a transform to MNI152.")
    if found.format == "dicom":
        out.print("Each output has its own pseudonyms; --keep-patient-id shows PatientIDs.")


def _show_left_out(found: Found) -> None:
    if not found.left_out:
        return
    out.print(f"\n[bold]{len(found.left_out)} left out[/]")
    shown = table("study", "what", "why", "hint")
    for item in found.left_out:
        why = f"[red]{escape(item.error)}[/]" if item.defect else escape(item.error)
        shown.add_row(escape(item.study), escape(item.series), why, escape(item.hint))
    out.print(shown)


def show_file(file: Embeddings) -> None:
    """Print what is in an embeddings file and what made it."""
    from prima_features.embedding.report.brains import look_at_brains

    attributes = file.attributes
    out.print(f"[bold]{escape(str(file.path))}[/]: {count(file.n_studies, 'study')}, {file.n_series} series")
    facts = table("", "")
    for name in (
        "encoder",
        "model",
        "model_revision",
        "model_sha256",
        "prima_features_version",
        "created",
        "command",
    ):
        facts.add_row(name, escape(str(attributes.get(name, ""))))
    for name in ("licence", "citation"):
        if attributes[name]:
            facts.add_row(name, escape(attributes[name]))
    for name in ("study/embedding", "study/clip", "series/embedding"):
        if file.has(name):
            facts.add_row(f"/{name}", file.describe(name))
    facts.add_row("tokens", _tokens(file))
    if (brains := look_at_brains(file)) is not None:
        facts.add_row("brains", escape(" ".join(brains.sentences)))
    facts.add_row("left out", f"{count(len(file.failures), 'row')} in /failure")
    if file.caveat:
        facts.add_row("caveat", f"[bold]{escape(file.caveat)}[/]")
    facts.add_row(
        "flags", escape(", ".join(f"{flag} ({n} series)" for flag, n in file.flags.items()) or "none")
    )
    out.print(facts)
    shown = table(
        "study",
        "series",
        "plane",
        "slice axis from",
        "tokens",
        "volume (z, y, x)",
        "spacing, mm",
        "flags",
        *(["brain mask from", "litres", "to MNI152 from", "scale", "Dice"] if file.has_brains else []),
    )
    rows = file.series[file.series["study"] < _SHOWN_STUDIES]
    for row in rows.to_dict("records"):
        shape = " x ".join(str(row[f"shape_{axis}"]) for axis in "zyx")
        spacing = " x ".join(f"{row[f'spacing_{axis}']:.2f}" for axis in "zyx")
        study = file.studies["id"].iloc[row["study"]]
        shown.add_row(
            escape(study),
            escape(row["name"]),
            escape(row["plane"]),
            escape(row["slice_axis_known_by"]),
            str(row["n_tokens"]),
            shape,
            spacing,
            escape(row["flags"].replace(",", ", ")),
            *(_brain_cells(row) if file.has_brains else []),
        )
    out.print(shown)
    if file.n_studies > _SHOWN_STUDIES:
        out.print(f"... and {file.n_studies - _SHOWN_STUDIES} more studies")


def _brain_cells(row: dict[Any, Any]) -> list[str]:
    def number(name: str) -> str:
        return "" if isnan(row[name]) else f"{row[name]:.2f}"

    return [
        escape(row["mask_from"]),
        number("brain_litres"),
        escape(row["mni_from"]),
        number("mni_scale"),
        number("mni_dice"),
    ]


def _tokens(file: Embeddings) -> str:
    if file.has_tokens:
        return "kept"
    if file.widths and file.widths.get("token") is None:
        return "none: the encoder has no tokens to store"
    return "not kept (prima embed --level token keeps them)"


def _is_hdf5(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
