"""Where a run's time goes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Literal

Stage = Literal["read", "wait", "tokenizer", "transformers", "write"]


@dataclass
class StageTimes:
    """Seconds of each stage, and what they were spent on. Engines add to it; `embed()` hands it out."""

    read: float = 0.0
    """Reading and preparing series, summed over all processes."""
    wait: float = 0.0
    """The network had nothing to do because nothing was read yet."""
    tokenizer: float = 0.0
    """Prima: subvolumes to latents."""
    transformers: float = 0.0
    """Prima: sequence ViT, study ViT and the names."""
    encode: float = 0.0
    """All encoding, of encoders without these two stages."""
    write: float = 0.0
    """Parts, and the file made of them."""
    n_subvolumes: int = 0
    """Items that the network encoded, in the encoder's unit (`Prepared.weight`; Prima counts subvolumes)."""
    n_tokens: int = 0
    """Sum of `Prepared.n_tokens`."""

    @contextmanager
    def measure(self, stage: Stage) -> Iterator[None]:
        """Add the block's time by the clock to a stage."""
        began = time.monotonic()
        try:
            yield
        finally:
            setattr(self, stage, getattr(self, stage) + time.monotonic() - began)

    def add_encoding(self, by_stage: Mapping[str, float], total: float) -> None:
        """Add the time of encoding, by the stages that the encoder measured.

        Args:
            by_stage: seconds by name. If none of them is `tokenizer` or `transformers`, all the time is `encode`.
            total: seconds of encoding, by the clock.
        """
        known = {name: seconds for name, seconds in by_stage.items() if name in ("tokenizer", "transformers")}
        for name, seconds in known.items():
            setattr(self, name, getattr(self, name) + seconds)
        if not known:
            self.encode += total

    def add(self, other: StageTimes) -> None:
        """Add what another engine, process or machine measured."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
