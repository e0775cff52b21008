"""Encoders for the tests of runs with several models. Reader processes import this module by its own name."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk

from prima_features.encoders.base import EncodedStudy, Encoder, EncoderInfo, Prepared, Progress, Widths
from prima_features.errors import SeriesError
from prima_features.studies.study import Series, Study
from prima_features.volumes import ReadOptions, read_series


@dataclass(frozen=True)
class Moments:
    """Prepares the moments of a series' voxels, and fails for some series."""

    n: int
    refuses: tuple[str, ...] = ()
    """Sources of series, in part, that it refuses."""
    crashes: tuple[str, ...] = ()
    """Those with which it raises an unexpected error."""
    dies: tuple[str, ...] = ()
    """Those with which it ends its process."""
    spoils: bool = False
    """Whether it changes the image that it was given."""

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """See `Preparer`."""
        acquired = read_series(series, options, self._check_slices)
        if any(part in series.source for part in self.dies):
            os.kill(os.getpid(), signal.SIGKILL)
        if any(part in series.source for part in self.crashes):
            raise RuntimeError("no such luck")
        if any(part in series.source for part in self.refuses):
            raise SeriesError(f"encoder {self.n} refuses it")
        values = sitk.GetArrayFromImage(acquired.image).astype(np.float64) / 1000
        moments = np.array([(values ** (self.n + i)).mean() for i in range(3)], np.float32)
        if self.spoils:
            acquired.image[0, 0, 0] = 30000
            acquired.image.SetSpacing((9.0, 9.0, 9.0))
        z, y, x = values.shape
        return Prepared(moments[None], 1 + self.n, 1, "axial", (z, y, x), (1.0, 1.0, 1.0))

    def _check_slices(self, n: int) -> None:
        if n > 20 * self.n:
            raise SeriesError(f"it has {n} slices, more than encoder {self.n} takes")


@dataclass(frozen=True)
class MomentsInference:
    """Returns what was prepared."""

    fails: tuple[str, ...]
    seen: Callable[[list[str]], None]

    def encode(
        self,
        studies: Sequence[tuple[Study, Sequence[tuple[Series, Prepared]]]],
        progress: Progress,
        tokens: bool,
    ) -> list[EncodedStudy]:
        """See `Inference`."""
        ids = [study.id for study, _ in studies]
        self.seen(ids)
        if set(self.fails) & set(ids):
            raise RuntimeError("cannot encode it")
        return [EncodedStudy(np.concatenate([one.arrays for _, one in members])) for _, members in studies]


class MomentsEncoder(Encoder):
    """An encoder without a network.

    Args:
        n: its number; its vectors are moments of order n, n + 1 and n + 2.
        fails: ids of studies that it cannot encode.
        prepares: see `Moments`.
    """

    def __init__(self, n: int, fails: tuple[str, ...] = (), **prepares: Any):
        self.n, self.fails, self.prepares = n, fails, prepares
        self.windows: list[list[str]] = []

    @property
    def info(self) -> EncoderInfo:
        """See `Encoder`."""
        checksum = hashlib.sha256(str(self.n).encode()).hexdigest()
        return EncoderInfo("moments", f"moments-{self.n}", "local", checksum, Widths(None, 3))

    def preparer(self) -> Moments:
        """See `Encoder`."""
        return Moments(self.n, **self.prepares)

    def on(self, device: Any, dtype: Any, batch_size: int) -> MomentsInference:
        """See `Encoder`."""
        return MomentsInference(self.fails, self.windows.append)
