"""Numbers as a reader wants them."""

from __future__ import annotations


def percent(part: float, whole: float) -> str:
    """`43%`; nothing of nothing is 0%."""
    return f"{100 * part / whole if whole else 0:.0f}%"


def count(n: int, noun: str, plural: str = "") -> str:
    """`1 study`, `1,200 studies`."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def minus(text: str) -> str:
    """With the sign U+2212, which is as wide as a digit."""
    return text.replace("-", "\u2212")
