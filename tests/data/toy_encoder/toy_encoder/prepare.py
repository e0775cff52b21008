"""From a series on disk to the numbers that the network reads. Imports no torch."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from prima_features.encoders.base import Picture, Prepared
from prima_features.errors import SeriesError
from prima_features.studies.study import Series
from prima_features.volumes import ReadOptions, read_series
from prima_features.volumes.volume import to_lps


@dataclass(frozen=True)
class ToyPreparer:
    """Reads a series and averages its voxels over a grid of blocks."""

    n_blocks: int
    """Along each axis."""

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series.

        Raises:
            SeriesError: it cannot be read, or has fewer samples along an axis than blocks.
        """
        acquired = read_series(series, options)
        volume = to_lps(acquired.image)
        if min(volume.values.shape) < self.n_blocks:
            raise SeriesError(
                f"it has {min(volume.values.shape)} samples along an axis, and the model needs {self.n_blocks}"
            )
        values = volume.values.astype(np.float32)
        values /= np.abs(values).max()  # not 0: read_series refuses constant images
        means = block_means(values, self.n_blocks)
        z, y, x = values.shape
        return Prepared(
            arrays=means.ravel(),
            weight=1,
            n_tokens=means.size,
            plane=volume.plane,
            shape=(z, y, x),
            spacing=volume.spacing,
            slice_axis_known_by=acquired.slice_axis_known_by,
            flags=acquired.flags,
            picture=draw(values) if picture else None,
        )


def block_means(values: np.ndarray, n: int) -> np.ndarray:
    """Means (n, n, n) of a volume's blocks; the last samples along an axis are left out if n does not divide it."""
    z, y, x = (size // n for size in values.shape)
    blocks = values[: n * z, : n * y, : n * x].reshape(n, z, n, y, n, x)
    return blocks.mean(axis=(1, 3, 5))


def draw(values: np.ndarray) -> Picture:
    """The middle axial slice of a volume with values up to 1, for the HTML report."""
    grey = (255 * values[len(values) // 2].clip(0, 1)).astype(np.uint8)
    image = Image.fromarray(grey).resize((64, 64))
    file = io.BytesIO()
    image.save(file, "jpeg")
    return Picture(file.getvalue(), *image.size, outline="")
