"""Groups of neighbouring tokens that are switched together."""

from __future__ import annotations

import numpy as np


def places(coord: np.ndarray) -> np.ndarray:
    """Number (N,) of each token's place, 0 to P - 1; tokens kept twice share one.

    Args:
        coord: (N, 3) first voxels of the tokens.
    """
    _, number = np.unique(coord, axis=0, return_inverse=True)
    return number.reshape(len(coord))


def group_tokens(
    coord: np.ndarray, size: tuple[int, int, int], spacing: tuple[float, float, float], most: int
) -> tuple[np.ndarray, tuple[int, int, int]]:
    """Blocks of neighbouring tokens, as small as possible with at most `most` of them.

    Blocks grow by one token at a time along the axis on which they are shortest in mm, so that they stay about
    cubic.

    Args:
        coord: (N, 3) (z, y, x) first voxels of the tokens.
        size: voxels of a token along (z, y, x).
        spacing: of the voxels along (z, y, x), mm.
        most: groups, at least 1.

    Returns:
        The group (N,) of each token, 0 to G - 1, and the tokens of a block along (z, y, x).
    """
    cells = coord.astype(np.int64) // size
    cells -= cells.min(axis=0)
    extent = cells.max(axis=0) + 1
    block = np.ones(3, dtype=np.int64)
    while True:
        # Blocks are centred on what there is: the odd tokens are at both ends.
        offset = (-extent % block) // 2
        group = places((cells + offset) // block)
        if group.max() < most or (block >= extent).all():
            return group, (int(block[0]), int(block[1]), int(block[2]))
        length = np.where(block < extent, block * size * spacing, np.inf)
        block[length.argmin()] += 1
