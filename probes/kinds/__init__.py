"""Kinds of targets: all that depends on whether numbers, classes, labels, times to an event or counts are predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prima_features.probes.kinds.base import Kind, KindName, Outcome, Words
from prima_features.probes.kinds.classes import Classes
from prima_features.probes.kinds.counts import Counts
from prima_features.probes.kinds.labels import Labels
from prima_features.probes.kinds.numbers import Numbers
from prima_features.probes.kinds.ordinal import Ordinal
from prima_features.probes.kinds.survival import Survival

if TYPE_CHECKING:
    from prima_features.probes.tasks import Task

__all__ = [
    "KINDS",
    "Classes",
    "Counts",
    "Kind",
    "KindName",
    "Labels",
    "Numbers",
    "Ordinal",
    "Outcome",
    "Survival",
    "Words",
    "kind_of",
]

KINDS: dict[KindName, type[Kind]] = {
    "number": Numbers,
    "classes": Classes,
    "survival": Survival,
    "ordinal": Ordinal,
    "count": Counts,
    "labels": Labels,
}
"""Kinds by name."""


def kind_of(task: Task) -> Kind:
    """The kind of a task's target."""
    return KINDS[task.kind_name](task)
