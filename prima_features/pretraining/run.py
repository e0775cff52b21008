"""`pretrain` trains one stage, from a settings file to a model directory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from multiprocessing import get_all_start_methods
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.embedding.file.records import Failure
from prima_features.errors import OutputError, UsageError
from prima_features.pretraining.settings import STAGES, Training, read_settings
from prima_features.pretraining.settings.common import CHECKPOINTS, TRAINING, VOCABULARY

if TYPE_CHECKING:
    from accelerate import Accelerator

    from prima_features.pretraining.stages.clip import ClipStage
    from prima_features.pretraining.training.checkpoint import Checkpoints


_PATIENCE = timedelta(days=1)
"""How long processes wait for one that finds the scans, or reads more of them into the cache than the others."""


@dataclass(frozen=True)
class Callbacks:
    """Called on the way, in the main process only."""

    on_study: Callable[[int, int], None] = lambda done, total: None
    """Studies that are in the cache, and all."""
    on_start: Callable[[int, int], None] = lambda step, steps: None
    """Step that the run begins after, and all steps."""
    on_step: Callable[[int, int, Mapping[str, float]], None] = lambda step, steps, measures: None
    """Step, number of steps, and measures of the step."""


@dataclass(frozen=True)
class TrainingSummary:
    """The result of a run."""

    output: Path
    """The model directory."""
    steps: int
    resumed_at: int
    """Step that the run went on from; 0 for a new one."""
    skipped: int
    """Steps that were skipped because something was not finite."""
    exported: int
    """Step whose weights became the model."""
    measures: Mapping[str, float]
    """Of that step's validation."""
    failures: tuple[Failure, ...]
    is_main: bool
    """False in all processes of a run but one."""

    @property
    def complete(self) -> bool:
        """True if all data were used, except what a rule excludes."""
        return not any(failure.defect for failure in self.failures)


def read_stage(stage: str, path: Path, clip: type[ClipStage] | None = None) -> Training:
    """The settings of a stage; `clip` as of `pretrain`.

    Raises:
        UsageError: there is no such stage, the settings are wrong, or accelerate is not installed.
    """
    if stage not in STAGES:
        raise UsageError(f"Unknown stage {stage}; it must be one of {', '.join(STAGES)}")
    if find_spec("accelerate") is None:
        raise UsageError("Pretraining needs accelerate: pip install 'prima-features[pretrain]'")
    kind = clip.Settings if clip is not None and stage == "clip" else STAGES[stage]
    settings = read_settings(kind, path)
    if settings.log.tensorboard and find_spec("tensorboard") is None:
        raise UsageError(
            f"{path}: log.tensorboard needs tensorboard: pip install 'prima-features[pretrain]', or set it to false"
        )
    if settings.readers and "fork" not in get_all_start_methods():
        raise UsageError(
            f"{path}: readers need a system that can fork processes, such as Linux; set readers to 0"
        )
    return settings


def pretrain(
    stage: str,
    path: Path,
    *,
    fresh: bool = False,
    train: bool = True,
    callbacks: Callbacks = Callbacks(),
    clip: type[ClipStage] | None = None,
) -> TrainingSummary:
    """Train one stage, going on from the newest checkpoint of the same run if there is one.

    Started by `torchrun` or `accelerate launch` it runs in several processes, each with its share of every batch.

    Args:
        stage: `tokenizer`, `names`, `clip` or `heads`.
        path: the settings, a TOML file (docs/pretraining.md).
        fresh: drop an earlier run's checkpoints, log and vocabulary.
        train: false takes no further step and makes the model of the newest checkpoint.
        callbacks: for a progress display.
        clip: CLIP stage of a recipe with its own settings, used instead of Prima's.

    Raises:
        UsageError: settings, data or model are wrong, the output holds a run with other settings, or there is no
            checkpoint to make a model of.
        NothingUsableError: there is nothing to train on.
        DivergedError: too many steps had no finite loss or gradient.
        OutputError: the disk is full.
    """
    from prima_features.pretraining.model.export import check_output

    settings = read_stage(stage, path, clip)
    check_output(settings)
    folder = settings.output / TRAINING
    if fresh and not train:
        raise UsageError("--fresh deletes the checkpoints that --export needs; use only one of them")
    with _session(settings, folder) as accelerator:
        check_processes(settings, accelerator.num_processes)
        return _train(settings, folder, accelerator, fresh, train, callbacks, clip)


