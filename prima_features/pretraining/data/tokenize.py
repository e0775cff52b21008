"""Computes what is cached of a series: subvolumes for the tokenizer stage, latents for the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prima_features.encoders.prima.networks import Prima
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.subvolumes import Subvolumes, cut, divide, kept
from prima_features.pretraining.data.cache import digest_of
from prima_features.pretraining.data.draws import generator
from prima_features.pretraining.data.records import SUBVOLUMES, RawSeries
from prima_features.volumes import Volume

_FEWEST = 32
"""Tokens that are left of a series that has so many."""
_BATCH = 64
"""Subvolumes in one call of the tokenizer."""


@dataclass(frozen=True)
class MakeSubvolumes:
    """Computes a series' subvolumes."""

    preprocessing: Preprocessing
    dtype: torch.dtype
    """In which they are kept."""

    @property
    def settings(self) -> dict[str, Any]:
        """What they depend on in addition to the series; JSON types."""
        return {"preprocessing": asdict(self.preprocessing), "type": _name(self.dtype)}

    def __call__(self, series: RawSeries) -> Mapping[str, Tensor]:
        """The different subvolumes (U, z, y, x) of a series, brightness 0 to 1, under `SUBVOLUMES`.

        Raises:
            SeriesError: the series cannot be used.
        """
        values = cut(series.volume(self.preprocessing), self.preprocessing).values
        return {SUBVOLUMES: torch.from_numpy(values).to(self.dtype)}


@dataclass(frozen=True)
class MakeLatents:
    """Computes the latents of a series' tokens, with their places and the annotations of the series."""

    prima: Prima
    """Whose tokenizer it is. On the CPU where this travels to another process."""
    device: torch.device
    """Where it computes."""
    preprocessing: Preprocessing
    reach: int
    """Percent that augmentation can move the threshold by."""
    share: float
    """Of the tokens that is kept."""
    seed: int
    """Of the tokens that are drawn."""
    dtype: torch.dtype
    """In which latents are kept."""

    @property
    def settings(self) -> dict[str, Any]:
        """What they depend on in addition to the series; JSON types."""
        drawn_by = {} if self.share == 1 else {"seed": self.seed}
        return {
            "preprocessing": asdict(self.preprocessing),
            "tokenizer": digest_of(self.prima.tokenizer.encoder.state_dict()),
            "reach": self.reach,
            "share": self.share,
            "type": _name(self.dtype),
            **drawn_by,
        }

    def __getstate__(self) -> dict[str, Any]:
        # Arrays travel by value; tensors would move into shared memory, of which containers have little.
        weights = {name: tensor.numpy() for name, tensor in self.prima.state_dict().items()}
        return vars(self) | {"prima": (self.prima.config, weights)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        config, weights = state["prima"]
        prima = Prima(config).eval()
        prima.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        vars(self).update(state, prima=prima)

    def __call__(self, series: RawSeries) -> Mapping[str, Tensor]:
        """What `Cohort.tokens` reads.

        Raises:
            SeriesError: the series cannot be used.
        """
        subvolumes, counts = cut_widely(series.volume(self.preprocessing), self.preprocessing, self.reach)
        known = series.annotations(subvolumes, self.preprocessing)
        of_tokens = known.tokens
        if self.share < 1:
            rng = generator(self.seed, f"thin {series.fingerprint}")
            keep = None if known.keep is None else known.keep.numpy()
            chosen = drawn(len(subvolumes.row), counts, self.share, rng, keep)
            subvolumes, counts = take(subvolumes, counts, chosen)
            of_tokens = {name: rows[torch.from_numpy(chosen)] for name, rows in of_tokens.items()}
        return {
            **of_tokens,
            **known.series,
            "latent": latents(self.prima.to(self.device), subvolumes, self.dtype),
            "row": torch.from_numpy(subvolumes.row),
            "coord": torch.from_numpy(subvolumes.coord),
            "counts": torch.tensor(counts),
            "slice_axis": torch.tensor(subvolumes.slice_axis),
        }


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
    n: int, counts: Sequence[int], share: float, rng: np.random.Generator, keep: np.ndarray | None = None
) -> np.ndarray:
    """Sorted numbers of a random share of n tokens: at least `_FEWEST`, and all that are in `keep` (n,) bool."""
    if n <= _FEWEST:
        return np.arange(n)
    chosen = rng.choice(n, max(_FEWEST, round(share * n)), replace=False)
    # The last ones are those that the highest threshold keeps, of which some must be left.
    chosen = np.union1d(chosen, np.arange(n - min(counts), n)[-1:])
    return chosen if keep is None else np.union1d(chosen, np.flatnonzero(keep))


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


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
