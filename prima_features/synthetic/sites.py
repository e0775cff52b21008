"""The sites of a synthetic cohort: their scanners, whom they see, and their habits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Vendor = Literal["siemens", "ge", "philips"]


@dataclass(frozen=True)
class Site:
    """One hospital with one scanner."""

    name: str
    vendor: Vendor
    manufacturer: str
    """As DICOM has it."""
    model: str
    field_strength: float
    """Tesla"""
    age: tuple[float, float]
    """Mean and standard deviation of those scanned, years."""
    thickness: tuple[float, float]
    """Range of two-dimensional slices, mm."""
    three_d: float
    """Share of studies whose T1-weighted series is three-dimensional."""
    coronal: float
    """Share of studies with one series in a plane out of the ordinary."""
    share: float
    """Of the cohort."""


SITES: dict[str, Site] = {
    site.name: site
    for site in (
        Site("university", "siemens", "SIEMENS", "Prisma-like", 3.0, (38, 18), (3.0, 4.0), 0.8, 0.2, 0.3),
        Site("general", "ge", "GE MEDICAL SYSTEMS", "Signa-like", 1.5, (55, 19), (4.0, 6.0), 0.4, 0.3, 0.3),
        Site(
            "children",
            "philips",
            "Philips Medical Systems",
            "Ingenia-like",
            3.0,
            (24, 14),
            (2.5, 4.0),
            0.7,
            0.2,
            0.2,
        ),
        Site("geriatric", "siemens", "SIEMENS", "Avanto-like", 1.5, (70, 10), (4.0, 5.0), 0.5, 0.3, 0.2),
    )
}
"""Models are named after the manners they copy; no setting is a real scanner's."""
