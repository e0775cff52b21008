"""Heads on the study embedding: an MLP for each diagnosis and each referral, and one for priority."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

HIDDEN = (4000, 1000)
"""Widths of the published heads' hidden layers."""


class MLP(nn.Sequential):
    """Three linear layers with ReLU between them.

    Args:
        in_dim: length of the study embedding.
        hidden: widths of the two hidden layers.
        out_dim: number of outputs.
    """

    def __init__(self, in_dim: int, hidden: tuple[int, int], out_dim: int) -> None:
        super().__init__(
            nn.Linear(in_dim, hidden[0]),
            nn.ReLU(),
            nn.Linear(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.Linear(hidden[1], out_dim),
        )

    @staticmethod
    def sizes(tensors: Mapping[str, Tensor]) -> tuple[int, tuple[int, int], int]:
        """in_dim, hidden and out_dim of the MLP that a state dict belongs to."""
        first, second, last = (tensors[f"{layer}.weight"].shape for layer in (0, 2, 4))
        return first[1], (first[0], second[0]), last[0]


class Head(MLP):
    """One diagnosis or referral.

    Args:
        in_dim: length of the study embedding.
        hidden: widths of the two hidden layers.
        threshold: the output above which it is called present.
    """

    def __init__(self, in_dim: int, hidden: tuple[int, int] = HIDDEN, threshold: float = 0.0) -> None:
        super().__init__(in_dim, hidden, 1)
        self.threshold = threshold

    def forward(self, study: Tensor) -> Tensor:
        """Scores (B,) of study embeddings (B, in_dim): output minus threshold, above 0 if present."""
        return super().forward(study).squeeze(-1) - self.threshold


class PriorityHead(MLP):
    """Priority of a study: (B, in_dim) to (B, levels), one output each for, say, none, low, medium, high."""

    def __init__(self, in_dim: int, hidden: tuple[int, int] = HIDDEN, levels: int = 4) -> None:
        super().__init__(in_dim, hidden, levels)
