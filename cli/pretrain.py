"""`prima pretrain`: tokenizer, names, clip, heads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from prima_features.cli.console import err, out, print_failures, table

if TYPE_CHECKING:
    from prima_features.pretraining.run import Callbacks
    from prima_features.pretraining.stages.clip import ClipStage

_Config = Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="Settings (docs/pretraining.md).")]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume/--fresh",
        help="Continue from the newest checkpoint of the same run, or discard an earlier run.",
    ),
]
_Export = Annotated[
    bool,
    typer.Option(
        "--export",
        help="Do not train: export the newest checkpoint, or the best one if the settings say so.",
    ),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan; train and write nothing.")]


_STAGES = {
    "tokenizer": "Train the 3-D VQ-VAE on subvolumes.",
    "names": "Train the sequence-name encoder against images of one series.",
    "clip": "Train sequence and study ViT and the text tower on studies and reports.",
    "heads": "Train diagnosis, referral and priority heads on embeddings.",
}


def stage_commands(started_by: str, clip: Callable[[], type[ClipStage]] | None = None) -> typer.Typer:
    """One command per stage.

    Args:
        started_by: how torchrun names what runs them, for the help text.
        clip: returns the CLIP stage of a recipe, used instead of Prima's.
    """
    commands = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        help="Train the model in stages, each from a TOML file.\n\n"
        f"In several processes: torchrun {started_by} STAGE CONFIG.toml",
    )
    for stage, text in _STAGES.items():
        _add(commands, stage, text, clip)
    return commands


def _add(commands: typer.Typer, stage: str, text: str, clip: Callable[[], type[ClipStage]] | None) -> None:
    @commands.command(stage, help=text)
    def command(
        config: _Config, resume: _Resume = True, export: _Export = False, dry_run: _DryRun = False
    ) -> None:
        _run(stage, config, resume, export, dry_run, None if clip is None else clip())


app = stage_commands("-m prima_features.pretraining")


def _run(
    stage: str, config: Path, resume: bool, export: bool, dry_run: bool, clip: type[ClipStage] | None
) -> None:
    if dry_run:
        _show_plan(stage, config, not resume, clip)
        return
    from prima_features.pretraining.run import pretrain

    with _progress() as callbacks:
        result = pretrain(stage, config, fresh=not resume, train=not export, callbacks=callbacks, clip=clip)
    if not result.is_main:
        return
    print_failures(result.failures)
    for name, value in result.measures.items():
        out.print(f"{escape(name)}: {value:.4g}")
    resumed = f", resumed from step {result.resumed_at}" if result.resumed_at and not export else ""
    skipped = f", {result.skipped} of them skipped" if result.skipped else ""
    best = f"; exported step {result.exported}, the best" if result.exported != result.steps else ""
    out.print(f"[bold]{escape(str(result.output))}[/]: {result.steps} steps{resumed}{skipped}{best}")
    if not result.complete:
        raise typer.Exit(3)


def _show_plan(stage: str, config: Path, fresh: bool, clip: type[ClipStage] | None) -> None:
    from prima_features.pretraining.plan import make_plan

    shown = table("", "")
    for name, value in make_plan(stage, config, fresh, clip).items():
        shown.add_row(escape(name), escape(str(value)))
    if int(os.environ.get("RANK", "0")) == 0:
        out.print(shown)


@contextmanager
def _progress() -> Iterator[Callbacks]:
    """Progress bars on a terminal, plain lines otherwise."""
    from prima_features.pretraining.run import Callbacks

    if not err.is_terminal:
        yield Callbacks(_print_study, _print_start, _print_step)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[shown]}"), console=err) as progress:
        studies = progress.add_task("studies", total=None, visible=False, shown="")
        steps = progress.add_task("steps", total=None, visible=False, shown="")
        yield Callbacks(
            lambda done, total: progress.update(studies, completed=done, total=total, visible=True),
            lambda step, total: progress.update(steps, completed=step, total=total, visible=True),
            lambda step, total, measures: progress.update(
                steps, completed=step, total=total, shown=f"loss {measures['loss']:.4g}"
            ),
        )


_LINES = 100
"""Maximum number of progress lines if the output is not a terminal."""


def _print_study(done: int, total: int) -> None:
    if _is_shown(done, total):
        err.print(f"studies read {done}/{total}")


def _print_start(step: int, steps: int) -> None:
    err.print(f"resuming from step {step} of {steps}" if step else f"{steps} steps")


def _print_step(step: int, steps: int, measures: Mapping[str, float]) -> None:
    if _is_shown(step, steps):
        err.print(f"step {step}/{steps}: loss {measures['loss']:.4g}")


def _is_shown(done: int, total: int) -> bool:
    return done == total or done % max(1, total // _LINES) == 0