def check_processes(settings: Training, processes: int) -> None:
    """Raise UsageError where a batch cannot be divided among the processes."""
    unit = processes * settings.together
    if settings.batch % unit:
        raise UsageError(
            f"batch is {settings.batch}, which cannot be divided among {processes} processes; set it to a multiple of "
            f"{unit}"
        )


def check_earlier(checkpoints: Checkpoints, settings: Training) -> None:
    """Raise UsageError where other settings than those of the run that is there are given.

    It is asked before the cache is filled, which may take hours.
    """
    from prima_features.pretraining.training.checkpoint import check_settings

    if (state := checkpoints.latest()) is not None:
        check_settings(state["settings"], settings, checkpoints.folder.parent)


def _train(
    settings: Training,
    folder: Path,
    accelerator: Accelerator,
    fresh: bool,
    train: bool,
    callbacks: Callbacks,
    clip: type[ClipStage] | None,
) -> TrainingSummary:
    from prima_features.pretraining.build import Workplace, build_stage
    from prima_features.pretraining.training.checkpoint import Checkpoints
    from prima_features.pretraining.training.loop import Loop
    from prima_features.pretraining.training.record import Recorder

    is_main = accelerator.is_main_process
    checkpoints = Checkpoints(folder / CHECKPOINTS, settings.checkpoint.keep)
    recorder = Recorder(folder, settings.log, accelerator)
    if not train and not checkpoints.paths():
        raise UsageError(f"{folder} has no checkpoint to export; train first, without --export")
    if is_main:
        _make_folder(folder)
        checkpoints.sweep()
        if fresh or not checkpoints.paths():
            checkpoints.clear()
            recorder.history.path.unlink(missing_ok=True)
            shutil.rmtree(folder / VOCABULARY, ignore_errors=True)
    accelerator.wait_for_everyone()
    check_earlier(checkpoints, settings)
    place = Workplace(folder, accelerator, callbacks.on_study if is_main else _quiet)
    built = build_stage(settings, place, clip)
    loop = Loop(built, settings, accelerator, checkpoints, recorder, callbacks.on_step)
    loop.resume()
    resumed_at = loop.progress.step
    accelerator.wait_for_everyone()
    if is_main and train:
        callbacks.on_start(resumed_at, settings.steps)
    progress = loop.run() if train else loop.progress
    exported = loop.finish()
    if is_main:
        steps = str(progress.step)
        if exported.step != progress.step:
            steps = f"{exported.step}, the best of {progress.step}"
        if progress.step < settings.steps:
            steps += f"; {settings.steps} were planned"
        record = {"steps": steps, "batch": settings.batch, **built.counts, **exported.measures}
        built.export(settings.output, record)
    accelerator.wait_for_everyone()
    return TrainingSummary(
        settings.output,
        progress.step,
        resumed_at,
        progress.skipped,
        exported.step,
        exported.measures,
        built.failures,
        is_main,
    )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot create {folder} ({error.strerror}); choose another output") from error


def _quiet(done: int, total: int) -> None:
    pass


def _on_cpu(settings: Training) -> bool:
    """Where there is no CUDA it has to be told so: else of several processes each takes itself for the only one, and
    one alone takes accelerators that lack operations which training needs."""
    import torch

    return settings.device == "cpu" or not torch.cuda.is_available()


@contextmanager
def _session(settings: Training, folder: Path) -> Iterator[Accelerator]:
    """The accelerator of a run; processes and the library are left as they were found."""
    import torch.distributed as dist
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState
    from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration

    grouped = dist.is_available() and dist.is_initialized()
    try:
        yield Accelerator(
            cpu=_on_cpu(settings),
            mixed_precision=settings.precision,
            kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
            gradient_accumulation_steps=settings.accumulation,
            log_with="tensorboard" if settings.log.tensorboard else None,
            project_config=ProjectConfiguration(str(folder), logging_dir=str(folder)),
        )
    finally:
        if not grouped and dist.is_available() and dist.is_initialized():
            dist.destroy_process_group()
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()
