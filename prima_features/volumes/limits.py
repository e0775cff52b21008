"""Sizes that are refused from the header alone, before anything is allocated."""

from collections.abc import Sequence
from dataclasses import dataclass

from prima_features.errors import SeriesError
from prima_features.preprocessing import Preprocessing
from prima_features.wording import count

MAX_VOXELS = 2**30
"""Voxels of one volume. The largest whole-head scans have about a tenth; a damaged header claims more."""


@dataclass(frozen=True)
class SizeLimits:
    """Limits on a series' number of slices and voxels."""

    preprocessing: Preprocessing = Preprocessing()
    min_slices: int = 5
    """Fewer are a localizer or a fragment, not a volume."""
    resample: bool = False
    """Allow more slices than a model takes, because they are resampled to `most_slices`."""

    @property
    def most_slices(self) -> int:
        """Slices that give no more subvolumes than a model takes."""
        across = (self.preprocessing.matrix // self.preprocessing.long_side) ** 2
        return self.preprocessing.max_subvolumes // across * self.preprocessing.short_side

    def check(self, shape: Sequence[int], slice_axis: int) -> None:
        """Raise `SeriesError` unless a volume of `shape`, with its slices along `slice_axis`, can be used."""
        slices, most = shape[slice_axis], self.preprocessing.max_subvolumes
        if slices < self.min_slices:
            raise SeriesError(
                f"it has {count(slices, 'slice')}, fewer than {self.min_slices}",
                hint="lower the limit with --min-slices if this is a volume all the same",
            )
        if (subvolumes := self.preprocessing.count_subvolumes(slices)) > most and not self.resample:
            raise SeriesError(
                f"its {slices} slices give {subvolumes} subvolumes, more than the {most} a model takes",
                hint=f"resample it to {self.most_slices} slices or fewer; --max-subvolumes-action resample does so",
            )
        if (voxels := shape[0] * shape[1] * shape[2]) > MAX_VOXELS:
            raise SeriesError(f"its header claims {voxels} voxels, more than any head scan has")
