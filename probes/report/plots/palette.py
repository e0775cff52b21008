"""Colours: Paul Tol's muted scheme, which readers with any colour vision can tell apart."""

from __future__ import annotations

from typing import Any

INK = "#222222"
MUTED = "#5F6368"
RULE = "#BDC1C6"
OTHER = "#9AA0A6"

COLOURS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#DDAA33",
    "#44AA99",
    "#882255",
    "#88CCEE",
    "#999933",
    "#AA4499",
)
"""Indigo, rose, green, sand (darkened for white paper), teal, wine, cyan, olive, purple."""

MAIN, SECOND = COLOURS[:2]
DASHES = ("", "6 2.5", "2 2", "7 2 2 2")
"""A second sign beside the colour, for paper without any: lengths of marks and spaces."""
REFERENCE = "4 3"
"""Dashes of lines to compare with, such as chance."""


def line_style(dashes: str) -> Any:
    """Dashes as matplotlib takes them."""
    return (0, tuple(float(length) for length in dashes.split())) if dashes else "solid"
