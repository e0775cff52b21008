"""Tissues: proton density, relaxation times, diffusion and uptake of contrast agent; their signal in a sequence.

Values at 3 T are of the order that reviews give (Bojorquez et al., Magnetic Resonance Imaging 35, 2017, for brain;
Bammer 2003 for diffusion); those of lesions are choices that give the appearance described in textbooks.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from prima_features.synthetic.acquisition import Acquisition


@dataclass(frozen=True)
class Tissue:
    """One tissue at 3 T."""

    density: float
    """Of protons, 1 for water."""
    t1: float
    """ms"""
    t2: float
    """ms; for tissues that fast spin echoes show brighter, such as fat, the effective value in those."""
    adc: float
    """Apparent diffusion coefficient, 1e-3 mm2/s."""
    uptake: float = 0.0
    """Rise of 1/T1 a few minutes after a single dose of gadolinium, 1/s."""
    adipose: bool = False
    """Whether fat suppression darkens it."""


TISSUES: dict[str, Tissue] = {
    "air": Tissue(0.0, 1000, 50, 0.0),
    "fluid": Tissue(1.0, 4300, 1600, 3.0),
    "grey": Tissue(0.82, 1450, 92, 0.83, 0.03),
    "white": Tissue(0.70, 810, 70, 0.72, 0.02),
    "bone": Tissue(0.07, 600, 20, 0.3),
    "muscle": Tissue(0.75, 1350, 38, 1.3, 0.25),
    "fat": Tissue(0.62, 370, 130, 0.1, adipose=True),
    "vitreous": Tissue(1.0, 4000, 1300, 2.8),
    "vein": Tissue(0.42, 1800, 45, 1.2, 5.0),
    "artery": Tissue(0.25, 1800, 30, 1.2, 5.0),
    "choroid": Tissue(0.90, 2000, 180, 1.8, 1.3),
    "pituitary": Tissue(0.82, 1100, 88, 0.9, 2.4),
    "dura": Tissue(0.5, 1300, 35, 0.8, 0.7),
    # Lesions
    "hyperintensity": Tissue(0.80, 1450, 135, 1.05),
    "oedema": Tissue(0.87, 1650, 165, 1.45),
    "necrosis": Tissue(0.95, 2500, 320, 1.9),
    "tumour": Tissue(0.87, 1750, 165, 1.25, 0.05),
    "enhancing_tumour": Tissue(0.83, 1500, 108, 0.95, 1.7),
    "infarct_acute": Tissue(0.83, 1500, 118, 0.40),
    "infarct_subacute": Tissue(0.86, 1600, 165, 0.72, 0.5),
    "gliosis": Tissue(0.86, 1750, 190, 1.5),
    "plaque": Tissue(0.86, 1700, 165, 1.15),
    "active_plaque": Tissue(0.86, 1700, 175, 1.05, 1.2),
    "meningioma": Tissue(0.80, 1420, 98, 0.80, 1.9),
    "schwannoma": Tissue(0.85, 1600, 130, 1.3, 1.8),
    "adenoma": Tissue(0.83, 1450, 105, 0.8, 0.9),
    "blood_acute": Tissue(0.80, 1250, 40, 0.7),
    "blood_subacute": Tissue(0.85, 430, 170, 0.8),
    "blood_chronic": Tissue(0.95, 1500, 420, 1.9),
    "haemosiderin": Tissue(0.55, 1150, 22, 0.7),
    "pus": Tissue(0.92, 1900, 220, 0.48),
    "capsule": Tissue(0.82, 1150, 60, 0.8, 1.9),
    "colloid": Tissue(0.85, 520, 95, 0.8),
    "mucosa": Tissue(0.92, 1700, 230, 1.6, 0.6),
    "xanthogranuloma": Tissue(0.93, 2300, 300, 0.75),
}
"""By name; `INSIDE` and `OUTSIDE` are the three that a tone runs through."""

INSIDE = ("fluid", "grey", "white")
OUTSIDE = ("bone", "muscle", "fat")
AROUND = ("mucosa",)
"""Lesions outside the skull; ADC maps show nothing there."""


_FAT_LEFT = 0.2
"""Remaining share of the signal of fat if it is suppressed."""
_AT_1_5_T = {"t1": 0.80, "t2": 1.1}
"""Relaxation times at 1.5 T relative to 3 T, except of fluids, whose times hardly change."""


def signal(tissue: Tissue, scan: Acquisition) -> float:
    """Signal of a tissue without noise, arbitrary units; for ADC maps the coefficient in 1e-6 mm2/s.

    Spin echo, with inversion if `scan.ti` is above 0, and diffusion weighting if `scan.b_value` is:
    density x |1 - 2 exp(-TI/T1) + exp(-TR/T1)| x exp(-TE/T2) x exp(-b ADC). Three-dimensional T1-weighted gradient
    echoes prepared by inversion reach a steady state, in which the last term of the second factor divides.
    """
    if scan.sequence == "ADC":
        return 0.0 if tissue.adipose else 1000 * tissue.adc
    t1, t2 = _relaxation(tissue, scan)
    recovery = exp(-scan.tr / t1)
    if scan.three_d and scan.ti:
        longitudinal = abs(1 - 2 * exp(-scan.ti / t1) / (1 + recovery))
    elif scan.ti:
        longitudinal = abs(1 - 2 * exp(-scan.ti / t1) + recovery)
    else:
        longitudinal = 1 - recovery
    shown = tissue.density * longitudinal * exp(-scan.te / t2) * exp(-scan.b_value / 1000 * tissue.adc)
    return shown * (_FAT_LEFT if tissue.adipose and scan.fat_suppressed else 1)


def _relaxation(tissue: Tissue, scan: Acquisition) -> tuple[float, float]:
    """T1 and T2 in ms, at the scanner's field and after contrast agent."""
    low = scan.field_strength < 2 and tissue.t1 < 2500
    t1, t2 = (tissue.t1 * _AT_1_5_T["t1"], tissue.t2 * _AT_1_5_T["t2"]) if low else (tissue.t1, tissue.t2)
    return 1 / (1 / t1 + scan.contrast_dose * tissue.uptake / 1000), t2
