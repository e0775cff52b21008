"""Presets for public cohorts' label tables. All of one can be overridden by columns or by a TOML file.

The encodings are those of the cohorts' own tables; what rests on a single source is said in `unverified`.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from prima_features.errors import UsageError
from prima_features.probes.labels.cohorts import autism, dementia, glioma, healthy, stroke
from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn, Target
from prima_features.probes.labels.cohorts.toml_file import read_cohort

__all__ = ["NAMES", "PRESETS", "Cohort", "IdColumn", "Target", "get", "overlap"]

PRESETS: dict[str, Cohort] = {
    cohort.name: cohort for module in (healthy, autism, dementia, glioma, stroke) for cohort in module.COHORTS
}
NAMES: tuple[str, ...] = tuple(PRESETS)
"""Names of the presets."""


def get(name: str | Path) -> Cohort:
    """A preset by its name, or a cohort from a TOML file of the same shape (see `toml_file`).

    Raises:
        UsageError: no preset has the name and it is no TOML file, or the file does not describe a cohort.
    """
    if str(name).endswith(".toml"):
        return read_cohort(Path(name), PRESETS)
    if str(name) in PRESETS:
        return PRESETS[str(name)]
    near = get_close_matches(str(name), NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else "or give a TOML file that describes one"
    raise UsageError(f"there is no cohort {str(name)!r} among {', '.join(NAMES)}: {hint}")


def overlap(first: str, second: str) -> str:
    """Why one of these cohorts must not test what the other trained; empty where nothing is known."""
    if first == second:
        return f"{first} is on both sides: check that no subject is"
    for outer, inner in ((first, second), (second, first)):
        if inner in _holds(outer):
            return (
                f"{outer} holds scans of {inner} under other ids, so subjects that trained the probe "
                "may be among those that test it"
            )
    common = sorted(_holds(first) & _holds(second))
    return f"{first} and {second} both hold scans of {', '.join(common)} under other ids" if common else ""


def _holds(name: str) -> set[str]:
    return set(PRESETS[name].contains) if name in PRESETS else set()
