"""`prima diagnose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import count, counting, err, out, print_caveat
from prima_features.cli.options import Device, NoPage
from prima_features.models import DEFAULT_MODEL
from prima_features.wording import RESEARCH_ONLY, verb


def diagnose(
    embeddings: Annotated[
        Path,
        typer.Argument(metavar="FILE.h5", help="Embeddings file, made with the model that has the heads."),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT.tsv", help="Table of scores to write; OUT.json and OUT.html appear next to it."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="A model with heads: a bundled name, a model directory or a Hub id.",
        ),
    ] = DEFAULT_MODEL,
    worklist: Annotated[
        Literal["expected", "high", "high-none"],
        typer.Option(
            "--worklist",
            help="Number to order studies by: expected level under the softmax of the priority outputs, the output of "
            "the highest level, or that output minus the output of the lowest level.",
        ),
    ] = "expected",
    public_json: Annotated[
        Path | None,
        typer.Option(
            "--public-json",
            metavar="DIR",
            help="Also write one STUDY_predictions.json per study, as Prima's public pipeline does.",
        ),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="calibration.json of prima audit --calibrate on this model's scores: adds columns of probabilities.",
        ),
    ] = None,
    no_page: NoPage = False,
    device: Device = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite outputs even if this command did not write them.")
    ] = False,
) -> None:
    """Score every study of an embeddings file: diagnoses, referrals, and a worklist.

    A score is the head's output minus its threshold: 0 or more means present. It is not a probability. Scores,
    raw priority outputs, the worklist number (higher is more urgent) and the rank (1 is the most urgent) are one row
    per study. OUT.json states the thresholds, the worklist rule and the model; OUT.html shows the most urgent studies
    first, with pictures if FILE.h5 has an HTML report.
    """
    from prima_features.clinical import diagnose as score

    with counting("heads") as on_head:
        found = score(
            embeddings,
            output,
            model,
            worklist=worklist,
            public_json=public_json,
            calibration=calibration,
            page=not no_page,
            device=device,
            force=force,
            on_head=on_head,
        )
    scores = found.scores
    items = [
        count(len(scores.diagnosis_names), "diagnosis", "diagnoses"),
        count(len(scores.referral_names), "referral"),
        count(len(scores.priority_names), "priority level"),
    ]
    out.print(f"[bold]{escape(str(output))}[/]: {count(len(found.table), 'study')}; {', '.join(items)}")
    if not no_page:
        out.print(f"Worklist: {escape(str(output.with_suffix('.html')))}")
    if not scores.priority_names:
        err.print("[yellow]Warning:[/] the model has no priority head, so there is no worklist")
    if calibration is not None and (without := found.document["calibration"]["without"]):
        named = escape(", ".join(without[:5])) + (", ..." if len(without) > 5 else "")
        err.print(
            f"[yellow]Warning:[/] {count(len(without), 'name')} without a probability, because "
            f"{escape(calibration.name)} has no curve: {named}"
        )
    if n := len(found.not_scored):
        err.print(
            f"[yellow]Warning:[/] {count(n, 'study')} of the embeddings file could not be embedded and "
            f"{verb(n, 'has', 'have')} no scores: {escape(', '.join(found.not_scored[:5]))}{', ...' if n > 5 else ''}"
        )
    print_caveat(found.caveat)
    out.print(RESEARCH_ONLY)
