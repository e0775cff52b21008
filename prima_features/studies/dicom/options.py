"""What of a DICOM tree is embedded."""

from dataclasses import dataclass
from typing import Literal, get_args

from prima_features.errors import UsageError

TimeSeries = Literal["skip", "first", "mean"]


@dataclass(frozen=True)
class DicomOptions:
    """Choices of the DICOM finder. Raises UsageError where one cannot be."""

    modality: str = "MR"
    """Modality (0008,0060) of the images that are embedded; others are left out."""
    min_slices: int = 5
    """Stacks of fewer slices are left out."""
    time_series: TimeSeries = "skip"
    """What becomes of BOLD, ASL and perfusion series: left out, their first volume, or their mean."""
    slice_tolerance: float = 0.05
    """How far a distance between neighbouring slices, or a slice's shift sideways, may stray from the
    stack's median, as a fraction of the median distance. Scanners write positions with two to four
    decimals, so thin slices stray by a few percent; a missing slice strays by 100 percent. (dcm2niix
    allows 0.2 mm; ITK's 1e-6 mm warns of rounding, InsightSoftwareConsortium/ITK#1607.)"""

    def __post_init__(self) -> None:
        if not self.modality:
            raise UsageError("the modality is empty: give one, such as MR")
        if self.min_slices < 1:
            raise UsageError(f"the minimum number of slices must be 1 or more, not {self.min_slices}")
        if self.time_series not in get_args(TimeSeries):
            choices = ", ".join(get_args(TimeSeries))
            raise UsageError(f"the treatment of time series must be one of {choices}, not {self.time_series}")
        if not 0 < self.slice_tolerance < 0.5:
            raise UsageError(
                f"the slice tolerance must be between 0 and 0.5 (a fraction of the slice distance), not "
                f"{self.slice_tolerance}"
            )
