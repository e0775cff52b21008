"""Numbers for readers: few digits, a true minus sign, and words if there is no number."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prima_features.wording import count

if TYPE_CHECKING:
    from prima_features.evaluation.intervals import Estimate

__all__ = [
    "UNDEFINED",
    "brief",
    "count",
    "decimals_for",
    "interval",
    "minus",
    "number",
    "p_text",
    "p_value",
    "percent",
    "short",
    "with_interval",
    "with_unit",
]

UNDEFINED = "not defined"
_MOST_DECIMALS = 6
_MOST_DIGITS = 9


def percent(part: float, total: float) -> str:
    """`43%`; 0% if the total is 0."""
    return f"{100 * part / total if total else 0:.0f}%"


def minus(text: str) -> str:
    """With the sign U+2212, which is as wide as a digit."""
    return text.replace("-", "\u2212")


def number(value: float, decimals: int) -> str:
    """A number with so many decimals; in powers of ten where those would show nothing, or too much."""
    if not math.isfinite(value):
        return UNDEFINED
    if decimals > _MOST_DECIMALS or abs(value) >= 10**_MOST_DIGITS:
        return minus(f"{value:.2e}")
    text = f"{value:,.{decimals}f}"
    return minus(text.removeprefix("-") if float(text.replace(",", "")) == 0 else text)


def interval(estimate: Estimate, decimals: int) -> str:
    """`4.10 to 5.06`, or nothing if there is no interval, or one without width: such a number is fixed by design."""
    # A comparison with NaN does not hold either.
    if not estimate.ci_low < estimate.ci_high:
        return ""
    return f"{number(estimate.ci_low, decimals)} to {number(estimate.ci_high, decimals)}"


def with_interval(estimate: Estimate, decimals: int, unit: str = "") -> str:
    """`4.57 years (95% interval 4.10 to 5.06)`."""
    value = with_unit(number(estimate.value, decimals), unit)
    found = interval(estimate, decimals)
    return f"{value} (95% interval {found})" if found else value


def brief(estimate: Estimate, decimals: int, unit: str = "") -> str:
    """`4.57 years (4.10 to 5.06)`."""
    found = interval(estimate, decimals)
    return with_unit(number(estimate.value, decimals), unit) + (f" ({found})" if found else "")


def with_unit(text: str, unit: str) -> str:
    """A number with its unit, if it has both."""
    return f"{text} {unit}" if unit and text != UNDEFINED else text


def decimals_for(scale: float) -> int:
    """Decimals that show three digits of a number of this size."""
    if not math.isfinite(scale) or scale == 0:
        return 2
    return max(0, 2 - math.floor(math.log10(abs(scale))))


def short(value: float) -> str:
    """A parameter such as 0.01, 1,000 or 1e-06."""
    if 1e4 <= abs(value) < 1e9:
        return minus(f"{value:,.0f}")
    return minus(f"{value:,.4g}")


def p_value(value: float) -> str:
    """With two significant digits, three decimals at least."""
    return f"{value:.{max(3, 1 - math.floor(math.log10(value)))}f}" if value > 0 else "0"


_LEAST_P = 1e-4


def p_text(p: float) -> str:
    """`= 0.012`, `< 0.0001`."""
    return f"< {_LEAST_P:.4f}" if p < _LEAST_P else f"= {p_value(p)}"
