"""Sizes that are refused from the header alone, before anything is allocated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prima_features.errors import SeriesError
from prima_features.wording import count

MAX_VOXELS = 2**30
"""Voxels of one volume. The largest whole-head scans have about a tenth; a damaged header claims more."""


def any_number(n_slices: int) -> None:
    """Accept any number of slices."""


@dataclass(frozen=True)
class SizeLimits:
    """Limits on a series' number of slices and voxels."""

    min_slices: int = 5
    """Fewer are a localizer or a fragment, not a volume."""
    check_slices: Callable[[int], None] = any_number
    """An encoder's own check of the number of slices; raises `SeriesError`."""

    def check(self, shape: Sequence[int], slice_axis: int) -> None:
        """Raise `SeriesError` unless a volume of `shape`, with its slices along `slice_axis`, can be used."""
        slices = shape[slice_axis]
        if slices < self.min_slices:
            raise SeriesError(
                f"it has {count(slices, 'slice')}, fewer than {self.min_slices}",
                hint="if it is a whole volume, lower the limit with --min-slices",
            )
        self.check_slices(slices)
        if (voxels := shape[0] * shape[1] * shape[2]) > MAX_VOXELS:
            raise SeriesError(f"its header declares {voxels} voxels, more than any head scan has")
