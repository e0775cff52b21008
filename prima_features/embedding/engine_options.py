"""How studies are read and encoded, whichever engine does it."""

from __future__ import annotations

from dataclasses import dataclass

from prima_features.volumes import ReadOptions


@dataclass(frozen=True)
class EngineOptions:
    """How studies are encoded."""

    read: ReadOptions = ReadOptions()
    batch_size: int = 32
    """Subvolumes in one call of the tokenizer."""
    keep_tokens: bool = False
