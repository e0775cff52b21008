"""Failures by reason."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from prima_features.studies.study import Failure

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_ANY = "\u2026"


@dataclass(frozen=True)
class Reason:
    """Failures with one reason and one remedy."""

    stage: str
    reason: str
    """Numbers in which they differ are left out."""
    hint: str
    by_design: bool
    """A rule leaves such things out: nothing is wrong with them."""
    rows: int
    """Series, or whole studies, that were left out."""
    studies: tuple[str, ...]
    """Ids, each once."""


def grouped(failures: Iterable[Failure]) -> list[Reason]:
    """Failures by reason: what is wrong first, and then the most frequent."""
    groups: dict[tuple[object, ...], list[Failure]] = defaultdict(list)
    for one in failures:
        groups[(*key(one.stage, one.error, one.hint), one.defect)].append(one)
    reasons = [
        Reason(
            stage=members[0].stage,
            reason=_common([one.error for one in members]),
            hint=_common([one.hint for one in members]),
            by_design=not members[0].defect,
            rows=len(members),
            studies=tuple(dict.fromkeys(one.study for one in members if one.study)),
        )
        for members in groups.values()
    ]
    return sorted(reasons, key=lambda reason: (reason.by_design, -reason.rows))


def key(stage: str, error: str, hint: str) -> tuple[str, str, str]:
    """What failures of one reason have in common: all but numbers."""
    return stage, _pattern(error), _pattern(hint)


def _pattern(text: str) -> str:
    return _NUMBER.sub(_ANY, text)


def _common(texts: list[str]) -> str:
    return texts[0] if len(set(texts)) == 1 else _pattern(texts[0])
