"""Numbers as a reader wants them."""

from __future__ import annotations

from prima_features.wording import count as count


def percent(part: float, whole: float) -> str:
    """`43%`; nothing of nothing is 0%."""
    return f"{100 * part / whole if whole else 0:.0f}%"


def minus(text: str) -> str:
    """With the sign U+2212, which is as wide as a digit."""
    return text.replace("-", "\u2212")
