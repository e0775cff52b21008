"""Which gated models the user's account on the Hub may download."""

from __future__ import annotations

from collections.abc import Iterator

from prima_features.doctor.check import Check, passed, warned
from prima_features.errors import UsageError
from prima_features.models.catalog import check_gate
from prima_features.models.published import PUBLISHED, HubFile


def gates() -> Iterator[Check]:
    """One check per gated repository. Asks the Hub, and downloads nothing."""
    asked = set()
    for model in PUBLISHED:
        source = model.source
        if not model.gate or not isinstance(source, HubFile) or source.repository in asked:
            continue
        asked.add(source.repository)
        try:
            check_gate(source)
        except UsageError as error:
            yield warned(model.name, str(error), f"{model.gate}: {source.page}")
        else:
            yield passed(model.name, f"open: prima weights download {model.name} --output DIR")
