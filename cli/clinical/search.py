"""`prima search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from prima_features.cli.console import count, err, out, print_caveat, table
from prima_features.cli.options import Device, ForceTable, NoPage
from prima_features.errors import UsageError
from prima_features.models import DEFAULT_MODEL
from prima_features.wording import RESEARCH_ONLY


def search(
    embeddings: Annotated[
        Path, typer.Argument(metavar="FILE.h5", help="Embeddings file of a model with a text tower.")
    ],
    query: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help='Finding to look for, such as "acute left MCA infarct".'),
    ] = None,
    all_of: Annotated[
        bool,
        typer.Option(
            "--all-of", help="Combine all TEXTs into one query: a study with all of these findings."
        ),
    ] = False,
    against: Annotated[
        str | None,
        typer.Option(
            "--against", metavar="TEXT", help="Rank by the cosine with TEXT minus the cosine with this text."
        ),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option("--texts", metavar="FILE", help="Text file with one query per line.")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", metavar="STUDY", help="Rank by similarity to a study of the file.")
    ] = None,
    reports: Annotated[
        Path | None,
        typer.Option(
            "--reports",
            metavar="TABLE",
            help="Table of study ids and findings: measure how well reports find their studies and vice versa.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="The model that made FILE.h5: a bundled name, a directory, or a Hub id.",
        ),
    ] = DEFAULT_MODEL,
    top: Annotated[
        int, typer.Option("--top", metavar="N", min=1, help="Number of studies to print per query.")
    ] = 10,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="OUT.tsv",
            help="Table of all ranks to write; OUT.html appears next to it. With --reports: OUT.json, the metrics.",
        ),
    ] = None,
    no_page: NoPage = False,
    device: Device = "auto",
    force: ForceTable = False,
) -> None:
    """Rank the studies of an embeddings file by a text, or by similarity to one of its studies.

    A query is encoded like a radiology report: as a numbered list of findings. The cosine is not a probability, and no
    threshold on it means that a finding is present.
    """
    from prima_features.clinical.search import check_output, read_queries, search_like, write_results
    from prima_features.clinical.search import search as search_texts

    if (bool(query) + (texts is not None) + (like is not None) + (reports is not None)) != 1:
        raise UsageError(
            'give one of: TEXT, such as "acute left MCA infarct"; --texts FILE; --like STUDY; or --reports TABLE'
        )
    if reports is not None:
        if against or all_of:
            raise UsageError("--reports measures retrieval: leave out --against and --all-of")
        _retrieval(embeddings, reports, model, output, device, force)
        return
    queries: list[str | tuple[str, ...]] = [tuple(query)] if all_of and query else list(query or ())
    if like is not None and (against or all_of):
        raise UsageError("--like ranks by a study: leave out --against and --all-of")
    if texts is not None and all_of:
        raise UsageError(
            "--all-of combines the TEXTs of the command line, not the lines of --texts: leave it out"
        )
    if output is not None:
        check_output(embeddings, output, model, force, texts)
    if like is not None:
        found = search_like(embeddings, like)
    else:
        if texts is not None:
            queries = [*read_queries(texts)]
        found = search_texts(embeddings, queries, model, against=against or "", device=device)
    by = "difference" if against else "cosine"
    for name, hits in found.table.groupby("query", sort=False):
        if found.table["query"].nunique() > 1:
            out.print(f"[bold]{escape(str(name))}[/]")
        shown = table("rank", "study", "subject", "session", *(("cosine", "against") if against else ()), by)
        for row in hits.head(top).itertuples():
            numbers = (f"{getattr(row, column):.4f}" for column in (("cosine", "against") if against else ()))
            names = (escape(str(one)) for one in (row.study, row.subject, row.session))
            shown.add_row(str(row.rank), *names, *numbers, f"{getattr(row, by):.4f}")
        out.print(shown)
    for warning in found.warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}")
    if output is not None:
        write_results(found, output, not no_page)
        out.print(f"[bold]{escape(str(output))}[/]: {count(len(found.table), 'row')}")
    print_caveat(found.caveat)
    out.print(RESEARCH_ONLY)


def _retrieval(
    embeddings: Path, reports: Path, model: str, output: Path | None, device: str, force: bool
) -> None:
    from prima_features.clinical.search import check_metrics, retrieval_of_reports, write_metrics

    if output is not None:
        check_metrics(embeddings, output, model, reports, force)
    found = retrieval_of_reports(embeddings, reports, model, device=device)
    shown = table("recall at", "study found by its report", "report found by its study", "chance")
    for k, one in found.metrics.study_of_text.items():
        shown.add_row(str(k), str(one), str(found.metrics.text_of_study[k]), f"{found.metrics.chance(k):.3f}")
    out.print(f"{count(found.metrics.n, 'pair')} of a study and its report; 95% intervals over subjects")
    out.print(shown)
    out.print(f"CLIP score (100 times the mean cosine of pairs): {found.metrics.clip_score}")
    for warning in found.warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}")
    if output is not None:
        write_metrics(found, output)
        out.print(f"[bold]{escape(str(output))}[/]")
    print_caveat(found.caveat)
    out.print(RESEARCH_ONLY)
