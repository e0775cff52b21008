"""The acquisition of one series: a record of all settings of the scanner and its operator, and its affine transforms:
voxels of the series to the scanner, and the scanner to the head.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

Plane = Literal["axial", "coronal", "sagittal"]
Sequence = Literal["T1w", "T2w", "FLAIR", "DWI", "ADC", "T1c"]
SEQUENCES: tuple[Sequence, ...] = ("T1w", "T2w", "FLAIR", "DWI", "ADC", "T1c")


@dataclass(frozen=True)
class Acquisition:
    """Settings of one series; independent of the subject."""

    sequence: Sequence
    plane: Plane
    description: str
    """SeriesDescription."""
    protocol: str
    """ProtocolName."""
    matrix: tuple[int, int]
    """Columns and rows."""
    spacing: tuple[float, float]
    """Distance between columns and between rows, mm."""
    thickness: float
    """mm"""
    gap: float
    """Between slices, mm."""
    n_slices: int
    tr: float
    """Repetition time, ms."""
    te: float
    """Echo time, ms."""
    ti: float = 0.0
    """Inversion time, ms; 0 without inversion."""
    b_value: float = 0.0
    """s/mm2"""
    field_strength: float = 3.0
    """Tesla"""
    three_d: bool = False
    fat_suppressed: bool = False
    contrast_dose: float = 0.0
    """Dose of gadolinium; 1 is a single dose."""
    head_tilt: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation of the head in degrees about the R, A and S axes."""
    angulation: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Rotation of the slices by the operator, likewise."""
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Offset of the stack from the middle of the brain, mm to R, A, S."""
    codes: str = ""
    """Directions of the axes as stored in NIfTI, such as `RAS`; empty: as displayed."""
    bias: float = 0.2
    """Strength of the receive field: standard deviation of its logarithm."""
    noise: float = 0.03
    """Standard deviation, over the signal of grey matter."""
    blur: float = 0.0
    """Width of the point spread in plane, mm (standard deviation)."""
    gain: float = 500.0
    """Stored value of grey matter's signal; not used for ADC maps."""
    contrast_jitter: float = 0.04
    """Standard deviation of the logarithm of each tissue's signal around its true value."""
    manufacturer: str = "SIEMENS"
    model: str = "Synthetic"
    number: int = 1
    """SeriesNumber"""
    seed: int = 0
    """Random seed of bias, noise and jitter."""

    @property
    def slice_distance(self) -> float:
        """Between the middles of neighbouring slices, mm."""
        return self.thickness + self.gap

    def __post_init__(self) -> None:
        check_known("sequence", self.sequence, SEQUENCES)
        if min(*self.matrix, self.n_slices) < 2:
            raise ValueError(
                f"a series must have at least 2 x 2 x 2 voxels, not {(*self.matrix, self.n_slices)}"
            )
        if min(*self.spacing, self.thickness) <= 0 or self.gap < 0:
            raise ValueError(f"voxel sizes must be above 0 mm, not {(*self.spacing, self.thickness)}")


def check_known(what: str, name: str, known: Collection[str]) -> None:
    """Raise ValueError if a name is not one of the known ones.

    Args:
        what: what it names, for the message.
    """
    if name not in known:
        raise ValueError(f"{what} must be one of {', '.join(known)}, not {name!r}")


AXES: dict[Plane, np.ndarray] = {
    "axial": np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], float),
    "coronal": np.array([[-1, 0, 0], [0, 0, -1], [0, -1, 0]], float),
    "sagittal": np.array([[0, -1, 0], [0, 0, -1], [-1, 0, 0]], float),
}
"""Rows: the directions of columns, rows and slices, to R, A, S, as a radiologist's screen shows them."""
MIDDLE = np.array([0.0, -18.0, 6.0])
"""Of the brain, MNI coordinates, mm."""


def rotation(degrees: tuple[float, float, float]) -> np.ndarray:
    """(3, 3): turns about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        a, b = [i for i in range(3) if i != axis]
        turn[[a, b], [a, b]] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def series_affine(scan: Acquisition) -> np.ndarray:
    """(4, 4): from (column, row, slice) to mm in the scanner, to R, A, S."""
    directions = AXES[scan.plane] @ rotation(scan.angulation).T
    steps = directions.T * np.array([*scan.spacing, scan.slice_distance])
    shape = np.array([*scan.matrix, scan.n_slices])
    affine = np.eye(4)
    affine[:3, :3] = steps
    affine[:3, 3] = np.array(scan.centre) - steps @ (shape - 1) / 2
    return affine


def head_affine(
    scan: Acquisition, scale: tuple[float, float, float], spacing: float, origin: tuple[float, float, float]
) -> np.ndarray:
    """(4, 4): from voxels of the anatomy to mm in the scanner; the middle of the brain is the origin.

    Args:
        scale: the head's size along x, y, z relative to the atlas.
        spacing: of the anatomy's voxels, mm, before scaling.
        origin: MNI coordinates of its first voxel.
    """
    to_mm = np.eye(4)
    to_mm[:3, :3] = np.diag(scale) * spacing
    to_mm[:3, 3] = np.array(scale) * (np.array(origin) - MIDDLE)
    turned = np.eye(4)
    turned[:3, :3] = rotation(scan.head_tilt)
    return turned @ to_mm
