"""`prima`: the commands, and how their errors reach the user."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from prima_features._version import __version__
from prima_features.cli import (
    bench,
    doctor,
    embed,
    explain,
    inspect,
    outputs,
    pretrain,
    probe,
    reports,
    synth,
    weights,
)
from prima_features.cli.bids_app import as_embed
from prima_features.cli.clinical import audit, diagnose, search
from prima_features.cli.console import err, print_error, print_failures
from prima_features.cli.options import check_no_empty, spread
from prima_features.cli.process import standard_streams
from prima_features.errors import NothingUsableError, PrimaError, StoppedError, UsageError
from prima_features.files.safe import safe_children
from prima_features.files.text import bounded, printable
from prima_features.models.caveats import ModelCaveatWarning

# Click's, or that of the copy of Click which newer releases of typer carry.
_WrongUse: type[Exception] = typer.BadParameter.__bases__[0]
_INTERRUPTED = 130

app = typer.Typer(
    name="prima",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Features from brain MRI studies with Prima.\n\nFor research use only: not a medical device.",
    epilog="Add --debug to any command for tracebacks (they can show file paths).",
)
app.command("embed")(embed.embed)
app.command("inspect")(inspect.inspect)
app.command("merge")(outputs.merge)
app.command("export")(outputs.export)
app.command("report")(outputs.report)
app.command("search")(search.search)
app.command("diagnose")(diagnose.diagnose)
app.command("audit")(audit.audit)
app.command("explain")(explain.explain)
app.command("bench")(bench.bench)
app.command("bench-validate", hidden=True)(bench.validate)
app.add_typer(probe.app, name="probe")
app.add_typer(reports.app, name="reports")
app.add_typer(pretrain.app, name="pretrain")
app.command("synth")(synth.synth)
app.add_typer(weights.app, name="weights")
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"prima-features {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None, application: typer.Typer = app, name: str = "prima") -> int:
    """Run the command, or another application with its handling of errors; returns the exit code.

    0 all done; 1 internal error; 2 usage error; 3 some studies failed, the others were written; 4 nothing usable.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    with standard_streams() as streams:
        code = _run(given, application, name)
        if (lost := streams.lost()) is None:
            return code
        print_error(f"Some output could not be printed ({lost.strerror}); written files are not affected")
        return code or 1


@cache
def _command(application: typer.Typer = app) -> Any:
    """The whole command, which takes 0.1 s to put together."""
    command = typer.main.get_command(application)
    _tidy_types(command)
    return command


def _tidy_types(command: Any) -> None:
    """Newer releases of typer print `<bool>` after flags, as if they took a value, and `<list[Path]>` for paths."""
    context = typer.Context(command)
    for one in command.get_params(context):  # --help among them
        if getattr(one, "is_flag", False):
            one.metavar = ""
        elif one.nargs == -1 and hasattr(one, "display_type"):
            kind = re.sub(r"<list\[(.+)\]>", r"<\1>...", one.display_type(context)).lower()
            one.display_type = lambda ctx, kind=kind: kind
    for inner in getattr(command, "commands", {}).values():
        _tidy_types(inner)


def _check_current_folder() -> None:
    """Refuse to work in a folder that was deleted: libraries that load others from relative paths abort there.

    Raises:
        UsageError: the current folder does not exist any more.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UsageError(
            "The current folder was deleted: change to another one, such as with cd ~"
        ) from error


def _run(given: list[str], application: typer.Typer, name: str) -> int:
    debug = "--debug" in given
    given = bench.as_validate([argument for argument in given if argument != "--debug"])
    _configure_logging(debug)
    command = _command(application)
    try:
        check_no_empty(given)
        _check_current_folder()
        with safe_children():
            result = command.main(
                _spread_for(command, as_embed(given, command.commands)),
                prog_name=name,
                standalone_mode=False,
                obj=given,
            )
    except PrimaError as error:
        if debug:
            raise
        if isinstance(error, NothingUsableError):
            print_failures(error.failures)
        if isinstance(error, StoppedError):
            err.print(str(error), markup=False)
        else:
            print_error(str(error))
        return error.exit_code
    except _WrongUse as error:
        if sentence := _sentence(error, given):
            print_error(sentence)
        return 2
    except OSError as error:
        if debug:
            raise
        return _print_system_error(error, given)
    except (KeyboardInterrupt, typer.Abort):
        result = _INTERRUPTED
    except (Exception, SystemExit) as error:  # no library may end the process, perhaps with exit code 0
        if debug and isinstance(error, SystemExit):
            raise RuntimeError("a library tried to end the process") from error
        if debug:
            raise
        print_error(
            f"Internal error: {type(error).__name__}. Run again with --debug and report what it shows"
        )
        return 1
    if result == _INTERRUPTED:  # which newer releases of typer return, and older ones raise
        print_error("Stopped. Run the same command again: work that it had saved is kept")
    return result if isinstance(result, int) else 0


def _print_system_error(error: OSError, given: Sequence[str]) -> int:
    """Tell an error of the file system that no command expects; returns the exit code.

    Only a file that the user named is named: others can carry the names of patients.
    """
    reason = error.strerror or type(error).__name__
    if (name := str(error.filename)) in given:
        print_error(f"{bounded(name, 256)} cannot be used: {reason}; name another file or folder")
        return 2
    print_error(f"A file cannot be read or written: {reason}; run again with --debug to see which one")
    return 1


class _Formatter(logging.Formatter):
    """`Warning: ...`, as the commands print it themselves; escapes what is not printable."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(f"{record.levelname.capitalize()}: {super().format(record)}", keep="\n")


def _configure_logging(debug: bool) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("%(message)s"))
    handler.setLevel(logging.DEBUG if debug else logging.WARNING)
    logging.basicConfig(level=handler.level, handlers=[handler])
    if not debug:
        # The Hub's client warns of each of its retries; their result is reported in one sentence.
        os.environ.setdefault("HF_HUB_VERBOSITY", "critical")
    # The commands print caveats themselves.
    warnings.filterwarnings("ignore", category=ModelCaveatWarning)


def _spread_for(command: Any, arguments: list[str]) -> list[str]:
    """Spread the options of the (sub)command that the arguments name."""
    depth = 0
    while isinstance(command, TyperGroup) and depth < len(arguments):
        inner = command.commands.get(arguments[depth])
        if inner is None:
            return arguments
        command, depth = inner, depth + 1
    return arguments[:depth] + spread(arguments[depth:], command)


def _sentence(error: Any, given: Sequence[str] = ()) -> str:
    """One sentence; empty if a command without arguments has shown its help."""
    if not (message := error.format_message().rstrip(".").replace("Value error, ", "")):
        return ""
    see = f"see {error.ctx.command_path if error.ctx else 'prima'} --help"
    if given and message.startswith(f"No such command '{given[0]}'") and Path(given[0]).exists():
        return f"{message}; to embed the scans in {given[0]}: prima embed {given[0]} OUTPUT.h5; {see}"
    return f"{message}; {see}"


if __name__ == "__main__":
    sys.exit(main())
