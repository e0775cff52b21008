"""JSON sidecars and gradient tables: what is known of an image beside its voxels.

The fields are those of BIDS, and of dcm2niix, which writes them.
"""

import json
import logging
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prima_features.studies.names import series_name
from prima_features.studies.study import SidecarScale

logger = logging.getLogger(__name__)

B0_LIMIT = 50.0
"""Volumes with a b-value up to this, in s/mm2, count as b=0: scanners write 5 or so for spoiled zeros."""


def read_json(path: Path) -> dict[str, Any]:
    """Fields of a sidecar; none, with a warning, where it cannot be read. It must not cost the scan."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        logger.warning("The sidecar %s is ignored, it cannot be read: %s", path, error)
        return {}
    if not isinstance(fields, dict):
        logger.warning("The sidecar %s is ignored, it does not hold a JSON object", path)
        return {}
    return fields


def name_of(fields: Mapping[str, Any]) -> str:
    """The series' name from SeriesDescription and ProtocolName, or an empty string."""
    return series_name(_text(fields, "SeriesDescription"), _text(fields, "ProtocolName"))


def orientation_of(fields: Mapping[str, Any]) -> tuple[float, ...]:
    """Directions of the acquired slices' rows and columns: six numbers, or none.

    Source: ImageOrientationPatientDICOM, a copy of DICOM's ImageOrientationPatient (0020,0037).
    """
    numbers = fields.get("ImageOrientationPatientDICOM")
    if not isinstance(numbers, list) or len(numbers) != 6:
        return ()
    if not all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
        return ()
    return tuple(map(float, numbers))


def scale_of(fields: Mapping[str, Any]) -> SidecarScale:
    """What dcm2niix writes of the scale of Philips images; a field that is not a finite number counts as missing."""

    def number(name: str) -> float:
        value = fields.get(name)
        is_number = isinstance(value, int | float) and abs(value) < sys.float_info.max
        return float(value) if is_number else 0.0  # type: ignore[arg-type]

    precise = fields.get("UsePhilipsFloatNotDisplayScaling")
    manufacturer = fields.get("Manufacturer")
    return SidecarScale(
        manufacturer=manufacturer if isinstance(manufacturer, str) else "",
        precise=bool(precise) if isinstance(precise, int) else None,
        rescale_slope=number("PhilipsRescaleSlope"),
        rescale_intercept=number("PhilipsRescaleIntercept"),
        scale_slope=number("PhilipsScaleSlope"),
        real_world_slope=number("PhilipsRWVSlope"),
        real_world_intercept=number("PhilipsRWVIntercept"),
    )


def is_phase(fields: Mapping[str, Any]) -> bool:
    """Whether ImageType says that the image shows the phase of the signal."""
    image_type = fields.get("ImageType")
    return isinstance(image_type, list) and "PHASE" in image_type


def b0_volumes(bvals: Path) -> tuple[int, ...]:
    """Indices of the b=0 volumes by a gradient table in FSL's format (.bval: numbers between spaces).

    Where none is at or below `B0_LIMIT`, the first of those with the lowest b-value; the first volume, with a
    warning, where the table cannot be read.
    """
    try:
        table = [float(word) for word in bvals.read_text(encoding="utf-8-sig").split()]
    except (OSError, ValueError) as error:
        logger.warning("The table %s is ignored, it cannot be read: %s", bvals, error)
        return (0,)
    numbers = [value if math.isfinite(value) else math.inf for value in table] or [0.0]
    zeros = tuple(i for i, value in enumerate(numbers) if value <= B0_LIMIT)
    return zeros or (numbers.index(min(numbers)),)


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""
