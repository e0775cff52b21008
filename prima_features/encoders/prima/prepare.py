"""From a series on disk to the subvolumes that the tokenizer reads."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from prima_features.encoders.base import Picture, Prepared
from prima_features.encoders.prima.picture import draw
from prima_features.encoders.prima.preprocessing import Preprocessing
from prima_features.encoders.prima.resample import resample_in_plane, resample_slices
from prima_features.encoders.prima.tokens import Subvolumes, cut
from prima_features.studies.study import Series
from prima_features.volumes import ReadOptions, Volume, read_series
from prima_features.volumes.brain_check import check_brain
from prima_features.volumes.limits import any_number
from prima_features.volumes.orientation import to_lps

logger = logging.getLogger(__name__)


def read_volume(
    series: Series, preprocessing: Preprocessing = Preprocessing(), options: ReadOptions = ReadOptions()
) -> Volume:
    """Read a series, resample it in plane and turn it to LPS.

    Raises:
        SeriesError: it cannot be read, is constant or not finite, or has a size out of limits.
    """
    resample = options.max_subvolumes_action == "resample"
    acquired = read_series(series, options, any_number if resample else preprocessing.check_slices)
    flags = acquired.flags
    image = resample_in_plane(acquired.image, preprocessing.matrix)
    if image.GetSize()[2] > preprocessing.most_slices:
        image, flags = resample_slices(image, preprocessing.most_slices), (*flags, "slices-resampled")
    return replace(
        to_lps(image),
        slice_axis_known_by=acquired.slice_axis_known_by,
        flags=tuple(dict.fromkeys(flags)),
    )


@dataclass(frozen=True)
class PrimaPreparer:
    """Reads a series and cuts it into subvolumes; an `encoders.base.Preparer`."""

    preprocessing: Preprocessing

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series.

        Raises:
            SeriesError: it cannot be read or cannot be used.
        """
        volume = read_volume(series, self.preprocessing, options)
        z, y, x = volume.values.shape
        kept = cut(volume, self.preprocessing)
        return Prepared(
            arrays=kept,
            weight=len(kept.values),
            n_tokens=len(kept),
            plane=volume.plane,
            shape=(z, y, x),
            spacing=volume.spacing,
            slice_axis_known_by=volume.slice_axis_known_by,
            flags=(*volume.flags, *self._doubts(volume, kept, series.name)),
            picture=self._draw(volume, kept) if picture else None,
        )

    def _doubts(self, volume: Volume, kept: Subvolumes, name: str) -> tuple[str, ...]:
        """Flags of a series that does not look like a whole head. A check that fails costs no series."""
        few = ("little-foreground",) if kept.threshold < self.preprocessing.start_percent else ()
        try:
            return few + check_brain(volume, name)
        except Exception as error:
            logger.debug("A series could not be checked", exc_info=error)
            return few

    def _draw(self, volume: Volume, kept: Subvolumes) -> Picture | None:
        """The picture of a series; None if drawing fails, which costs no series."""
        try:
            return draw(volume, kept, self.preprocessing)
        except Exception as error:
            logger.debug("A series could not be drawn", exc_info=error)
            return None
