"""Affine transforms: voxels of a series to the scanner, and the scanner to the head."""

from __future__ import annotations

import numpy as np

from prima_features.synthetic.acquisition import Acquisition, Plane

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
