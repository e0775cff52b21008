"""Options that say where labels are; `prima probe` fit, evaluate and predict share them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from prima_features.cli.options import split_values

if TYPE_CHECKING:
    from prima_features.probes.labels import LabelRequest

_PANEL = "Labels"
_COLUMNS = "Columns of the label tables (found automatically with --cohort)"


def _column(name: str, help: str) -> tuple[Any, str]:
    option = typer.Option(name, metavar="COLUMN", help=help, rich_help_panel=_COLUMNS)
    return Annotated[str, option], ""


def _option(kind: Any, default: Any, name: str, help: str, **more: Any) -> tuple[Any, Any]:
    return Annotated[kind, typer.Option(name, help=help, rich_help_panel=_PANEL, **more)], default


_VALUES = {"metavar": "VALUE..."}
_CHANGE = "Change between visits (task change)"
CHANGE_OPTIONS = ("change_features", "change_visits", "total_change", "min_days")
"""Names of the options that make a `Change`."""


def _of_change(kind: Any, default: Any, name: str, help: str, **more: Any) -> tuple[Any, Any]:
    return Annotated[kind, typer.Option(name, help=help, rich_help_panel=_CHANGE, **more)], default


_OPTIONS: dict[str, tuple[Any, Any]] = {
    "labels": _option(
        list[Path] | None,
        None,
        "--labels",
        "Label tables (TSV, CSV, Excel), or a folder: a BIDS dataset or a cohort's tables. Further tables add "
        "columns to the first.",
        metavar="PATH...",
    ),
    "cohort": _option(
        str,
        "",
        "--cohort",
        "A public cohort whose tables are known (see prima probe list), or a file that describes another.",
        metavar="NAME|FILE.toml",
    ),
    "positive": _option(
        list[str] | None,
        None,
        "--positive",
        "Values of --target-column, or of --label-columns, that make the positive class; all others make the negative "
        "one.",
        **_VALUES,
    ),
    "control_values": _option(
        list[str] | None,
        None,
        "--control-values",
        "Values of --control-column that mark controls.",
        **_VALUES,
    ),
    "missing_values": _option(
        list[str] | None,
        None,
        "--missing-values",
        "Additional codes for missing values, such as 99; write a negative one as --missing-values=-1.",
        **_VALUES,
    ),
    "event_values": _option(
        list[str] | None,
        None,
        "--event-values",
        "Values of --event-column that mean the event; all others count as censored.",
        **_VALUES,
    ),
    "time_unit": _option(
        Literal["days", "months", "years"] | None,
        None,
        "--time-unit",
        "Unit of --time-column and of --horizons.",
    ),
    "horizons": _option(
        list[str] | None,
        None,
        "--horizons",
        "Survival: times at which AUC and calibration are computed (default: up to three of 1, 2, 3, 5 and 10 years).",
        metavar="TIME...",
    ),
    "blank_labels": _option(
        Literal["preset", "missing"],
        "preset",
        "--blank-labels",
        "Meaning of a blank label: preset, as defined for the cohort (OASIS-1: subjects under 60 are "
        "nondemented), or missing.",
    ),
    "date_format": _option(
        str,
        "",
        "--date-format",
        "Format of --date-column if not ISO 8601, such as %d/%m/%Y.",
        metavar="FORMAT",
    ),
    "scan_dates": _option(
        Path | None,
        None,
        "--scan-dates",
        "Table with the dates of the scans, by study or subject.",
        metavar="TABLE",
    ),
    "max_days": _option(
        float,
        180.0,
        "--max-days",
        "Maximum number of days between a scan and the visit of its label.",
        metavar="DAYS",
        min=0,
    ),
    "change_features": _of_change(
        Literal["delta", "baseline+delta"],
        "delta",
        "--features",
        "delta: the change of the vector between visits. baseline+delta: the first visit's vector as well.",
    ),
    "change_visits": _of_change(
        Literal["first-last", "consecutive", "slope"],
        "first-last",
        "--visits",
        "Samples: first-last, one per subject; consecutive, one for each visit but the first; slope, the slope over "
        "all visits of a subject.",
        metavar="VISITS",
    ),
    "total_change": _of_change(
        bool, False, "--total-change", "Predict the change between visits instead of the change per year."
    ),
    "min_days": _of_change(
        float, 90.0, "--min-days", "Fewest days between the visits of a change.", metavar="DAYS"
    ),
    "id_column": _column("--id-column", "Column with the subject or scan."),
    "target_column": _column("--target-column", "Column to predict."),
    "label_columns": _option(
        list[str] | None,
        None,
        "--label-columns",
        "Findings: a column of yes and no, or 1 and 0, for each label; or one column whose cells list names, separated "
        "by ; or |, or as JSON. Blank cells are unknown.",
        metavar="COLUMN...",
    ),
    "time_column": _column(
        "--time-column",
        "Survival: column with the time to the event or to censoring. Several visits: with the time of the visit since "
        "any start, in --time-unit (default: by the column's name, or years).",
    ),
    "event_column": _column("--event-column", "Survival: column that says whether the event was observed."),
    "grade_column": _column(
        "--grade-column", "Survival: column with a tumour's grade, for a baseline of age, sex and grade."
    ),
    "group_column": _column(
        "--group-column",
        "Column with the group that must stay within one fold, such as the family (default: the subject).",
    ),
    "site_column": _column("--site-column", "Column with the site."),
    "age_column": _column("--age-column", "Column with the age at the scan, in years."),
    "sex_column": _column("--sex-column", "Column with the sex."),
    "split_column": _column("--split-column", "Column that marks the training rows, for --scheme split."),
    "scanner_column": _column("--scanner-column", "Column with the scanner, for metrics by group."),
    "field_strength_column": _column(
        "--field-strength-column", "Column with the field strength, for metrics by group."
    ),
    "session_column": _column("--session-column", "Column with the session of a label."),
    "date_column": _column(
        "--date-column",
        "Column with the date of a label, or its day since entry; the visit nearest to the scan is used.",
    ),
    "control_column": _column(
        "--control-column", "Column that marks controls; brain age is fitted on controls."
    ),
}
"""Fields of `LabelRequest`, or names in `CHANGE_OPTIONS`, to the option's type and default."""


