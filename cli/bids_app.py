"""`prima BIDS_DIR OUT_DIR participant`: the command line that BIDS Apps share."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import out
from prima_features.cli.outputs import merge

if TYPE_CHECKING:
    from prima_features.encoders.base import EncoderInfo
    from prima_features.studies import FindOptions
    from prima_features.studies import Format as SourceFormat

LEVELS = ("participant", "group")
OPTION = "--analysis-level"


def as_embed(arguments: Sequence[str], commands: Collection[str]) -> list[str]:
    """The arguments of a BIDS App as those of `prima embed`; others as they are.

    `BIDS OUT participant`, with or without `embed` before it, becomes `embed BIDS OUT --analysis-level participant`.
    Its place distinguishes the level from a path or a label of the same name: after two words that are not options,
    and last or before an option. Options may have underscores (`--participant_label`), as in the BIDS Apps' definition.
    """
    given = list(arguments)
    command = given[0] if given and given[0] in commands else ""
    level = next((i for i in range(len(given)) if _is_level(given, i, first=1 if command else 0)), None)
    if command not in ("", "embed") or level is None:
        return given
    rest = map(_hyphenated, given[:level] + given[level + 1 :])
    return [*([] if command else ["embed"]), *rest, OPTION, given[level]]


def _hyphenated(text: str) -> str:
    name, equals, value = text.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else text


def _is_level(arguments: Sequence[str], place: int, first: int) -> bool:
    before, after = arguments[max(place - 2, first) : place], arguments[place + 1 :]
    return (
        arguments[place] in LEVELS
        and len(before) == 2
        and not any(text.startswith("-") for text in before)
        and (not after or after[0].startswith("-"))
    )


def bids_format(format: SourceFormat, manifest: Path | None) -> Literal["bids"]:
    """The one format that a BIDS App takes.

    Raises:
        typer.BadParameter: another was asked for.
    """
    if manifest is not None:
        raise typer.BadParameter("a BIDS App takes a BIDS dataset", param_hint="--manifest")
    if format not in ("auto", "bids"):
        raise typer.BadParameter(f"a BIDS App takes a BIDS dataset, not {format}", param_hint="--format")
    return "bids"


def check_one_model(models: Sequence[str]) -> None:
    """Check that a BIDS App gets one model without a name of its own: its folder has one embeddings file.

    Raises:
        typer.BadParameter: it gets several, or a name.
    """
    if len(models) > 1 or re.match(r"[^/=]+=", models[0]):
        raise typer.BadParameter(
            "a BIDS App takes one MODEL: run it once per model, each with an output folder of its own",
            param_hint="--model",
        )


def bids_app_output(folder: Path, source: Path, options: FindOptions) -> Path:
    """Make the output's folder; returns the embeddings file in it."""
    from prima_features.embedding.export.derivative import participant_output

    return participant_output(folder, source, options.selection)


def describe_output(folder: Path, source: Path, model: EncoderInfo) -> None:
    """Write the folder's dataset_description.json."""
    from prima_features.embedding.export.derivative import describe_derivative

    describe_derivative(folder, source, f"{model.name} {model.revision} (sha256 {model.sha256})")


def merge_participants(folder: Path, force: bool, no_report: bool, no_pictures: bool) -> None:
    """The `group` level: one file of those of single participants."""
    from prima_features.embedding.export.derivative import EMBEDDINGS, group_inputs

    if inputs := group_inputs(folder):
        merge(folder / EMBEDDINGS, inputs, force=force, no_report=no_report, no_pictures=no_pictures)
    else:
        out.print(
            f"[bold]{escape(str(folder / EMBEDDINGS))}[/] contains all results of the participant level"
        )
