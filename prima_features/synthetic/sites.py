"""The sites of a synthetic cohort: scanners, patients, habits, and how each vendor names its series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from prima_features.synthetic.acquisition import Plane, Sequence

if TYPE_CHECKING:
    import numpy as np

Vendor = Literal["siemens", "ge", "philips"]


@dataclass(frozen=True)
class Site:
    """One hospital with one scanner."""

    name: str
    vendor: Vendor
    manufacturer: str
    """As in DICOM."""
    model: str
    field_strength: float
    """Tesla"""
    age: tuple[float, float]
    """Mean and standard deviation of the patients' ages, years."""
    thickness: tuple[float, float]
    """Range of two-dimensional slices, mm."""
    three_d: float
    """Share of studies whose T1-weighted series is three-dimensional."""
    coronal: float
    """Share of studies with one series in an unusual plane."""
    share: float
    """Share of the cohort."""


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
"""Models are named after the vendors whose conventions they imitate; no setting is a real scanner's."""


_PLANES: dict[Vendor, dict[Plane, tuple[str, ...]]] = {
    "siemens": {"axial": ("tra", "tra", "ax"), "coronal": ("cor",), "sagittal": ("sag",)},
    "ge": {"axial": ("AX", "Ax"), "coronal": ("COR", "Cor"), "sagittal": ("SAG", "Sag")},
    "philips": {"axial": ("AX", "TRA"), "coronal": ("COR",), "sagittal": ("SAG",)},
}
_NAMES: dict[Vendor, dict[str, tuple[str, ...]]] = {
    "siemens": {
        "T1w3d": ("t1_mprage_{p}_p2_iso", "t1_mpr_ns_{p}_p2_iso", "MPRAGE_{p}"),
        "T1w": ("t1_se_{p}", "t1_fl2d_{p}", "t1_tse_{p}_320"),
        "T2w": ("t2_tse_{p}", "t2_tse_{p}_p2", "t2_blade_{p}"),
        "FLAIR": ("t2_tirm_{p}_dark-fluid", "t2_flair_{p}_fs", "flair_{p}_p2"),
        "DWI": ("ep2d_diff_{p}_b1000_TRACEW", "resolve_diff_{p}_TRACEW", "DWI_{p}_b1000"),
        "ADC": ("ep2d_diff_{p}_ADC", "resolve_diff_{p}_ADC", "DWI_{p}_ADC"),
        "T1c3d": ("t1_mprage_{p}_iso_KM", "t1_mpr_{p}_p2_iso_post"),
        "T1c": ("t1_se_{p}_KM", "t1_tse_{p}_post gad", "t1_fl2d_{p}_GD"),
    },
    "ge": {
        "T1w3d": ("{p} T1 BRAVO", "{p} MPRAGE", "{p} 3D T1 FSPGR"),
        "T1w": ("{p} T1", "{p} T1 SE", "{p} T1 FLAIR"),
        "T2w": ("{p} T2 FSE", "{p} T2", "{p} T2 FRFSE", "{p} T2 PROPELLER"),
        "FLAIR": ("{p} T2 FLAIR", "{p} FLAIR", "{p} T2 FLAIR FS"),
        "DWI": ("{p} DWI b1000", "DWI b1000", "{p} DWI 1000b"),
        "ADC": ("ADC", "Apparent Diffusion Coefficient (mm2/s)", "{p} ADC"),
        "T1c3d": ("{p} T1 BRAVO +C", "{p} MPRAGE POST", "{p} 3D T1 POST GAD"),
        "T1c": ("{p} T1 POST GAD", "{p} T1+C", "{p} T1 POST"),
    },
    "philips": {
        "T1w3d": ("sT1W_3D_TFE {p}", "T1W_3D_TFE_{p}", "3D_T1_TFE {p}"),
        "T1w": ("T1W_SE_{p}", "T1_{p}_SE", "T1W_IR_{p}"),
        "T2w": ("T2W_TSE_{p}", "T2_{p}_TSE", "T2W_TSE_HR {p}"),
        "FLAIR": ("FLAIR_longTR_{p}", "T2W_FLAIR_{p}", "FLAIR_{p}_SPAIR"),
        "DWI": ("DWI_b1000_{p}", "isoDWI {p} b1000", "sDWI_SSh_{p}"),
        "ADC": ("dADC_{p}", "ADC_{p}", "dReg_ADC {p}"),
        "T1c3d": ("sT1W_3D_TFE {p} GD", "3D_T1_TFE_{p}_C+"),
        "T1c": ("T1W_SE_{p}_GD", "T1_{p}_C+", "T1W_SE {p} post"),
    },
}
EXAMS = ("BRAIN W WO", "BRAIN ROUTINE", "HEAD/BRAIN")


def draw_name(
    rng: np.random.Generator, vendor: Vendor, sequence: Sequence, plane: Plane, three_d: bool, exam: str
) -> tuple[str, str]:
    """SeriesDescription and ProtocolName.

    GE writes the examination's name into the second, Siemens and Philips mostly the first once more.

    Args:
        exam: one of `EXAMS`.
    """
    names = _NAMES[vendor]
    key = f"{sequence}3d" if three_d else sequence
    name = str(rng.choice(names[key])).format(p=rng.choice(_PLANES[vendor][plane]))
    if vendor == "ge":
        return name, exam
    return name, name.removesuffix("_TRACEW").removesuffix("_ADC")
