"""Plots of a run: losses and retrieval over the steps, and pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

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
    """Steps and values of each measure, where it is a number."""
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
