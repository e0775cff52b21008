"""The vectors of the baselines, which are computed while series are read. Imports no torch."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from prima_features.encoders.base import Prepared
from prima_features.encoders.picture import draw_slice
from prima_features.errors import SeriesError
from prima_features.studies.dicom.read import quiet_pydicom
from prima_features.studies.dicom.values import malformed, text
from prima_features.studies.sequences import SEQUENCES, sequence_of
from prima_features.studies.study import NiftiImage, OtherImage, Series
from prima_features.volumes import PLANES, ReadOptions, Volume, read_series
from prima_features.volumes.volume import to_lps

_BINS, _MOST = 32, 3.0
"""Of the histogram: bins from 0 to this many times the foreground's median."""
_DARK, _BRIGHT = 0.5, 1.5
"""Times the foreground's median."""
_WEIGHT = 8
"""Share of a series in a batch (`Prepared.weight`). There is no network that gains from large batches, and fewer series
wait for the others of their window, so that an interrupted run loses little."""
_TRIMMED = (0.1, 99.9)
"""Percentiles that voxels are limited to before the foreground is looked for."""
INTENSITY = (
    *(f"histogram_{i}" for i in range(_BINS)),
    "bright_litres",
    "dark_litres",
    "foreground_litres",
)
"""Meaning of each value of an `intensity` vector."""

VENDORS = {
    "siemens": r"siemens",
    "ge": r"\bge\b|general electric",
    "philips": r"philips",
    "canon": r"canon|toshiba",
    "other": r".",
}
ACQUISITION = (
    *(f"log2_samples_{axis}" for axis in "zyx"),
    *(f"log2_mm_{axis}" for axis in "zyx"),
    *PLANES,
    *(f"vendor_{name}" for name in VENDORS),
    *(f"sequence_{name}" for name in SEQUENCES),
)
"""Meaning of each value of an `acquisition` vector."""


@dataclass(frozen=True)
class BaselinePreparer(ABC):
    """Reads a series and computes its vector; an `encoders.base.Preparer`."""

    @abstractmethod
    def vector(self, volume: Volume, series: Series) -> np.ndarray:
        """(d,) of a series."""

    def __call__(self, series: Series, options: ReadOptions, picture: bool) -> Prepared:
        """Prepare one series.

        Raises:
            SeriesError: it cannot be read, or has no foreground.
        """
        acquired = read_series(series, options)
        volume = to_lps(acquired.image)
        z, y, x = volume.values.shape
        return Prepared(
            arrays=self.vector(volume, series).astype(np.float32)[None],
            weight=_WEIGHT,
            n_tokens=0,
            plane=volume.plane,
            shape=(z, y, x),
            spacing=volume.spacing,
            slice_axis_known_by=acquired.slice_axis_known_by,
            flags=acquired.flags,
            picture=draw_slice(volume.values[z // 2], volume.spacing[1:]) if picture else None,
        )


@dataclass(frozen=True)
class IntensityPreparer(BaselinePreparer):
    """A histogram of the foreground, and volumes of bright and dark tissue."""

    def vector(self, volume: Volume, series: Series) -> np.ndarray:
        """(35,), see `INTENSITY`.

        The foreground is above Otsu's threshold. Values are relative to its median, so a scale of all voxels changes
        nothing.
        """
        low, high = np.percentile(volume.values, _TRIMMED)
        values = np.clip(volume.values.astype(np.float32), low, high) - np.float32(low)
        otsu = sitk.OtsuThresholdImageFilter()
        otsu.SetNumberOfHistogramBins(256)
        otsu.Execute(sitk.GetImageFromArray(values / max(float(values.max()), 1e-30)))
        inside = values[values > otsu.GetThreshold() * values.max()]
        if not len(inside):
            raise SeriesError("it has no foreground: nearly all of its voxels are equal")
        relative = inside / np.median(inside)
        counts, _ = np.histogram(relative.clip(0, np.nextafter(_MOST, 0)), _BINS, (0, _MOST))
        litres = np.prod(volume.spacing) / 1e6
        volumes = litres * np.array([(relative > _BRIGHT).sum(), (relative < _DARK).sum(), len(relative)])
        return np.concatenate([counts / len(relative), volumes])


@dataclass(frozen=True)
class AcquisitionPreparer(BaselinePreparer):
    """Facts of the header: matrix, spacing, plane, vendor, and kind of sequence."""

    def vector(self, volume: Volume, series: Series) -> np.ndarray:
        """(24,), see `ACQUISITION`. No voxel is looked at."""
        vendor, sequence = vendor_of(series), sequence_of(series.name)
        return np.concatenate(
            [
                np.log2(volume.values.shape),
                np.log2(volume.spacing),
                [volume.plane == one for one in PLANES],
                [vendor == one for one in VENDORS],
                [sequence == one for one in SEQUENCES],
            ]
        )


def vendor_of(series: Series) -> str:
    """The vendor of the scanner, a key of `VENDORS`; empty if neither the header nor a sidecar states it."""
    image = series.image
    stated = (
        image.scale.manufacturer
        if isinstance(image, NiftiImage | OtherImage)
        else _dicom_manufacturer(series)
    )
    return next((name for name, pattern in VENDORS.items() if re.search(pattern, stated.lower())), "")


def _dicom_manufacturer(series: Series) -> str:
    import pydicom

    try:
        with quiet_pydicom():
            header = pydicom.dcmread(
                series.files[0], stop_before_pixels=True, specific_tags=["Manufacturer"], force=True
            )
            return text(header, "Manufacturer")
    except malformed():
        return ""
    except OSError:
        return ""
