"""Care of the tokenizer's codebook beyond its own moving averages."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from prima_features.encoders.prima.networks.tokenizer import Codebook

_NAMES = ("ema_cluster_size", "ema_w", "embedding.weight")


@torch.no_grad()
def revive(codebook: Codebook, vectors: Tensor, below: float, chance: np.random.Generator) -> int:
    """Put codes that are hardly used where latents are (as Dhariwal et al. 2020, arXiv 2005.00341, section 3).

    Args:
        codebook: changed in place.
        vectors: (M, dim) latents of a batch, the same in all processes.
        below: running count of uses below which a code is replaced.
        chance: which vectors take their places.

    Returns:
        How many were replaced.
    """
    dead = (codebook.ema_cluster_size < below).nonzero().squeeze(1)
    if len(dead):
        chosen = chance.choice(len(vectors), size=len(dead), replace=len(dead) > len(vectors))
        fresh = vectors[torch.from_numpy(chosen).to(vectors.device)]
        codebook.embedding.weight[dead] = fresh
        codebook.ema_w[dead] = fresh
        codebook.ema_cluster_size[dead] = 1.0
    return len(dead)


def snapshot(codebook: Codebook) -> dict[str, Tensor]:
    """A copy of the codebook's state."""
    state = codebook.state_dict()
    return {name: state[name].clone() for name in _NAMES}


def restore(codebook: Codebook, state: dict[str, Tensor]) -> None:
    """Go back to a copy."""
    codebook.load_state_dict(state)
