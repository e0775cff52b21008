"""The file of the atlas: two byte maps in one LZMA stream."""

from __future__ import annotations

import lzma
from pathlib import Path

import numpy as np

SPACING = 1.25
"""mm, along all axes."""
SHAPE = (149, 178, 180)
ORIGIN = (-92.5, -128.0, -114.0)
"""MNI coordinates of the first voxel's centre; the axes run to R, A and S."""
TEMPLATE_END = -66.0
"""Height at which the template ends, mm; its last slice is repeated below as the neck."""
STEPS = 16
"""Steps of the tone from 0 to 1 and from 1 to 2."""


def write(path: Path, tone: np.ndarray, label: np.ndarray) -> None:
    """Write `tone` (0 to 2) and `label`, both (x, y, z)."""
    coded = np.stack([np.round(tone * STEPS), label]).astype(np.uint8)
    # Neighbours along z differ least, and differences compress better than values.
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
    path.write_bytes(lzma.compress(coded.tobytes(), format=lzma.FORMAT_XZ, filters=filters))


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """`tone` (x, y, z) float32, 0 to 2, and `label` (x, y, z) uint8."""
    coded = np.frombuffer(lzma.decompress(path.read_bytes()), np.uint8).reshape(2, *SHAPE)
    return coded[0].astype(np.float32) / STEPS, coded[1]
