"""Options that several commands share, and options that take several values.

The values are separated by spaces, commas or repeats alike.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from prima_features.errors import UsageError
from prima_features.files.paths import expanded

if TYPE_CHECKING:
    from typer.core import TyperCommand, TyperGroup

    from prima_features.studies import FindOptions
    from prima_features.studies import Format as SourceFormat


def split_values(values: Iterable[str] | None, option: str = "") -> tuple[str, ...]:
    """`["01,02", "03"]` to `("01", "02", "03")`, and None to none.

    Args:
        values: as given on the command line.
        option: its name, for the error message.

    Raises:
        UsageError: one of the values is empty, as an unset shell variable makes it. It is not taken for "no selection".
    """
    items = [item.strip() for value in values or () for item in value.split(",")]
    if "" in items:
        raise UsageError(
            f"{option or 'An option'} has an empty value: give one (an unset shell variable?) or leave the option out"
        )
    return tuple(items)


def named_values(values: Iterable[str] | None, option: str) -> dict[str, str]:
    """`["a=1", "b=2"]` to `{"a": "1", "b": "2"}`.

    Args:
        values: as given on the command line.
        option: its name, for the error message.

    Raises:
        UsageError: one has no `=` or no name, or a name is given twice.
    """
    found: dict[str, str] = {}
    for text in values or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise UsageError(f"{option} {text} is not of the form NAME=VALUE")
        if name in found:
            raise UsageError(f"{option} gives {name} twice: give it once")
        found[name] = value
    return found


def check_no_empty(arguments: Sequence[str]) -> None:
    """Refuse an empty argument or option value, which `Path` would take for the current folder.

    Raises:
        UsageError: one is empty or blank.
    """
    before = ""
    for text in arguments:
        name, equals, value = text.partition("=")
        if not text.startswith("--") or not equals:
            name, value = before, text
        if not value.strip():
            if name.startswith("-"):
                raise UsageError(
                    f"{name} has an empty value: give one (an unset shell variable?) or leave the option out"
                )
            where = f"The argument after {name}" if name else "The first argument"
            raise UsageError(f"{where} is empty: give a value (an unset shell variable?)")
        before = text


_ONE_VALUE_EACH = ("--model",)
"""Options that can be repeated and take one value each time, so that an argument may follow it."""


def spread(arguments: Sequence[str], command: TyperCommand | TyperGroup) -> list[str]:
    """Repeat each option that takes several values before each of them, as Click wants it.

    `--participant-label 01 02` becomes `--participant-label 01 --participant-label 02`. Values run up to the
    next option; if no positional argument would be left then, the last ones are taken for those:
    `--participant-label 01 02 SOURCE OUTPUT` works as well.

    Raises:
        UsageError: such an option has no value and another option follows, which would be taken for the value.
    """
    options = {
        name: option
        for option in command.params
        if option.param_type_name == "option"
        for name in (*option.opts, *option.secondary_opts)
    }
    n_arguments = sum(option.param_type_name == "argument" for option in command.params)
    pieces: list[tuple[str, list[str]]] = []  # (option taking several values, or "") and its tokens
    n_positional = 0
    rest = list(arguments)
    while rest:
        token = rest.pop(0)
        option = options.get(token)
        if token == "--":
            pieces.append(("", [token, *rest]))
            break
        if option is not None and option.multiple and token not in _ONE_VALUE_EACH:
            n_values = next((i for i, text in enumerate(rest) if text.startswith("-")), len(rest))
            if rest and not n_values:
                raise UsageError(
                    f"{token} has no value: give one (an unset shell variable?) or leave the option out"
                )
            pieces.append((token, rest[:n_values]))
        else:
            n_values = 0 if option is None or option.is_flag else 1  # type: ignore[attr-defined]
            pieces.append(("", [token, *rest[:n_values]]))
            n_positional += option is None and not token.startswith("-")
        del rest[:n_values]

    last = next((values for name, values in reversed(pieces) if name), [])
    if n_positional == 0 and len(last) > n_arguments:
        pieces.append(("", last[-n_arguments:]))
        del last[-n_arguments:]
    return [text for name, values in pieces for text in _repeated(name, values)]


def _repeated(name: str, values: list[str]) -> list[str]:
    if not name:
        return values
    return [text for value in values for text in (name, value)] or [name]


_FIND = "Selecting and reading scans"
_UNTIDY = "Problematic scans"

Format = Annotated[
    Literal["auto", "bids", "dicom", "nifti", "manifest"],
    typer.Option(
        "--format",
        metavar="FORMAT",
        help="Format of the source: bids, dicom, nifti or manifest; auto: detected (if there are several, the one with "
        "the most series).",
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
        "--bids-filter-file",
        metavar="FILE",
        help="JSON file of BIDS entities to filter by.",
        rich_help_panel=_FIND,
    ),
]
Derivatives = Annotated[
    list[Path] | None,
    typer.Option(
        "--derivatives",
        metavar="DIR...",
        help="Folders with brain masks and transforms to MNI152 of a BIDS dataset (fMRIPrep, sMRIPrep, FreeSurfer, "
        "SynthStrip), in addition to its derivatives folder.",
        rich_help_panel=_FIND,
    ),
]
Modality = Annotated[
    str, typer.Option("--modality", metavar="NAME", help="DICOM modality to include.", rich_help_panel=_FIND)
]
MinSlices = Annotated[
    int,
    typer.Option(
        "--min-slices",
        metavar="N",
        min=1,
        help="Minimum number of slices of a series.",
        rich_help_panel=_FIND,
    ),
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
        help="Slice axis of NIfTI images: L (left-right), P (front-back) or S (foot-head) (default: from the header).",
        rich_help_panel=_FIND,
    ),
]
Nan = Annotated[
    Literal["refuse", "zero"],
    typer.Option(
        "--nan",
        help="Series with NaN voxels: refuse them, or set those voxels to 0.",
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
        metavar="FRACTION",
        help="Tolerance for distances between DICOM slices, as a fraction of their median.",
        rich_help_panel=_FIND,
    ),
]
KeepPatientId = Annotated[
    bool,
    typer.Option("--keep-patient-id", help="Show and store DICOM PatientIDs instead of pseudonyms."),
]

EncoderModel = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="A bundled name, a model directory, or a Hub id with optional @REVISION.",
    ),
]
StudyDescription = Annotated[
    str | None,
    typer.Option(
        "--study-description",
        metavar="TEXT",
        help="Study description for the model (default: the description in the scan).",
    ),
]
ForceTable = Annotated[
    bool, typer.Option("--force", help="Overwrite OUT.tsv even if this command did not write it.")
]
NoPage = Annotated[bool, typer.Option("--no-page", help="Do not write the HTML page.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", "--force", help="Replace DIR if it is not empty.")]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="DEVICE",
        help="Device: auto (a GPU if available, otherwise the CPU), cpu, cuda or cuda:1.",
    ),
]

_REPORT = "HTML report"
EVALUATION = "Evaluation"
"""Panel of the options about folds and intervals."""
Folds = Annotated[
    int,
    typer.Option("--folds", metavar="N", min=2, help="Number of outer folds.", rich_help_panel=EVALUATION),
]
InnerFolds = Annotated[
    int,
    typer.Option(
        "--inner-folds", metavar="N", min=2, help="Number of inner folds.", rich_help_panel=EVALUATION
    ),
]
EvaluationSeed = Annotated[
    int, typer.Option("--seed", metavar="N", help="Random seed.", rich_help_panel=EVALUATION)
]
Bootstrap = Annotated[
    int,
    typer.Option(
        "--bootstrap",
        metavar="N",
        min=0,
        help="Number of resamples for the confidence intervals.",
        rich_help_panel=EVALUATION,
    ),
]
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
        help="Do not store thumbnails of the scans (small axial and coronal slices) in the HTML report.",
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
    derivatives: list[Path] | None = None,
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
        derivatives=tuple(map(expanded, derivatives or ())),
    )


def shown_command(arguments: Sequence[str]) -> str:
    """The command line without the folders of its paths: those can contain names, and results are shared."""
    return shlex.join(["prima", *(Path(text).name if "/" in text else text for text in arguments)])
