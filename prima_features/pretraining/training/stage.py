"""The interface between the training loop and a stage."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from torch import Tensor, nn

from prima_features.embedding.file.records import Failure

Batch = TypeVar("Batch")


@dataclass(frozen=True, eq=False)
class Validated:
    """The result of a validation."""

    measures: Mapping[str, float] = field(default_factory=dict)
    """Empty if no study is held out."""
    score: float | None = None
    """Higher is better; the best so far is kept."""
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Grey images (H, W) in 0 to 1 by their names."""


class Stage(ABC, Generic[Batch]):
    """One stage of pretraining: its networks, its data, its objective.

    Attributes:
        modules: what a checkpoint holds, by name.
        trained: the parameters that the optimiser moves.
        digest: hash of the data and of the weights that the stage starts from.
        failures: what was left out of the data.
        counts: how much there is of what, for the model card.
    """

    modules: dict[str, nn.Module]
    trained: list[nn.Parameter]
    digest: str
    failures: tuple[Failure, ...] = ()
    counts: dict[str, int]

    @abstractmethod
    def load(self, number: int) -> Batch:
        """This process's part of a batch, on the CPU: a pure function of the number. May run in a thread, or in a
        fork of the process, from which the batch is sent; it must not touch a GPU."""

    @abstractmethod
    def backward(self, batch: Batch, number: int) -> Mapping[str, Tensor]:
        """Add a batch's gradients to the trained parameters'.

        Summed over processes and divided batches they are those of the mean loss over the whole batch.

        Returns:
            Measures (), `loss` among them, equal in all processes.
        """

    @abstractmethod
    def validate(self) -> Validated:
        """Measure on what is held out; all processes take part and get the same."""

    def finish(self) -> bool:
        """Change the weights before they are exported; returns whether it did."""
        return False

    @abstractmethod
    def export(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Write the model to a folder; `record` goes into its card."""

    def undo(self) -> None:
        """Revert what the last batches changed besides gradients, because their step is skipped."""
