"""From a series to what is cached of it: subvolumes for the tokenizer stage, latents for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from prima_features.encoder import Prima
from prima_features.preprocessing import Preprocessing
from prima_features.tokens import Subvolumes, cut, divide
from prima_features.tokens.foreground import kept
from prima_features.volumes import Volume

_FEWEST = 32
"""Tokens that are left of a series that has so many."""
_BATCH = 64
"""Subvolumes in one call of the tokenizer."""


def cut_widely(
    volume: Volume, preprocessing: Preprocessing, reach: int
) -> tuple[Subvolumes, tuple[int, ...]]:
    """The tokens of the lowest threshold that augmentation can ask for, and how many each threshold keeps.

    Tokens are kept shell by shell from the threshold upwards (docs/model.md, section 3), so those of a higher
    threshold are the last ones of a lower threshold's: a moved threshold needs no other tokens and no new order.

    Args:
        volume: of one series.
        preprocessing: of the model.
        reach: how far the threshold moves, in percent, from where embedding would set it.

    Returns:
        The tokens of that threshold minus `reach` (or 0), and the counts for -reach ... reach.
    """
    grid = divide(volume, preprocessing)
    _, usual = kept(grid.percent, preprocessing)
    widest = cut(grid, _fixed(preprocessing, usual - reach) if reach else preprocessing)
    counts = [
        len(kept(grid.percent, _fixed(preprocessing, usual + move))[0]) for move in range(-reach, reach + 1)
    ]
    return widest, tuple(counts)


def drawn(
    n: int, counts: Sequence[int], share: float, chance: np.random.Generator, rare: np.ndarray | None = None
) -> np.ndarray:
    """Numbers of a share of n tokens, in their order: drawn at random, at least `_FEWEST`, and all that are `rare`."""
    if n <= _FEWEST:
        return np.arange(n)
    chosen = chance.choice(n, max(_FEWEST, round(share * n)), replace=False)
    # The last ones are those that the highest threshold keeps, of which some must be left.
    chosen = np.union1d(chosen, np.arange(n - min(counts), n)[-1:])
    return chosen if rare is None else np.union1d(chosen, np.flatnonzero(rare))


def take(cut: Subvolumes, counts: Sequence[int], chosen: np.ndarray) -> tuple[Subvolumes, tuple[int, ...]]:
    """Some tokens, by their numbers in order; and how many of them each threshold keeps."""
    n = len(cut.row)
    unique, row = np.unique(cut.row[chosen], return_inverse=True)
    thin = replace(cut, values=cut.values[unique], row=row, coord=cut.coord[chosen])
    return thin, tuple(int((chosen >= n - count).sum()) for count in counts)


def latents(model: Prima, cut: Subvolumes, dtype: torch.dtype) -> Tensor:
    """Latents (U, C, d, h, w) of the different subvolumes, on the CPU, in the number type of the cache."""
    parts = torch.from_numpy(cut.values).split(_BATCH)
    with torch.inference_mode():
        encoded = [model.encode_subvolumes(part.to(model.device)).to(dtype).cpu() for part in parts]
    return torch.cat(encoded)


def _fixed(preprocessing: Preprocessing, percent: int) -> Preprocessing:
    """The same with a threshold that does not fall, whatever it keeps."""
    percent = min(max(percent, 0), 100)
    return replace(preprocessing, start_percent=percent, min_kept=-1)
