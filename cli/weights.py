"""`prima weights`: list, download, convert, verify and push models."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from prima_features.cli.console import downloading, err, out, table
from prima_features.cli.options import Overwrite
from prima_features.errors import NothingUsableError, UsageError
from prima_features.models.directory import ANSWER
from prima_features.wording import RESEARCH_ONLY

if TYPE_CHECKING:
    from prima_features.encoders.prima.networks.config import PrimaConfig
    from prima_features.models.published import PublishedModel

app = typer.Typer(
    no_args_is_help=True, help="Models and probes on the Hub: list, download, convert, verify, push."
)


@app.command("list")
def list_models() -> None:
    """Show the models on this machine, then the published models that can be converted, with licences and gates.

    On this machine are the models in the package and those in the Hub client's cache.
    """
    from prima_features.encoders.registry import installed
    from prima_features.models.catalog import known_models
    from prima_features.models.published import CONVERTIBLE

    models = table("model", "revision", "MB", "where")
    for model in known_models(installed()):
        size = f"{model.megabytes:.1f}"
        models.add_row(escape(model.name), escape(model.revision), size, escape(str(model.directory)))
    out.print(models)
    # Two tables: in one, a row would be too long to read.
    terms = table("published", "width", "parameters", "MB (about)", "gate", "licence of the weights")
    inputs = table("published", "input", "vector")
    for row in CONVERTIBLE:
        terms.add_row(
            row.name,
            str(row.width),
            "" if row.parameters is None else f"{row.parameters:g} M",
            str(row.megabytes),
            "gated" if row.gate else "none",
            escape(row.weights_licence),
        )
        inputs.add_row(row.name, escape(row.input), row.about)
    for shown in (terms, inputs):
        out.print()
        out.print(shown)
    out.print()
    for caveat in dict.fromkeys(row.caveat for row in CONVERTIBLE if row.caveat):
        out.print(f"[yellow]{escape(caveat)}[/]")
    for row in CONVERTIBLE:
        if row.gate:
            out.print(f"{row.name} is gated ({row.gate}): {row.source.page}")
    out.print("Get one: prima weights download NAME --output DIR")


@app.command()
def download(
    model: Annotated[
        str,
        typer.Argument(
            metavar="OWNER/NAME[@REVISION]|NAME",
            help="A model directory on the Hub, or a published model by its name in `prima weights list`.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="New folder for the model, such as one to copy to a machine without internet access; required for "
            "published models (default: the Hub client's cache).",
        ),
    ] = None,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Published models: download without asking, after showing source and licence."
        ),
    ] = False,
    keep_files: Annotated[
        bool, typer.Option("--keep-files", help="Published models: keep the published files in DIR.download.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Download a model from the Hub, or a published model, which is then converted and verified.

    A model from the Hub goes to the Hub client's cache by default, where other commands find it by its name. The files
    of published models come from where their authors put them, under your own account if they are gated (`hf auth
    login`); an interrupted download resumes when the command is run again.
    """
    from prima_features.hub.repositories import split_revision
    from prima_features.models import catalog
    from prima_features.models.published import PUBLISHED, Bundled

    known = {row.name: row for row in PUBLISHED}
    if model not in known:
        name, revision = split_revision(model)
        out.print(f"Model: {escape(str(catalog.download(name, revision, output)))}")
        return
    if isinstance(known[model].source, Bundled):
        raise UsageError(f"{model} is in the package: use it with --model {model}")
    if output is None:
        raise UsageError("a published model needs a folder: give --output DIR")
    if model == "prima":
        _download_published(output, yes, keep_files, overwrite)
    else:
        _download_encoder(known[model], output, yes, keep_files, overwrite)


def _confirm(yes: bool) -> None:
    out.print(RESEARCH_ONLY)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is there to confirm the download: give --yes")
        typer.confirm("Download?", abort=True)


def _download_encoder(
    model: PublishedModel, output: Path, yes: bool, keep_files: bool, overwrite: bool
) -> None:
    from prima_features.encoders.download import download as fetch

    out.print(f"Source: {model.source.page}, about {model.megabytes} MB")
    out.print(f"Licence of the weights: {escape(model.weights_licence)}; of the code: {model.code_licence}.")
    out.print(f"Gate: {model.gate or 'none'}")
    if model.caveat:
        out.print(f"[yellow]{escape(model.caveat)}[/]")
    _confirm(yes)
    with downloading() as on_file:
        fetch(
            model,
            output,
            overwrite=overwrite,
            keep_files=keep_files,
            on_file=on_file,
            on_checksum=lambda name, size, checksum: out.print(f"{name}: {size:,} bytes, SHA-256 {checksum}"),
        )
    _check_converted(output, answer=True)


