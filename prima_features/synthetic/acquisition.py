"""The acquisition of one series: a plain record of all settings of the scanner and its operator."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

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
