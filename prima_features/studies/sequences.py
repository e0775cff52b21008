"""The kind of sequence of a series, from its name."""

from __future__ import annotations

import re

SEQUENCES = {
    "dwi": r"dwi|dti|diff|adc|trace|b_?1000|(^|_)fa(_|$)",
    "bold": r"bold|fmri|rest",
    "perfusion": r"asl|perf|dsc|cbf|cbv",
    "swi": r"swi|swan|t2_?star|t2\*|gre|suscept|minip",
    "flair": r"flair|dark_?fluid",
    "t1c": r"t1.*(\+c|gd|gad|post|ce(_|$)|_c(_|$)|contrast)|t1c|t1gd|ce_?t1",
    "t1": r"t1|mprage|spgr|bravo|tfe",
    "t2": r"t2|ciss|fiesta|space",
    "pd": r"(^|_)pd",
    "other": r"",
}
"""Patterns in a series' name, the first that is found."""


def sequence_of(name: str) -> str:
    """The kind of sequence by the name of a series, a key of `SEQUENCES`."""
    lower = re.sub(r"[^a-z0-9+*]+", "_", name.lower())
    return next(kind for kind, pattern in SEQUENCES.items() if re.search(pattern, lower))
