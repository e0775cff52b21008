"""Options that `prima embed` and `prima inspect` share: what to look for in a source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prima_features.cli.arguments import split_values

if TYPE_CHECKING:
    from prima_features.studies import FindOptions
    from prima_features.studies import Format as SourceFormat

_FIND = "Selecting and reading scans"
_UNTIDY = "Untidy scans"

Format = Annotated[
    Literal["auto", "bids", "dicom", "nifti", "manifest"],
    typer.Option(
        "--format",
        help="Format of the source (default: detected; if there are several, the one with the most series).",
        rich_help_panel=_FIND,
    ),
]
Participants = Annotated[
    list[str] | None,
    typer.Option(
        "--participant-label",
        metavar="LABEL...",
        help="Subjects to include, with or without sub-.",
        rich_help_panel=_FIND,
    ),
]
Sessions = Annotated[
    list[str] | None,
    typer.Option(
        "--session-label",
        metavar="LABEL...",
        help="Sessions to include, with or without ses-.",
        rich_help_panel=_FIND,
    ),
]
Datatypes = Annotated[
    list[str] | None,
    typer.Option(
        "--datatype",
        metavar="NAME...",
        help="BIDS datatypes to include (default: anat dwi swi).",
        rich_help_panel=_FIND,
    ),
]
Suffixes = Annotated[
    list[str] | None,
    typer.Option(
        "--suffix",
        metavar="NAME...",
        help="BIDS suffixes to include instead of the default ones.",
        rich_help_panel=_FIND,
    ),
]
FilterFile = Annotated[
    Path | None,
    typer.Option(
        "--bids-filter-file", help="JSON file of BIDS entities to filter by.", rich_help_panel=_FIND
    ),
]
Modality = Annotated[
    str, typer.Option("--modality", help="DICOM modality to include.", rich_help_panel=_FIND)
]
MinSlices = Annotated[
    int,
    typer.Option("--min-slices", min=1, help="Minimum number of slices of a series.", rich_help_panel=_FIND),
]
TimeSeries = Annotated[
    Literal["skip", "first", "mean"],
    typer.Option(
        "--time-series",
        help="How to treat BOLD, ASL and perfusion series in DICOM, and NIfTI files of several volumes.",
        rich_help_panel=_FIND,
    ),
]
SliceAxis = Annotated[
    Literal["L", "P", "S"] | None,
    typer.Option(
        "--slice-axis",
        help="Direction of the slice axis of NIfTI images (default: from the header).",
        rich_help_panel=_FIND,
    ),
]
Nan = Annotated[
    Literal["refuse", "zero"],
    typer.Option(
        "--nan",
        help="Series with NaN voxels: refuse them, or read those voxels as 0.",
        rich_help_panel=_UNTIDY,
    ),
]
MaxSubvolumesAction = Annotated[
    Literal["fail", "resample"],
    typer.Option(
        "--max-subvolumes-action",
        help="Series with more slices than the model accepts: fail, or resample them to the maximum.",
        rich_help_panel=_UNTIDY,
    ),
]
SliceTolerance = Annotated[
    float,
    typer.Option(
        "--slice-tolerance",
        help="Tolerance for distances between DICOM slices, as a fraction of their median.",
        rich_help_panel=_FIND,
    ),
]
KeepPatientId = Annotated[
    bool,
    typer.Option("--keep-patient-id", help="Show and store DICOM PatientIDs instead of pseudonyms."),
]

_REPORT = "Report"
NoReport = Annotated[
    bool,
    typer.Option(
        "--no-report",
        help="Do not write OUTPUT.report.html.",
        rich_help_panel=_REPORT,
    ),
]
NoPictures = Annotated[
    bool,
    typer.Option(
        "--no-pictures",
        help="Do not store thumbnails of the scans (small axial and coronal slices for the report).",
        rich_help_panel=_REPORT,
    ),
]


def collect(
    *,
    format: SourceFormat,
    participants: list[str] | None,
    sessions: list[str] | None,
    datatypes: list[str] | None,
    suffixes: list[str] | None,
    filter_file: Path | None,
    modality: str,
    min_slices: int,
    time_series: Literal["skip", "first", "mean"],
    slice_tolerance: float,
) -> FindOptions:
    """The finders' options from the command line's.

    Raises:
        UsageError: an option that cannot be.
    """
    from prima_features.studies import BidsOptions, DicomOptions, FindOptions, Selection, read_filters

    return FindOptions(
        format=format,
        selection=Selection(
            split_values(participants, "--participant-label"), split_values(sessions, "--session-label")
        ),
        bids=BidsOptions(
            split_values(datatypes, "--datatype"),
            split_values(suffixes, "--suffix"),
            read_filters(filter_file) if filter_file is not None else (),
        ),
        dicom=DicomOptions(modality, min_slices, time_series, slice_tolerance),
    )
