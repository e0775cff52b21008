"""Header fields that both formats share."""

from __future__ import annotations

import numpy as np

from prima_features.synthetic.acquisition import Acquisition


def image_orientation(affine: np.ndarray) -> list[float]:
    """DICOM's ImageOrientationPatient: directions of rows and columns in LPS.

    Args:
        affine: (4, 4), as in `prima_features.synthetic.render.Rendered`.
    """
    lps = np.diag([-1.0, -1.0, 1.0]) @ affine[:3, :2]
    # Adding 0 turns -0 into 0.
    return [float(round(v, 6)) + 0.0 for v in (lps / np.linalg.norm(lps, axis=0)).T.ravel()]


def image_type(scan: Acquisition) -> list[str]:
    """DICOM's ImageType."""
    if scan.sequence == "ADC":
        return ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]
    if scan.sequence == "DWI":
        return ["DERIVED", "PRIMARY", "DIFFUSION", "TRACEW"]
    return ["ORIGINAL", "PRIMARY", "M", "ND"]
