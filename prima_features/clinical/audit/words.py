"""Names and numbers as the page shows them."""

from __future__ import annotations

from prima_features.evaluation.intervals import Estimate
from prima_features.page import digits
from prima_features.page.blocks import Cell

_LEAST_P = 1e-4


def label(name: str) -> str:
    """A name as it is read; spaces let narrow columns break it."""
    return name.replace("_", " ")


def cell(estimate: Estimate, decimals: int = 3) -> Cell:
    """A number with its interval below."""
    return Cell(digits.number(estimate.value, decimals), digits.interval(estimate, decimals))


def p_text(p: float) -> str:
    """`= 0.012`, `< 0.0001`."""
    return f"< {_LEAST_P:.4f}" if p < _LEAST_P else f"= {digits.p_value(p)}"


def p_cell(p: float) -> Cell:
    """A p value in a column of its own: `0.012`, `< 0.0001`."""
    return Cell(p_text(p).removeprefix("= "))
