"""Comparing the tensors a network has with those a file holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_NAMED = 3

Shapes = Mapping[str, tuple[int, ...]]


def difference(expected: Shapes, found: Shapes) -> str:
    """What is missing, unexpected or of another shape, in words; empty where the two agree."""
    shapes = [
        f"{name} {tuple(found[name])} instead of {tuple(expected[name])}"
        for name in sorted(expected.keys() & found.keys())
        if tuple(found[name]) != tuple(expected[name])
    ]
    parts = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": shapes,
    }
    return "; ".join(f"{what}: {_some(names)}" for what, names in parts.items() if names)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
