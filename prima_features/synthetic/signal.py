"""The signal of a tissue in a sequence, from the textbook's equations."""

from __future__ import annotations

from math import exp

from prima_features.synthetic.acquisition import Acquisition
from prima_features.synthetic.tissue import Tissue

_FAT_LEFT = 0.2
"""Of fat's signal where it is suppressed."""
_AT_1_5_T = {"t1": 0.80, "t2": 1.1}
"""Relaxation at 1.5 T over that at 3 T, for all but fluids, whose times hardly change."""


def signal(tissue: Tissue, scan: Acquisition) -> float:
    """Signal of a tissue without noise, arbitrary units; for ADC maps the coefficient in 1e-6 mm2/s.

    Spin echo, with inversion where `scan.ti` is above 0, and diffusion weighting where `scan.b_value` is:
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
