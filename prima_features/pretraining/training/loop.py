"""The training loop of all stages: steps, skipped steps, validation, checkpoints, logs."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from prima_features.embedding.engine.options import share_of_cpus
from prima_features.errors import PrimaError
from prima_features.pretraining.batches.loading import Prefetch
from prima_features.pretraining.settings import Training
from prima_features.pretraining.training.checkpoint import (
    Checkpoints,
    check_data,
    check_settings,
    settings_record,
)
from prima_features.pretraining.training.gradients import sum_gradients
from prima_features.pretraining.training.optimiser import build_optimiser, rate_factor
from prima_features.pretraining.training.record import Recorder
from prima_features.pretraining.training.stage import Stage

logger = logging.getLogger(__name__)


class DivergedError(PrimaError):
    """Too many steps gave no finite loss or gradient."""

    exit_code = 1


@dataclass
class Progress:
    """The progress of a run; part of every checkpoint."""

    step: int = 0
    """Steps that are done, the skipped ones too."""
    skipped: int = 0
    best: float | None = None
    """Score of the best validation."""
    measures: dict[str, float] = field(default_factory=dict)
    """Of the last validation."""


class Loop:
    """Trains a stage.

    Args:
        stage: its networks on the accelerator's device.
        settings: of the run.
        accelerator: devices, precision, accumulation and trackers.
        checkpoints: where the state goes.
        recorder: where measures go.
        on_step: called after each step with the step, all steps and the measures.
    """

    def __init__(
        self,
        stage: Stage[Any],
        settings: Training,
        accelerator: Accelerator,
        checkpoints: Checkpoints,
        recorder: Recorder,
        on_step: Callable[[int, int, Mapping[str, float]], None] = lambda step, steps, measures: None,
    ) -> None:
        self.stage, self.settings, self.accelerator = stage, settings, accelerator
        self.checkpoints, self.recorder, self.on_step = checkpoints, recorder, on_step
        self.progress = Progress()
        self.optimiser = accelerator.prepare(
            build_optimiser(stage.trained, settings.optimiser, stage.modules.values())
        )

    def resume(self) -> bool:
        """Load the newest checkpoint of the same run; false if there is none.

        Raises:
            UsageError: it is of a run with other settings or data.
        """
        state = self.checkpoints.latest()
        if state is None:
            return False
        folder = self.checkpoints.folder.parent
        check_settings(state["settings"], self.settings, folder)
        check_data(state["data"], self.stage.digest, folder)
        self._restore(state["modules"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.progress = Progress(**state["progress"])
        return True

    def run(self) -> Progress:
        """Train to the last step.

        Raises:
            DivergedError: too many steps were skipped.
            OutputError: a checkpoint or log could not be written.
        """
        settings, progress = self.settings, self.progress
        if self.accelerator.is_main_process:
            self.recorder.open(progress.step)
            if progress.step == 0:
                self._save()
        first = progress.step * settings.accumulation
        last = settings.steps * settings.accumulation
        started, measured = time.monotonic(), []
        readers = min(settings.readers, share_of_cpus(self.accelerator.num_processes))
        on_gpu = self.accelerator.device.type == "cuda"
        batches = Prefetch(self.stage.load, first, last, settings.prefetch, readers, on_gpu)
        for number, batch in enumerate(batches, first):
            with self.accelerator.accumulate():
                measured.append(self.stage.backward(batch, number))
                if self.accelerator.sync_gradients:
                    measures = self._update(_mean(measured))
                    measures["seconds"] = time.monotonic() - started
                    self._after_step(measures)
                    started, measured = time.monotonic(), []
        if self.accelerator.is_main_process:
            self.recorder.close()
        return self.progress

    def finish(self) -> Progress:
        """Take the weights that are exported: the last ones or the best, as the stage finishes them.

        Returns:
            Where the run stood with them, and what they measure.
        """
        chosen, measured = self.progress, self.progress.step == self.settings.steps
        if self.settings.export == "best" and (state := self.checkpoints.best()) is not None:
            self._restore(state["modules"])
            chosen, measured = Progress(**state["progress"]), True
        if self.stage.finish() or not measured:
            chosen = replace(chosen, measures=dict(self.stage.validate().measures))
        return chosen

    def _update(self, measures: dict[str, float]) -> dict[str, float]:
        """One step of the optimiser, unless something is not finite."""
        step = self.progress.step
        rate = self.settings.optimiser.lr * rate_factor(step, self.settings.steps, self.settings.schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        sum_gradients(self.stage.trained)
        norm = nn.utils.clip_grad_norm_(
            self.stage.trained, self.settings.optimiser.clip_norm or math.inf
        ).item()
        finite = math.isfinite(norm) and math.isfinite(measures["loss"])
        if finite:
            self.optimiser.step()
        else:
            self.stage.undo()
            logger.warning("Skipping step %d: the loss or the gradient is not finite", step + 1)
        self.optimiser.zero_grad()
        self.progress.step += 1
        self.progress.skipped += not finite
        return measures | {"lr": rate, "gradient_norm": norm, "skipped": self.progress.skipped}

    def _after_step(self, measures: dict[str, float]) -> None:
        settings, progress = self.settings, self.progress
        step, is_last = progress.step, progress.step == settings.steps
        if self.accelerator.is_main_process:
            if step % settings.log.every == 0 or is_last:
                self.recorder.step(step, measures)
            self.on_step(step, settings.steps, measures)
        if progress.skipped >= settings.nan_limit:
            raise DivergedError(
                f"Stopped at step {step}: {progress.skipped} steps had a loss or gradient that is not finite; lower "
                "optimiser.lr or set optimiser.clip_norm, and start over with --fresh"
            )
        if step % settings.validation.every == 0 or is_last:
            self._validate()
        if (step % settings.checkpoint.every == 0 or is_last) and self.accelerator.is_main_process:
            self._save()

    def _validate(self) -> None:
        result = self.stage.validate()
        progress = self.progress
        progress.measures = dict(result.measures)
        score = result.score
        # Nothing compares greater than NaN, so a NaN score must not become the best.
        is_best = (
            score is not None and math.isfinite(score) and (progress.best is None or score > progress.best)
        )
        if is_best:
            progress.best = score
        if self.accelerator.is_main_process:
            self.recorder.validation(progress.step, result)
            if is_best:
                self.checkpoints.save_best(self._state(optimiser=False))

    def _save(self) -> None:
        self.checkpoints.save(self._state(), self.progress.step)

    def _state(self, optimiser: bool = True) -> dict[str, Any]:
        state = {
            "settings": settings_record(self.settings),
            "data": self.stage.digest,
            "progress": vars(self.progress).copy(),
            "modules": {name: module.state_dict() for name, module in self.stage.modules.items()},
        }
        return state | {"optimiser": self.optimiser.state_dict()} if optimiser else state

    def _restore(self, states: Mapping[str, Mapping[str, Tensor]]) -> None:
        for name, module in self.stage.modules.items():
            module.load_state_dict(states[name])


def _mean(measured: list[Mapping[str, Tensor]]) -> dict[str, float]:
    """Means over the batches of one step."""
    return {
        name: torch.stack([one[name].detach().double() for one in measured]).mean().item()
        for name in measured[0]
    }
