"""Preparers of encoders that read one volume per series, and may need its brain mask and position in MNI space.

Imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from prima_features.encoders.base import Prepared
from prima_features.encoders.picture import draw_slice
from prima_features.errors import SeriesError
from prima_features.studies.study import Series
from prima_features.volumes import ReadOptions, read_series
from prima_features.volumes.anatomy import Anatomy, find_anatomy, stored_values
from prima_features.volumes.volume import Acquired, to_lps

UNSTRIPPED = "unstripped"
"""Flag: the encoder was trained on skull-stripped brains, and got a whole head."""
Unstripped = Literal["refuse", "allow"]
Space = Literal["scanner", "mni"]
OPTIONS = {"unstripped": ("refuse", "allow"), "space": ("scanner", "mni")}
"""Of encoders that were trained on skull-stripped, registered brains; the default first."""
ANSWER_OPTIONS = {"unstripped": "allow", "space": "mni"}
"""Options under which these encoders accept the synthetic scan of `prima doctor`."""
IN_MNI = "stated: the scan is in MNI space"
"""`Anatomy.to_mni_from` with `space=mni`."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One series on its stored grid."""

    values: np.ndarray
    """(i, j, k) float32 without NaN."""
    affine: np.ndarray
    """(4, 4), voxel indices to mm in RAS."""
    anatomy: Anatomy
    unstripped: Unstripped = "refuse"
    """What to do without a brain mask."""

    def masked(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """The voxels with 0 outside the brain, and flags.

        Raises:
            SeriesError: there is no mask, and whole heads are refused.
        """
        if self.anatomy.mask is not None:
            return self.values * self.anatomy.mask, ()
        if self.unstripped == "allow":
            return self.values, (UNSTRIPPED,)
        raise SeriesError(
            "its brain mask is unknown, and this encoder was trained on skull-stripped brains",
            hint="embed a skull-stripped image, or whole heads with --encoder-option unstripped=allow",
        )

    def to_mni(self) -> np.ndarray:
        """The affine to MNI152NLin6Asym.

        Raises:
            SeriesError: it is unknown.
        """
        if self.anatomy.to_mni is None:
            raise SeriesError(
                "its position in MNI space is unknown, and this encoder was trained on registered brains",
                hint="if the images are in MNI152 space, state it with --encoder-option space=mni; otherwise use an "
                "encoder that needs no registration",
            )
        return self.anatomy.to_mni


@dataclass(frozen=True)
class VolumePreparer(ABC):
    """Reads a series and makes one volume of it; an `encoders.base.Preparer`."""

    n_tokens: int
    """Tokens that the network makes of a volume."""
    weight: int = 1
    """See `Prepared.weight`."""
    unstripped: Unstripped = "refuse"
    """Whether whole heads are accepted by an encoder that was trained on skull-stripped brains."""
    space: Space = "scanner"
    """`mni`: the coordinates of scans whose affine to MNI152 is unknown are those of MNI152."""

    @abstractmethod
    def prepare(self, scan: Scan) -> tuple[np.ndarray, tuple[str, ...]]:
        """The volume (a, b, c) float32 that the network reads, and flags.

        Raises:
            SeriesError: what the encoder needs is not known.
        """

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series.

        Raises:
            SeriesError: it cannot be read or cannot be used.
        """
        acquired = read_series(series, options)
        return self.from_acquired(acquired, find_anatomy(acquired), picture)

    def from_acquired(self, acquired: Acquired, anatomy: Anatomy, picture: bool = False) -> Prepared:
        """Prepare a series that has been read."""
        values, affine = stored_values(acquired)
        if self.space == "mni" and anatomy.to_mni is None:
            anatomy = replace(anatomy, to_mni=np.eye(4), to_mni_from=IN_MNI)
        volume, flags = self.prepare(Scan(values, affine, anatomy, self.unstripped))
        if not np.isfinite(volume).all() or volume.min() == volume.max():
            raise SeriesError("nothing but background is left of it after preprocessing")
        lps = to_lps(acquired.image)
        z, y, x = lps.values.shape
        return Prepared(
            arrays=np.ascontiguousarray(volume[None, None], np.float32),
            weight=self.weight,
            n_tokens=self.n_tokens,
            plane=lps.plane,
            shape=(z, y, x),
            spacing=lps.spacing,
            slice_axis_known_by=acquired.slice_axis_known_by,
            flags=tuple(dict.fromkeys((*acquired.flags, *flags))),
            picture=draw_slice(lps.values[z // 2], lps.spacing[1:]) if picture else None,
        )
