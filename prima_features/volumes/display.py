"""Display values of Philips images: those given by DICOM's rescale slope, which dcm2niix does not write by default.

Philips stores a second scale, with which values of several scans can be compared. dcm2niix applies it unless it runs
with `-p n`. The foreground threshold is an absolute number of DICOM's display values, so they are restored here:

    stored * RS + RI                  display value (RS, RI: RescaleSlope and RescaleIntercept)
    (stored * RS + RI) / (RS * SS)    "precise" value (SS: scale slope, (2005,100E))

Source: the sidecar's fields of these names, which dcm2niix documents; Chenevert et al. 2014,
doi:10.1016/j.tranon.2014.05.001.
"""

import numpy as np

from prima_features.studies.study import SidecarScale

RESTORED = "philips-display-scale"
"""Flag: the file's values were divided by the Philips scale, and display values were restored."""
UNKNOWN = "intensity-scale-unknown"
"""Flag: it is unknown whether the values are display values, and they are scaled or low."""

_LOW = 100.0
"""The foreground threshold is 50, and 0.5 for images below `_UNIT`."""
_UNIT = 5.0
_SAME = 1e-3
"""Relative difference of a header's slope and one that is computed from a sidecar's rounded numbers."""


def to_display(
    values: np.ndarray, scale: SidecarScale, slope: float = 1.0, intercept: float = 0.0
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values in display units, and flags.

    Args:
        values: of a NIfTI file, with its own slope and intercept applied.
        scale: from the file's sidecar.
        slope: the header's scl_slope, 1 if there is none.
        intercept: the header's scl_inter.
    """
    if not scale.has_slopes:
        return values, _doubt(values, scale, slope, intercept)
    display = (scale.rescale_slope, scale.rescale_intercept)
    precise = (1 / scale.scale_slope, scale.rescale_intercept / (scale.rescale_slope * scale.scale_slope))
    known = [] if scale.precise is None else [precise if scale.precise else display]
    # The header states more reliably than the sidecar what was applied, unless the file was rewritten since: then its
    # slope is 1. Earlier versions of dcm2niix applied the real-world scale if there is one.
    candidates = [*known, display, precise, (scale.real_world_slope, scale.real_world_intercept)]
    by_header = [one for one in candidates if _is_same(one, (slope, intercept))]
    if (slope, intercept) != (1.0, 0.0) and by_header:
        known = by_header
    if not known:
        return values, (UNKNOWN,)
    applied = known[0]
    if _is_same(applied, display):
        return values, ()
    restored = (values.astype(np.float64) - applied[1]) * (display[0] / applied[0]) + display[1]
    if display[0].is_integer() and display[1].is_integer():
        whole = np.rint(restored)
        if np.abs(restored - whole).max() < 0.01:  # whole numbers, as in the DICOM series
            fits = whole.min() >= 0 and whole.max() <= np.iinfo(np.uint16).max
            return whole.astype(np.uint16 if fits else np.int32), (RESTORED,)
    return restored, (RESTORED,)


def _doubt(values: np.ndarray, scale: SidecarScale, slope: float, intercept: float) -> tuple[str, ...]:
    """Flag images that may have Philips' precise values: no other manufacturer is stated, and the values suggest it."""
    if scale.manufacturer and not scale.is_philips:
        return ()
    scaled = (slope, intercept) != (1.0, 0.0)
    top = float(np.fmax.reduce(values, axis=None, initial=0))  # NaN is ignored
    return (UNKNOWN,) if scaled or _UNIT <= top < _LOW else ()


def _is_same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    near = _SAME * abs(other[0])
    return abs(one[0] - other[0]) <= near and abs(one[1] - other[1]) <= max(_SAME * abs(other[1]), near)