def with_labels(*left_out: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, and pass their values as its argument `request`, a `LabelRequest`.

    Args:
        left_out: fields whose options the command does not have.
    """
    options = {name: option for name, option in _OPTIONS.items() if name not in left_out}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            label_values = {name: given.pop(name) for name in options}
            command(**given, request=_request(label_values))

        # Typer reads options off a signature: the command's own, without `request`, then these.
        hints = get_type_hints(command, include_extras=True)
        own = inspect.signature(command).parameters.values()
        parameters = [one.replace(annotation=hints[one.name]) for one in own if one.name != "request"]
        parameters += [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
            for name, (hint, default) in options.items()
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return decorate


def _request(label_values: dict[str, Any]) -> LabelRequest:
    from prima_features.probes.change import Change
    from prima_features.probes.labels import LabelRequest

    lists = ("positive", "control_values", "missing_values", "event_values", "label_columns")
    several: dict[str, Any] = {
        name: split_values(label_values[name]) for name in lists if name in label_values
    }
    if "horizons" in label_values:
        several["horizons"] = tuple(map(_time, split_values(label_values["horizons"])))
    if "change_features" in label_values:
        features, visits, total, days = (label_values[name] for name in CHANGE_OPTIONS)
        several["change"] = Change(features, visits, not total, days)
        label_values = {name: one for name, one in label_values.items() if name not in CHANGE_OPTIONS}
    if "time_unit" in label_values:
        label_values = label_values | {"time_unit": label_values["time_unit"] or ""}
    # Not split at commas as the others are: a path may hold one.
    return LabelRequest(**label_values | several | {"labels": tuple(label_values["labels"] or ())})


def _time(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"give positive times, not {text!r}", param_hint="--horizons")
    return value
