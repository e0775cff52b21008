"""Synthetic brains and geometry that several tests need; each brain is built once in a process."""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from scipy import ndimage

from prima_features.synthetic import (
    Anatomy,
    Subject,
    build_anatomy,
    draw_acquisitions,
    draw_subject,
    render_series,
)
from prima_features.synthetic.acquisition import head_affine
from prima_features.synthetic.atlas.labels import INTRACRANIAL
from prima_features.volumes.resampling import Grid, resample


@lru_cache(maxsize=8)
def brain(subject: Subject) -> Anatomy:
    """`build_anatomy(subject)`, which tests must not change."""
    return build_anatomy(subject)


def turned(
    degrees: float, shift: tuple[float, float, float], scales: tuple[float, float, float]
) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return np.block(
        [[matrix[:3, :3] @ np.diag(scales), np.array(shift)[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]]
    )


@dataclass(frozen=True)
class Head:
    """A synthetic scan with masks of its head and of its brain with the fluid around it."""

    values: np.ndarray
    affine: np.ndarray
    head: np.ndarray
    brain: np.ndarray


@cache
def synthetic_head(sequence: str) -> Head:
    subject = brain(draw_subject(11, 0, site="university", age=70))
    (scan,) = draw_acquisitions(11, 0, "university", sequences=(sequence,))  # type: ignore[arg-type]
    made = render_series(subject, scan)
    atlas = head_affine(scan, subject.scale, subject.spacing, subject.origin)
    label = resample(subject.label.numpy(), atlas, Grid(made.volume.shape, made.affine), order=0)  # type: ignore[arg-type]
    inside = ndimage.binary_fill_holes(label != 0)
    return Head(made.volume, made.affine, inside, np.isin(label, [int(one) for one in INTRACRANIAL]))
