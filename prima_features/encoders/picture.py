"""A small picture of a series for the HTML report, for encoders that outline nothing in it."""

from __future__ import annotations

import io
import logging

import numpy as np

from prima_features.encoders.base import Picture

logger = logging.getLogger(__name__)

_SIDE = 88
"""Pixels of the longer side: a page contains thousands of pictures."""
_WINDOW = (1.0, 99.5)
"""Percentiles that become black and white."""


def draw_slice(values: np.ndarray, spacing: tuple[float, float]) -> Picture | None:
    """Draw an axial slice. A sagittal one would show a face.

    Args:
        values: (rows, columns), rows to the back and columns to the left.
        spacing: of rows and columns, mm.

    Returns:
        None if drawing fails, which costs no series.
    """
    from PIL import Image

    try:
        low, high = np.percentile(values, _WINDOW)
        scaled = (values.astype(np.float32) - low) / max(float(high - low), 1e-6)
        mm = np.array(values.shape) * spacing
        height, width = np.maximum(1, np.rint(_SIDE * mm / mm.max())).astype(int).tolist()
        grey = Image.fromarray(np.clip(255 * scaled, 0, 255).astype(np.uint8))
        file = io.BytesIO()
        grey.resize((width, height), Image.Resampling.BILINEAR).save(file, "JPEG", quality=72, optimize=True)
        return Picture(file.getvalue(), width, height, outline="")
    except Exception as error:
        logger.debug("A series could not be drawn", exc_info=error)
        return None
