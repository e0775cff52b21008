"""Sections of the optional analyses, in the page's order."""

from __future__ import annotations

from prima_features.clinical.audit.result import Audit
from prima_features.page.blocks import Section


def sections_of(found: Audit) -> list[Section | None]:
    """Those that were asked for."""
    return []
