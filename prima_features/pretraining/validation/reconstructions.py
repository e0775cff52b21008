"""Pictures of what the tokenizer makes of subvolumes."""

from __future__ import annotations

import numpy as np
from torch import Tensor

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
