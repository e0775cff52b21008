"""Where tokens are on the scan's own grid: reading and cutting, backwards.

acquired image --> in-plane resampling to 256 x 256 --> LPS axes --> padding --> grid of tokens
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.volumes.volume import Acquired, StoredGrid, lps_axes


@dataclass(frozen=True, eq=False)
class Placement:
    """How the grid of tokens of one series covers the scan."""

    counts: tuple[int, int, int]
    """Tokens along (z, y, x), before any is left out."""
    size: tuple[int, int, int]
    """Voxels of a token along (z, y, x) of the padded volume."""
    axes: tuple[int, int, int]
    """The axis (columns, rows, slices) of the acquired image along z, y and x."""
    cells: tuple[np.ndarray, np.ndarray, np.ndarray]
    """For each voxel of the acquired image along that axis, the number of the token along z, y and x."""
    stored: StoredGrid

    def index(self, coord: np.ndarray) -> np.ndarray:
        """Numbers (N,) of tokens in the unfiltered enumeration: z-major, then y, then x.

        Args:
            coord: (N, 3) (z, y, x) of each token's first voxel in the padded volume.
        """
        z, y, x = (coord.astype(np.int64) // self.size).T
        return np.ravel_multi_index((z, y, x), self.counts)

    def on_tokens(self, coord: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Values of tokens on their grid (gz, gy, gx) float64: summed where a token is kept twice, 0 where none is."""
        grid = np.zeros(self.counts)
        np.add.at(grid.ravel(), self.index(coord), values)
        return grid

    def on_scan(self, grid: np.ndarray) -> np.ndarray:
        """A grid of tokens (gz, gy, gx) on the stored grid of the scan: each voxel gets its token's value."""
        z_y_x = grid[np.ix_(*self.cells)]
        acquired = z_y_x.transpose(np.argsort(self.axes))
        return np.ascontiguousarray(self.stored.to_stored(acquired))


def placement(acquired: Acquired, preprocessing: Preprocessing = Preprocessing()) -> Placement:
    """Where the tokens of an acquired image are.

    A voxel belongs to the token that contains the sample nearest to it.
    """
    lengths = acquired.image.GetSize()
    samples = [preprocessing.matrix, preprocessing.matrix, min(lengths[2], preprocessing.most_slices)]
    x_y_z, flipped = lps_axes(acquired.image)
    counts, sizes, cells = [], [], []
    for world in (2, 1, 0):
        axis = x_y_z[world]
        n, m = lengths[axis], samples[axis]
        side = preprocessing.short_side if axis == 2 else preprocessing.long_side
        # Sample i is read at voxel i * n / m (see `prepare.resample_in_plane`): the nearest one, halves up.
        nearest = np.minimum((2 * m * np.arange(n) + n) // (2 * n), m - 1)
        if flipped[world]:
            nearest = m - 1 - nearest
        before = -m % side // 2
        counts.append(-(-m // side))
        sizes.append(side)
        cells.append((nearest + before) // side)
    return Placement(
        (counts[0], counts[1], counts[2]),
        (sizes[0], sizes[1], sizes[2]),
        (x_y_z[2], x_y_z[1], x_y_z[0]),
        (cells[0], cells[1], cells[2]),
        acquired.grid,
    )