def _download_published(output: Path, yes: bool, keep_files: bool, overwrite: bool) -> None:
    from prima_features.encoders.prima import published
    from prima_features.encoders.registry import verify as check

    out.print(f"Source: {published.SOURCE}, files on Google Drive:")
    for file in published.FILES:
        out.print(f"  {file.name} ({file.what})")
    out.print(f"Licence: {published.LICENCE}.")
    out.print(f"Disk space: about {published.ABOUT_GB} GB during the conversion, half of it afterwards.")
    _confirm(yes)
    with downloading() as on_file:
        config = published.download_published(
            output,
            overwrite=overwrite,
            keep_files=keep_files,
            on_file=lambda file: on_file(file.name),
            on_checksum=lambda file, size, checksum: out.print(
                f"{file.name}: {size:,} bytes, SHA-256 {checksum}"
            ),
        )
    check(output)
    _describe(output, config)


def _describe(output: Path, config: PrimaConfig) -> None:
    """What was converted."""
    from prima_features.encoders.prima.published import priority_warning

    out.print(f"Model: {escape(str(output))}")
    out.print(f"Text tower: {'yes' if config.text else 'no'}")
    if (heads := config.heads) is not None:
        parts = {"diagnoses": heads.diagnosis, "referrals": heads.referral, "priority levels": heads.priority}
        out.print(f"Heads: {', '.join(f'{len(part)} {name}' for name, part in parts.items())}")
    if warning := priority_warning(config.heads):
        err.print(f"[yellow]Warning:[/] {warning}")


@app.command()
def convert(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="The published file, such as primafullmodel107.pt for Prima."),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Model directory to write.", show_default=False)
    ],
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder", metavar="NAME", help="The published model, by its name in `prima weights list`."
        ),
    ] = "prima",
    tokenizer: Annotated[
        Path | None,
        typer.Option(
            "--tokenizer",
            metavar="FILE",
            help="Prima: the published tokenizer, vqvae_model_step16799.pth (required).",
            show_default=False,
        ),
    ] = None,
    answer: Annotated[
        bool,
        typer.Option(
            "--answer/--no-answer",
            help="Also store this machine's embedding of a synthetic scan, which `prima weights verify` and "
            "`prima doctor` compute again (not for Prima).",
        ),
    ] = True,
    overwrite: Overwrite = False,
) -> None:
    """Make a model directory from published files, without running any code in them.

    A config.json next to FILE is read if the encoder has one.
    """
    if encoder == "prima":
        from prima_features.encoders.prima.convert.run import convert as convert_prima

        if tokenizer is None:
            raise UsageError("Prima's tokenizer is a file of its own: give --tokenizer FILE")
        _describe(output, convert_prima(file, tokenizer, output, overwrite))
        return
    if tokenizer is not None:
        raise UsageError(f"--tokenizer is for Prima only: leave it out for {encoder}")
    from prima_features.encoders.convert import convert as convert_file

    convert_file(file, encoder, output, overwrite)
    _check_converted(output, answer)


def _check_converted(output: Path, answer: bool) -> None:
    """Load a converted model, and record its known answer."""
    from prima_features.doctor.check import Setup
    from prima_features.doctor.known_answer import record_answer
    from prima_features.encoders.registry import load_encoder

    load_encoder(output)
    if answer:
        try:
            record_answer(Setup(Path(gettempdir()), str(output)))
        except NothingUsableError:
            err.print(
                "[yellow]Warning:[/] no known answer is stored: this encoder refuses the synthetic scan (see above)"
            )
    out.print(f"Model: {escape(str(output))}")


@app.command()
def verify(
    model: Annotated[
        str, typer.Argument(metavar="DIR|NAME", help="Model directory, or the name of a model.")
    ],
) -> None:
    """Compare a model's files with their recorded checksums, load every part, and compute its known answer again.

    The known answer is an embedding of a synthetic scan, stored with the model by `prima weights convert` and `prima
    doctor --record-answer`.
    """
    from prima_features.doctor.check import Setup, Status
    from prima_features.doctor.known_answer import known_answer
    from prima_features.encoders.registry import verify as check
    from prima_features.models.resolve import resolve

    directory = resolve(model).directory
    files, loaded = check(directory)
    shown = table("file", "sha256", "")
    for file in files:
        shown.add_row(file.name, file.sha256, "as recorded" if file.recorded else "no checksum recorded")
    out.print(shown)
    out.print(f"Loaded: {escape(', '.join(loaded))}")
    if not (directory / ANSWER).is_file():
        out.print("Known answer: none recorded (prima doctor --record-answer)")
        return
    for answer in known_answer(Setup(Path(gettempdir()), model)):
        if answer.status is Status.FAIL:
            raise UsageError(
                f"the known answer of {model} is not reproduced ({answer.found}): {answer.remedy}"
            )
        out.print(f"Known answer: {escape(answer.found)}")


@app.command()
def push(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Model directory or probe folder.")],
    hub_id: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Repository on the Hub.")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
) -> None:
    """Upload a model or a probe to the Hub; the repository is created if it does not exist (log in first).

    Of a probe, predictions.tsv and the list of training subjects are not uploaded: they contain data on
    individual persons.
    """
    from prima_features.encoders.registry import load_encoder
    from prima_features.models import catalog
    from prima_features.probes import persistence

    if persistence.is_probe(directory):
        pushed = persistence.push(directory, hub_id, private)
    else:
        pushed = catalog.push(directory, hub_id, private, check=load_encoder)
    out.print(f"Pushed: {escape(pushed)}")
