"""What a join has to say beside its table: what was decided, and what a reader of results should know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prima_features.probes.labels.cohorts import Cohort
from prima_features.probes.labels.columns import find
from prima_features.probes.labels.visits import DISAGREE, TOO_FAR, Choice

if TYPE_CHECKING:
    import pandas as pd


def remarks(
    frame: pd.DataFrame,
    choices: Sequence[Choice],
    classes: Sequence[str],
    cohort: Cohort,
) -> tuple[str, ...]:
    """Warnings about a join, a sentence each."""
    return (
        *_about_choices(choices),
        *_about_classes(frame, classes, cohort),
        *(f"the preset {cohort.name} is unverified in {part}" for part in cohort.unverified),
    )


def _about_choices(choices: Sequence[Choice]) -> Iterator[str]:
    ties = sum(choice.tie for choice in choices)
    if ties:
        yield f"{ties} scans lie midway between two visits with different labels: the earlier one's was taken"
    torn = sum(choice.reason == DISAGREE for choice in choices)
    if torn:
        yield f"{torn} studies are left out because the rows of their id disagree about the label"
    far = sum(choice.reason == TOO_FAR for choice in choices)
    if far:
        yield f"{far} studies are left out because no label lies near enough in time (--max-days)"


def about_visits(cohort: Cohort, table: pd.DataFrame) -> Iterator[str]:
    """A warning where a cohort has visits and its table does not tell them."""
    times = [name for name in (cohort.day, cohort.date, *cohort.visit) if name]
    if times and not any(find(table.columns, name) for name in times):
        yield (
            f"labels of {cohort.name or 'these studies'} have visits, but the table has none of the columns "
            f"{', '.join(times)}: each label is taken for all scans of its subject"
        )


def _about_classes(frame: pd.DataFrame, classes: Sequence[str], cohort: Cohort) -> Iterator[str]:
    present = list(frame["target"].unique()) if classes else []
    if len(present) == 1:
        of = f" of cohort {cohort.name}" if cohort.name else ""
        yield (
            f"every matched study{of} has the label {present[0]}: a probe needs cases of "
            f"{' and '.join(name for name in classes if name != present[0])} too, and from the same sites, "
            "or it learns the cohort"
        )
