"""Records of a run: log.jsonl, TensorBoard, plots."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from prima_features.errors import UsageError
from prima_features.files.disk import output_errors, write_bytes
from prima_features.files.safe import MIB, TABLE_BYTES, UnsafeFileError, load_json, open_regular
from prima_features.pretraining.settings import Log

if TYPE_CHECKING:
    from accelerate import Accelerator

    from prima_features.pretraining.training.stage import Validated

_LINE_BYTES = MIB


class History:
    """The log of a run. Lines have `step` and either the measures of a step or, with `validation`, those of one.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a line, at once on disk. A number that is not finite becomes null, which JSON can say.

        Raises:
            OutputError: the disk is full, or the folder went away.
        """
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(record)) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All whole lines. A killed process may leave part of a line, which is skipped.

        Raises:
            UsageError: the log is not a regular file, or is larger than any log.
        """
        if not self.path.exists():
            return []
        records = []
        try:
            with open_regular(self.path) as file:
                while line := file.readline(_LINE_BYTES):
                    if file.tell() > TABLE_BYTES:
                        raise UnsafeFileError(f"has more than {TABLE_BYTES} bytes")
                    if (record := _record(line)) is not None:
                        records.append(record)
        except UnsafeFileError as error:
            raise UsageError(f"{self.path} {error}; move it away, or start over with --fresh") from error
        return records

    def rewind(self, step: int) -> None:
        """Drop what was measured after `step` steps, since a resumed run measures it again.

        Raises:
            OutputError: as `add`.
        """
        kept = [record for record in self.read() if record["step"] <= step]
        write_bytes(self.path, "".join(json.dumps(record) + "\n" for record in kept).encode())


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = load_json(line, finite=False)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


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
        """Record the measures of a step."""
        self.history.add({"step": step, **measures})
        self._track({f"train/{name}": value for name, value in measures.items()}, step)

    def validation(self, step: int, result: Validated) -> None:
        """Record the measures and pictures of a validation, and redraw the plots."""
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


_NOT_LOSSES = ("step", "seconds", "skipped", "lr", "gradient_norm", "temperature", "codes_revived")
Series = tuple[list[int], list[float]]


def draw_history(records: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Draw `loss.png`, and `retrieval.png` where recalls or accuracies were measured.

    Args:
        records: lines of log.jsonl.
        folder: where the pictures go.
    """
    steps = [record for record in records if "validation" not in record]
    validations = [{"step": r["step"], **r["validation"]} for r in records if "validation" in r]
    losses = {f"training {name}": line for name, line in _lines(steps).items() if name not in _NOT_LOSSES}
    measured = _lines(validations)
    losses |= {f"validation {name}": line for name, line in measured.items() if "loss" in name}
    _draw(losses, "loss", folder / "loss.png")
    shares = {name: line for name, line in measured.items() if "recall" in name or "accuracy" in name}
    if shares:
        _draw(shares, "share", folder / "retrieval.png", (0, 1))


def save_picture(picture: np.ndarray, path: Path) -> None:
    """A grey image (H, W) in 0 to 1 as PNG, pixel by pixel."""
    from matplotlib.image import imsave

    imsave(path, picture, cmap="gray", vmin=0, vmax=1)


def _lines(records: Sequence[Mapping[str, Any]]) -> dict[str, Series]:
    """Steps and values of each measure, without missing ones."""
    lines: dict[str, Series] = {}
    for record in records:
        for name, value in record.items():
            if name != "step" and value is not None:
                steps, values = lines.setdefault(name, ([], []))
                steps.append(record["step"])
                values.append(value)
    return lines


def _draw(
    lines: Mapping[str, Series], label: str, path: Path, limits: tuple[float, float] | None = None
) -> None:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, (steps, values) in lines.items():
        axes.plot(steps, values, label=name, marker="o" if len(steps) < 50 else None, markersize=3)
    axes.set(xlabel="step", ylabel=label, ylim=limits)
    axes.grid(alpha=0.3)
    if lines:
        axes.legend(fontsize="small")
    figure.savefig(path, dpi=120)


_GAP = 1


def reconstruction_picture(subvolumes: Tensor, reconstructions: Tensor) -> np.ndarray:
    """One column a subvolume: above its middle slice, below the reconstruction's.

    Args:
        subvolumes, reconstructions: (N, 1, z, y, x), the shortest axis being that of the slices.

    Returns:
        (H, W) in 0 to 1, white lines between; each column is scaled to its subvolume's range.
    """
    columns = []
    for one, other in zip(subvolumes[:, 0], reconstructions[:, 0], strict=True):
        axis = int(np.argmin(one.shape))
        above, below = (x.select(axis, x.shape[axis] // 2).float().cpu().numpy() for x in (one, other))
        low, high = float(above.min()), float(above.max())
        gap = np.full((_GAP, above.shape[1]), high)
        column = np.concatenate([above, gap, below])
        columns += [(column - low) / max(high - low, 1e-6), np.ones((len(column), _GAP))]
    return np.clip(np.concatenate(columns[:-1], axis=1), 0, 1)
