"""`prima reports`: radiology reports to short lists of findings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from prima_features.cli.console import count, err, out, print_failures, study_progress
from prima_features.errors import NothingUsableError, UsageError
from prima_features.files.text import printable

if TYPE_CHECKING:
    from prima_features.reports.endpoint import EndpointConfig
    from prima_features.reports.records import LanguageModel, Options, Report, Summary

app = typer.Typer(no_args_is_help=True, help="Radiology reports: short lists of findings, diagnoses.")

Method = Literal["rules", "endpoint", "transformers"]
_TABLE, _MODEL = "Table", "Language model"


@app.callback()
def _group() -> None:
    pass  # with it, `summarize` is a command of the group and not the group itself


@app.command()
def summarize(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="TSV, CSV or Excel table with study ids and reports.")
    ],
    output: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="TSV table to write.", show_default=False)
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(
            "--method",
            metavar="METHOD",
            help="How to summarise: rules, endpoint (a language model on a server) or transformers (a language model "
            "on this machine) (default: rules, or endpoint if --endpoint is given).",
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels",
            help="A column for each of Prima's 52 diagnoses (1, 0 or empty), and a column abnormal: 1 if any of "
            "them is 1, otherwise 0.",
        ),
    ] = False,
    label_method: Annotated[
        Literal["rules", "model"] | None,
        typer.Option(
            "--label-method",
            help="How to assign labels: by rules, or with the language model (default: as --method).",
            show_default=False,
        ),
    ] = None,
    unmentioned: Annotated[
        Literal["0", "empty"],
        typer.Option("--unmentioned", help="Label of a diagnosis that the report does not mention."),
    ] = "0",
    max_items: Annotated[
        int, typer.Option("--max-items", metavar="N", min=1, help="Maximum number of findings.")
    ] = 10,
    keep_normal: Annotated[
        bool, typer.Option("--keep-normal", help="Keep findings that are reported as normal or absent.")
    ] = False,
    id_column: Annotated[
        str,
        typer.Option(
            "--id-column",
            metavar="COLUMN",
            help="Column with the study ids (default: found by its name).",
            rich_help_panel=_TABLE,
        ),
    ] = "",
    report_column: Annotated[
        str,
        typer.Option(
            "--report-column",
            metavar="COLUMN",
            help="Column with the reports (default: found by its name).",
            rich_help_panel=_TABLE,
        ),
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            help="Summarise only the first N reports (default: all).",
            rich_help_panel=_TABLE,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            metavar="MODEL",
            help="Name of the model on the server, or, for transformers, a folder with a model.",
            rich_help_panel=_MODEL,
        ),
    ] = "",
    endpoint: Annotated[
        str,
        typer.Option(
            "--endpoint",
            metavar="URL",
            help="An OpenAI-compatible server, such as http://localhost:8000/v1. Only with this option are reports "
            "sent anywhere, and only to that server.",
            rich_help_panel=_MODEL,
        ),
    ] = "",
    api_key_env: Annotated[
        str,
        typer.Option(
            "--api-key-env",
            metavar="NAME",
            help="Environment variable with the API key (default: no key).",
            rich_help_panel=_MODEL,
        ),
    ] = "",
    rate: Annotated[
        float | None,
        typer.Option(
            "--rate",
            metavar="N",
            help="Maximum number of requests per minute (default: no limit).",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers", metavar="N", min=1, help="Number of concurrent requests.", rich_help_panel=_MODEL
        ),
    ] = 4,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="Time to wait for an answer, in seconds.",
            rich_help_panel=_MODEL,
        ),
    ] = 120.0,
    retries: Annotated[
        int,
        typer.Option(
            "--retries",
            metavar="N",
            min=0,
            help="Number of further attempts if the server is busy or fails.",
            rich_help_panel=_MODEL,
        ),
    ] = 4,
    max_tokens: Annotated[
        int,
        typer.Option(
            "--max-tokens",
            metavar="N",
            min=1,
            help="Maximum length of an answer, in tokens.",
            rich_help_panel=_MODEL,
        ),
    ] = 1024,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            metavar="DEVICE",
            help="Device for transformers: auto (a GPU if available, otherwise the CPU), cpu or cuda.",
            rich_help_panel=_MODEL,
        ),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite OUT even if this command did not write it.")
    ] = False,
    show_prompt: Annotated[
        bool,
        typer.Option(
            "--show-prompt",
            help="Print the request for the first report; send nothing.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
) -> None:
    """Turn each report into a short numbered list of its findings.

    Nothing is sent anywhere unless --endpoint is given. Reports that fail are listed with the reason, and the others
    are summarised. With a language model, answers are kept in OUT.parts.jsonl: the same command resumes an interrupted
    run. For research use only.
    """
    from prima_features.reports import Options, read_reports
    from prima_features.reports import summarize as run

    chosen = method or ("endpoint" if endpoint else "rules")
    _check(chosen, endpoint, model, rate)
    if label_method and not labels:
        raise UsageError("--label-method has no effect without labels: add --labels")
    label_method = label_method or ("rules" if chosen == "rules" else "model")
    options = Options(max_items, keep_normal, label_method if labels else None, unmentioned)
    reports = read_reports(table, id_column, report_column)[:limit]
    if show_prompt:
        _show_prompts(reports, options)
        return
    if output is None:
        raise typer.BadParameter("name the file to write, such as summaries.tsv", param_hint="OUT")
    language_model: LanguageModel | None = None
    if chosen == "endpoint":
        from prima_features.reports.endpoint import Endpoint, EndpointConfig

        config = EndpointConfig(
            endpoint, model, _key(api_key_env), rate, workers, timeout, retries, max_tokens=max_tokens
        )
        _warn_of_another_machine(config)
        language_model = Endpoint(config)
    elif chosen == "transformers":
        from prima_features.embedding.engine.device import pick_device
        from prima_features.reports.local_model import LocalModel

        language_model = LocalModel(Path(model), str(pick_device(device)), max_tokens)
    with study_progress("asking") as show:

        def on_answer(done: int, total: int, study: str, wrong: str) -> None:
            show(done, total, study, "failed" if wrong else "answered")

        summary = run(reports, output, options, language_model, on_answer, [table], force)
    _print_summary(summary)


def _check(method: Method, endpoint: str, model: str, rate: float | None) -> None:
    if endpoint and method != "endpoint":
        raise UsageError(f"--endpoint cannot be combined with --method {method}: leave one of them out")
    if method == "endpoint" and not endpoint:
        raise UsageError("--method endpoint needs --endpoint with the server's address")
    if method == "transformers" and not model:
        raise UsageError("--method transformers needs --model with the folder of a model")
    if model and method == "rules":
        raise UsageError("--model is for a language model: add --endpoint, or --method transformers")
    if rate is not None and method != "endpoint":
        raise UsageError("--rate limits requests to a server: add --endpoint, or leave it out")


def _key(variable: str) -> str:
    if not variable:
        return ""
    if not (key := os.environ.get(variable, "").strip()):
        raise UsageError(f"the environment variable {variable}, which --api-key-env names, is not set")
    return key


def _warn_of_another_machine(config: EndpointConfig) -> None:
    if config.is_local:
        return
    unprotected = "" if config.address.scheme == "https" else ", without encryption"
    host = escape(config.address.hostname or "")
    err.print(f"[yellow]Warning:[/] reports are sent to {host}, which is not this machine{unprotected}")


def _show_prompts(reports: Sequence[Report], options: Options) -> None:
    """The prompts of the first report that has findings."""
    from prima_features.reports.prompts import labels_prompt, summary_prompt
    from prima_features.reports.records import ReportError

    for report in reports:
        try:
            typer.echo(printable(summary_prompt(report.text, options), keep="\n"))
        except ReportError:
            continue
        if options.labels == "model":
            typer.echo(printable(labels_prompt(report.text), keep="\n"))
        return
    raise UsageError("none of the reports has findings to ask about: check --report-column")


def _print_summary(summary: Summary) -> None:
    from prima_features.studies.study import Failure

    failures = [Failure(failed.study, "", "summarize", failed.reason) for failed in summary.failures]
    if not summary.n_studies:
        raise NothingUsableError("no report could be summarised: no table was written", failures)
    print_failures(failures)
    kept = f", {summary.n_kept} of the answers kept from an earlier run" if summary.n_kept else ""
    failed = f"; {len(failures)} failed" if failures else ""
    out.print(f"[bold]{escape(str(summary.output))}[/]: {count(summary.n_studies, 'study')}{kept}{failed}")
    if failures:
        raise typer.Exit(3)
