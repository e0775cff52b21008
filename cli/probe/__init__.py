"""`prima probe`: probes on embeddings."""

import typer

from prima_features.cli.probe import fit, listing, saved

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Probes: small models that predict age, a diagnosis or any column from embeddings.\n\n"
    "For research use only: not a medical device.",
)
app.command("list")(listing.list_known)
app.command("fit")(fit.fit)
app.command("evaluate")(saved.evaluate)
app.command("predict")(saved.predict)
app.command("compare")(saved.compare)
