"""`prima doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from prima_features.cli.console import out
from prima_features.cli.options import Device
from prima_features.models import DEFAULT_MODEL

_COLOUR = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red"}


def doctor(
    output: Annotated[
        Path, typer.Option("--output", metavar="FOLDER", help="Folder in which embeddings will be written.")
    ] = Path(),
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help="Model to check: a bundled name, a model directory, or a Hub id."
        ),
    ] = DEFAULT_MODEL,
    device: Device = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    record: Annotated[
        bool,
        typer.Option(
            "--record-answer",
            help="Instead of checking, store this machine's embedding of the synthetic scan with the model, for "
            "comparison on other machines.",
        ),
    ] = False,
    gated: Annotated[
        bool,
        typer.Option(
            "--gated",
            help="Instead of checking this machine, ask the Hub which gated models your account may download.",
        ),
    ] = False,
) -> None:
    """Check whether this machine can read, compute and write correctly.

    Checks Python and packages, device and memory, compressed DICOM, dcm2niix, the disk of the output, the model's
    checksums, and the embedding of a synthetic scan against stored values. Each check is PASS, WARN or FAIL, with
    advice. Exit code 1 if a check fails.
    """
    from prima_features.doctor.check import Check, Setup, Status
    from prima_features.doctor.gates import gates
    from prima_features.doctor.known_answer import record_answer
    from prima_features.doctor.run import examine, to_json, worst

    setup = Setup(output, model, device)
    if record:
        out.print(f"Recorded: {escape(str(record_answer(setup)))}")
        return
    checks: list[Check] = []
    for check in gates() if gated else examine(setup):
        checks.append(check)
        if not as_json:
            out.print(f"[{_COLOUR[check.status]}]{check.status}[/]  {check.name:<16} {escape(check.found)}")
            if check.remedy:
                out.print(f"      {'':<16} {escape(check.remedy)}")
    if as_json:
        typer.echo(json.dumps(to_json(checks), indent=2))
    if worst(checks) is Status.FAIL:
        raise typer.Exit(1)
