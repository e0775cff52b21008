"""Preparers of encoders that read one volume per series, and may need its brain mask and position in MNI space.

Imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from prima_features.anatomy.find import Anatomy, AnatomyOptions, find_anatomy
from prima_features.anatomy.quality import assess
from prima_features.encoders.base import BrainRecord, Prepared
from prima_features.encoders.picture import draw_series
from prima_features.errors import SeriesError
from prima_features.studies.study import Series
from prima_features.volumes import ReadOptions, read_series
from prima_features.volumes.resampling import stored_values
from prima_features.volumes.volume import Acquired, to_lps

UNSTRIPPED = "unstripped"
"""Flag: the encoder was trained on skull-stripped brains, and got a whole head."""
Unstripped = Literal["refuse", "allow"]
MASK_TOOLS = ("auto", "none", "synthstrip", "hd-bet", "robex")
OPTIONS = {
    "unstripped": ("refuse", "allow"),
    "space": ("scanner", "mni"),
    "mask_tool": MASK_TOOLS,
    "registration": ("auto", "none"),
}
"""Of encoders that were trained on skull-stripped, registered brains; the default first."""
TOKENS_PER_WEIGHT = 50
"""Tokens of a transformer in one unit of `Prepared.weight`. Eight batches are computed before anything is written, so
a run that is killed loses at most that."""
TOKENS_UNIT = f"units of {TOKENS_PER_WEIGHT} tokens"
ANSWER_OPTIONS = {"unstripped": "allow", "space": "mni", "mask_tool": "none"}
"""Options under which these encoders accept the synthetic scan of `prima doctor`, whatever is installed."""


def anatomy_options(options: Mapping[str, str]) -> AnatomyOptions:
    """The options that `find_anatomy` reads, of those of an encoder."""
    wanted = ("space", "mask_tool", "registration")
    return AnatomyOptions(**{name: options[name] for name in wanted if name in options})  # type: ignore[arg-type]


def record(anatomy: Anatomy, affine: np.ndarray) -> tuple[BrainRecord, tuple[str, ...]]:
    """What is stored of the anatomy of a scan, and flags for what is out of bounds or does not fit.

    Args:
        anatomy: its mask is on the stored grid.
        affine: (4, 4), of that grid.
    """
    quality = assess(anatomy.mask, affine, anatomy.to_mni)
    to_mni = () if anatomy.to_mni is None else tuple(anatomy.to_mni.ravel().tolist())
    brain = BrainRecord(
        anatomy.mask_from, quality.litres, anatomy.to_mni_from, to_mni, quality.scale, quality.dice
    )
    return brain, (*quality.flags, *anatomy.doubts)


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
            hint="give masks (BIDS derivatives, --derivatives DIR, or a column mask in the manifest), install a "
            "mask tool (SynthStrip, HD-BET, ROBEX for T1w) and run again with --retry-failed, or embed whole heads "
            "with --allow-unstripped (--encoder-option unstripped=allow)",
        )

    def to_mni(self) -> np.ndarray:
        """The affine to MNI152.

        Raises:
            SeriesError: it is unknown.
        """
        if self.anatomy.to_mni is None:
            raise SeriesError(
                "its position in MNI space is unknown, and this encoder was trained on registered brains",
                hint="give a brain mask, so that it can be registered, or a transform (BIDS derivatives, or a column "
                "mni_affine in the manifest); if the images are in MNI152 space, state it with --encoder-option "
                "space=mni",
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
    anatomy: AnatomyOptions | None = None
    """How to find mask and transform; None for an encoder that uses neither."""

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
        anatomy = Anatomy()
        if self.anatomy is not None:
            anatomy = find_anatomy(series, *stored_values(acquired), self.anatomy)
        return self.from_acquired(acquired, anatomy, picture)

    def from_acquired(self, acquired: Acquired, anatomy: Anatomy, picture: bool = False) -> Prepared:
        """Prepare a series that has been read."""
        values, affine = stored_values(acquired)
        volume, flags = self.prepare(Scan(values, affine, anatomy, self.unstripped))
        if not np.isfinite(volume).all() or volume.min() == volume.max():
            raise SeriesError("nothing but background is left of it after preprocessing")
        lps = to_lps(acquired.image)
        z, y, x = lps.values.shape
        brain, doubts = (None, ()) if self.anatomy is None else record(anatomy, affine)
        return Prepared(
            arrays=np.ascontiguousarray(volume[None, None], np.float32),
            weight=self.weight,
            n_tokens=self.n_tokens,
            plane=lps.plane,
            shape=(z, y, x),
            spacing=lps.spacing,
            slice_axis_known_by=acquired.slice_axis_known_by,
            flags=tuple(dict.fromkeys((*acquired.flags, *flags, *doubts))),
            picture=draw_series(acquired, lps, anatomy.mask) if picture else None,
            brain=brain,
        )
