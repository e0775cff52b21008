"""`prima weights`: list, download, convert, verify and push models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from prima_features.cli.console import out, table

app = typer.Typer(
    no_args_is_help=True, help="Models and probes on the Hub: list, download, convert, verify, push."
)

_HubId = Annotated[str, typer.Argument(metavar="OWNER/NAME[@REVISION]", help="A model on the Hub.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", "--force", help="Replace DIR if it is not empty.")]


@app.command("list")
def list_models() -> None:
    """Show the models in the package and those in the Hub client's cache."""
    from prima_features.encoders.registry import installed
    from prima_features.models.catalog import known_models

    models = table("model", "revision", "MB", "where")
    for model in known_models(installed()):
        size = f"{model.megabytes:.1f}"
        models.add_row(escape(model.name), escape(model.revision), size, escape(str(model.directory)))
    out.print(models)


@app.command()
def download(
    hub_id: _HubId,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="New folder for the model, for example to copy to a machine without internet access (default: the "
            "Hub client's cache).",
        ),
    ] = None,
) -> None:
    """Download a model, by default to the Hub client's cache; other commands then find it by its name."""
    from prima_features.hub.repositories import split_revision
    from prima_features.models import transfer

    name, revision = split_revision(hub_id)
    out.print(f"Model: {escape(str(transfer.download(name, revision, output)))}")


@app.command()
def convert(
    full: Annotated[
        Path, typer.Argument(metavar="FULL.pt", help="The published model, primafullmodel107.pt.")
    ],
    tokenizer: Annotated[
        Path,
        typer.Option(
            "--tokenizer",
            metavar="FILE",
            help="The published tokenizer, vqvae_model_step16799.pth.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Model directory to write.", show_default=False)
    ],
    overwrite: _Overwrite = False,
) -> None:
    """Make a model directory from the published files, without running any code in them."""
    from prima_features.encoders.prima.convert.run import convert as convert_files

    config = convert_files(full, tokenizer, output, overwrite)
    out.print(f"Model: {escape(str(output))}")
    out.print(f"Text tower: {'yes' if config.text else 'no'}")
    if (heads := config.heads) is not None:
        parts = {"diagnoses": heads.diagnosis, "referrals": heads.referral, "priority levels": heads.priority}
        out.print(f"Heads: {', '.join(f'{len(part)} {name}' for name, part in parts.items())}")


@app.command()
def verify(
    model: Annotated[
        str, typer.Argument(metavar="DIR|NAME", help="Model directory, or the name of a model.")
    ],
) -> None:
    """Compare a model's files with their recorded checksums, and load every part."""
    from prima_features.encoders.registry import verify as check
    from prima_features.models.resolve import resolve

    files, loaded = check(resolve(model).directory)
    shown = table("file", "sha256", "")
    for file in files:
        shown.add_row(file.name, file.sha256, "as recorded" if file.recorded else "no checksum recorded")
    out.print(shown)
    out.print(f"Loaded: {escape(', '.join(loaded))}")


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
    from prima_features.models import transfer
    from prima_features.probes import persistence

    if persistence.is_probe(directory):
        pushed = persistence.push(directory, hub_id, private)
    else:
        pushed = transfer.push(directory, hub_id, private, check=load_encoder)
    out.print(f"Pushed: {escape(pushed)}")
