"""Where measures go: log.jsonl, TensorBoard, plots."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prima_features.files.disk import output_errors
from prima_features.pretraining.history import History
from prima_features.pretraining.plots import draw_history, save_picture
from prima_features.pretraining.settings import Log

if TYPE_CHECKING:
    from accelerate import Accelerator

    from prima_features.pretraining.stages.stage import Validated


class Recorder:
    """Writes what is measured; used by the main process only.

    Args:
        folder: gets `log.jsonl`, `plots/` and `tensorboard/`.
        settings: what is wanted.
        accelerator: has the tracker for TensorBoard.
    """

    def __init__(self, folder: Path, settings: Log, accelerator: Accelerator) -> None:
        self.folder, self._settings, self._accelerator = folder, settings, accelerator
        self.history = History(folder / "log.jsonl")

    def open(self, step: int) -> None:
        """Begin after so many steps; what an interrupted run measured later is dropped."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.history.rewind(step)
        if self._settings.tensorboard:
            kwargs = {"tensorboard": {"purge_step": step + 1}}
            self._accelerator.init_trackers("tensorboard", init_kwargs=kwargs)

    def step(self, step: int, measures: Mapping[str, float]) -> None:
        """What a step came to."""
        self.history.add({"step": step, **measures})
        self._track({f"train/{name}": value for name, value in measures.items()}, step)

    def validation(self, step: int, result: Validated) -> None:
        """What a validation came to, with its pictures; plots are drawn anew."""
        if result.measures:
            self.history.add({"step": step, "validation": dict(result.measures)})
            self._track({f"validation/{name}": value for name, value in result.measures.items()}, step)
        if self._settings.tensorboard and result.pictures:
            images = {name: picture[None, :, :, None] for name, picture in result.pictures.items()}
            self._accelerator.get_tracker("tensorboard").log_images(images, step, dataformats="NHWC")
        if self._settings.plots:
            plots = self.folder / "plots"
            with output_errors(plots):
                plots.mkdir(exist_ok=True)
                for name, picture in result.pictures.items():
                    save_picture(picture, plots / f"{name}.png")
                draw_history(self.history.read(), plots)

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._settings.tensorboard:
            self._accelerator.get_tracker("tensorboard").finish()

    def _track(self, values: Mapping[str, float], step: int) -> None:
        if self._settings.tensorboard:
            self._accelerator.log(dict(values), step=step)
