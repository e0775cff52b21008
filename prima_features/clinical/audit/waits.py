"""Turnaround: which groups wait long for a result, and what reading in the worklist's order would change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prima_features.clinical.audit.inputs import Cohort
from prima_features.errors import UsageError
from prima_features.evaluation import clustered
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.queue import arrivals_and_services, by_priority, first_come, mean_wait
from prima_features.files.cells import number
from prima_features.page.blocks import Block, Cell, Folded, Prose, Section, Table, label, p_cell, section
from prima_features.page.digits import brief
from prima_features.page.digits import number as shown

DAYS = (3, 7)
"""A wait of at least so many days is long."""
_LEAST = 10
_STUDIES = 400_000
"""Simulated arrivals."""


@dataclass(frozen=True)
class Odds:
    """Odds ratio of a long wait of one group against the reference group."""

    variable: str
    level: str
    reference: str
    days: int
    n: int
    waited: int
    odds_ratio: Estimate
    p: float
    reason: str = ""
    """Why there is no ratio; empty if there is."""


@dataclass(frozen=True)
class GroupWait:
    """Simulated waits of one group, in units of the mean reading time."""

    variable: str
    level: str
    reference: str
    """The largest group."""
    first_come: float
    worklist: float
    odds_ratios: dict[str, tuple[float, float]]
    """By days: odds ratio of a long wait against the reference, under first-come order and in the worklist's order. A
    simulated wait is long if as many are longer under first-come order as waited so many days in the cohort. Empty
    without known waits."""


@dataclass(frozen=True)
class Simulated:
    """Mean waits in a simulated queue, in units of the mean reading time."""

    load: float
    analytic: float
    """Mean wait of all studies under first-come order."""
    first_come: float
    worklist: float
    present_first_come: float
    present_worklist: float
    """Of studies with at least one present finding, by the labels."""
    by_name: dict[str, tuple[float, float]]
    """Of studies that have the finding: under first-come order and in the worklist's order."""
    groups: tuple[GroupWait, ...] = ()


@dataclass(frozen=True)
class Waits:
    """Both."""

    odds: tuple[Odds, ...]
    simulated: Simulated | None
    n: int
    """Studies with a known wait."""
    median: float
    """Days."""

    def document(self) -> dict[str, Any]:
        """For audit.json."""
        return {
            "n": self.n,
            "median_days": self.median,
            "odds_ratios": [{**vars(one), "odds_ratio": vars(one.odds_ratio)} for one in self.odds],
            "queue": vars(self.simulated) | {"groups": [vars(one) for one in self.simulated.groups]}
            if self.simulated
            else None,
        }

    def section(self) -> Section | None:
        """Of the page."""
        blocks: list[Block] = []
        if self.n:
            said = (
                f"{self.n:,} studies have a known wait; the median is {shown(self.median, 1)} days. "
                f"Odds ratios compare "
                "each group with the largest one (logistic regression, robust to several studies of a "
                "subject, not adjusted for "
                "anything else)."
            )
            blocks += [Prose(said), self._table()]
        if self.simulated:
            blocks += [Prose(self._queue()), Folded("Simulated wait of each finding", self._by_name())]
            if self.simulated.groups:
                blocks.append(Folded("Simulated wait of each group", self._by_group()))
        return section("waits", "Turnaround", blocks)

    def _table(self) -> Table:
        rows = tuple(
            (
                Cell(one.level, f"{one.variable}, against {one.reference}"),
                Cell(f"{one.days} days"),
                Cell(f"{one.waited:,} of {one.n:,}"),
                Cell(one.reason or brief(one.odds_ratio, 2)),
                Cell("") if one.reason else p_cell(one.p),
            )
            for one in self.odds
        )
        head = ("Group", "Waited at least", "Studies", "Odds ratio (95% interval)", "p")
        return Table("Odds ratios of a long wait", head, rows)

    def _queue(self) -> str:
        one = self.simulated
        assert one is not None
        return (
            f"Simulated queue: Poisson arrivals, one reader busy {100 * one.load:.0f}% of the time, "
            f"exponential reading times, "
            f"{_STUDIES:,} studies drawn from this cohort. Mean wait until reading starts, in mean "
            f"reading times, of studies "
            f"with a present finding: {shown(one.present_first_come, 2)} first come, first served; "
            f"{shown(one.present_worklist, 2)} in the worklist's order. Of all studies it is "
            f"{shown(one.first_come, 2)} "
            f"(in theory {shown(one.analytic, 2)}) and {shown(one.worklist, 2)}: order moves waits "
            f"between studies and does not "
            "shorten them as a whole. A real reading room has several readers, shifts and emergencies."
        )

    def _by_name(self) -> Table:
        assert self.simulated is not None
        rows = tuple(
            (Cell(label(name)), Cell(shown(first, 2)), Cell(shown(sorted_, 2)))
            for name, (first, sorted_) in self.simulated.by_name.items()
        )
        head = ("Finding", "First come, first served", "Worklist")
        return Table("Mean wait in mean reading times, of studies that have the finding", head, rows)

    def _by_group(self) -> Table:
        assert self.simulated is not None
        groups = self.simulated.groups
        days = [one for one in map(str, DAYS) if any(one in group.odds_ratios for group in groups)]
        rows = tuple(
            (
                Cell(one.level, f"{one.variable}, against {one.reference}"),
                Cell(shown(one.first_come, 2)),
                Cell(shown(one.worklist, 2)),
                *(Cell(shown(one.odds_ratios[key][1], 2), shown(one.odds_ratios[key][0], 2)) for key in days),
            )
            for one in groups
        )
        head = ("Group", "First come, first served", "Worklist", *(f"Odds ratio, {key} days" for key in days))
        caption = f"Mean wait in mean reading times, of groups of {_LEAST} studies or more"
        if days:
            caption += (
                "; odds ratio of a long wait in the worklist's order (below: first come, first served), where as many "
                "simulated waits are long as waited so many days here"
            )
        return Table(caption, head, rows)


def waits(
    cohort: Cohort, column: str, variables: dict[str, np.ndarray], load: float = 0.8, seed: int = 0
) -> Waits:
    """Compare waits.

    Args:
        cohort: N studies.
        column: waits in days; empty for the simulation only.
        variables: (N,) text by variable.
        load: share of the time that the simulated reader is busy.
        seed: of the simulation.

    Raises:
        UsageError: there is no such column, or it has other values than days.
    """
    days = _days(cohort, column) if column else np.full(len(cohort.subject), np.nan)
    known = np.isfinite(days)
    found = []
    for variable, values in variables.items() if known.any() else ():
        found += _odds(variable, values, days, cohort.subject)
    median = float(np.median(days[known])) if known.any() else float("nan")
    return Waits(tuple(found), _simulated(cohort, variables, days, load, seed), int(known.sum()), median)


def _days(cohort: Cohort, column: str) -> np.ndarray:
    cells = cohort.column(column, "--wait-column")
    values = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        if not cell:
            continue
        value = number(cell)
        if value is None or value < 0:
            raise UsageError(
                f"the column {column} (--wait-column) has {str(cell)!r}: expected days of 0 or more"
            )
        values[row] = value
    return values


def _odds(variable: str, values: np.ndarray, days: np.ndarray, subject: np.ndarray) -> list[Odds]:
    rows = np.isfinite(days) & (values != "")
    names, counts = np.unique(values[rows], return_counts=True)
    if len(names) < 2:
        return []
    reference = str(names[counts.argmax()])
    made = []
    for least in DAYS:
        long = days >= least
        for level in names[names != reference].tolist():
            own = rows & ((values == level) | (values == reference))
            is_level = values[own] == level
            cells = [int((long[own] & side).sum()) for side in (is_level, ~is_level)]
            totals = [int(side.sum()) for side in (is_level, ~is_level)]
            fewest = min(*cells, *(total - cell for total, cell in zip(totals, cells, strict=True)))
            start = (variable, str(level), reference, least, totals[0], cells[0])
            if fewest < _LEAST:
                reason = f"fewer than {_LEAST} studies that waited or did not, in one of the groups"
                made.append(Odds(*start, Estimate(float("nan")), float("nan"), reason))
                continue
            X = np.column_stack([np.ones(len(is_level)), is_level])
            line = clustered.fit(X, long[own], subject[own])
            one = line.estimate(1)
            ratio = Estimate(*(float(np.exp(value)) for value in vars(one).values()))
            made.append(Odds(*start, ratio, line.p_value(1)))
    return made


def _simulated(
    cohort: Cohort, variables: dict[str, np.ndarray], days: np.ndarray, load: float, seed: int
) -> Simulated | None:
    """None if the scores have no worklist."""
    if "worklist" not in cohort.table:
        return None
    urgency = np.array(
        [value if (value := number(cell)) is not None else np.nan for cell in cohort.table["worklist"]]
    )
    label = cohort.label
    known = np.flatnonzero(np.isfinite(urgency) & (label >= 0).any(axis=1))
    if not len(known):
        return None
    rng = np.random.default_rng(seed)
    study = known[rng.integers(0, len(known), _STUDIES)]
    arrival, service = arrivals_and_services(_STUDIES, load, rng)
    plain, ordered = first_come(arrival, service), by_priority(arrival, service, urgency[study])
    present = (label[study] == 1).any(axis=1)
    by_name = {}
    for i, name in enumerate(cohort.names):
        own = label[study, i] == 1
        if own.any():
            by_name[name] = (float(plain[own].mean()), float(ordered[own].mean()))
    everyone = np.ones_like(present)

    def mean(wait: np.ndarray, rows: np.ndarray) -> float:
        return float(wait[rows].mean()) if rows.any() else float("nan")

    return Simulated(
        load,
        mean_wait(load),
        first_come=mean(plain, everyone),
        worklist=mean(ordered, everyone),
        present_first_come=mean(plain, present),
        present_worklist=mean(ordered, present),
        by_name=by_name,
        groups=_group_waits(variables, study, days, plain, ordered),
    )


def _group_waits(
    variables: dict[str, np.ndarray],
    study: np.ndarray,
    days: np.ndarray,
    plain: np.ndarray,
    ordered: np.ndarray,
) -> tuple[GroupWait, ...]:
    """Of the simulated arrivals of (N,) studies, by their places `study`."""
    known = days[np.isfinite(days)]
    cuts = {str(least): float(np.quantile(plain, (known < least).mean())) for least in DAYS if len(known)}
    found = []
    for variable, values in variables.items():
        names, counts = np.unique(values[values != ""], return_counts=True)
        names, counts = names[counts >= _LEAST], counts[counts >= _LEAST]
        if len(names) < 2:
            continue
        reference = str(names[counts.argmax()])
        at = values[study]
        for level in names.tolist():
            own, other = at == level, at == reference
            if not own.any() or not other.any():
                continue
            ratios = {
                key: (_odds_ratio(plain >= cut, own, other), _odds_ratio(ordered >= cut, own, other))
                for key, cut in cuts.items()
            }
            means = float(plain[own].mean()), float(ordered[own].mean())
            found.append(GroupWait(variable, level, reference, *means, ratios))
    return tuple(found)


def _odds_ratio(long: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    """NaN if none or all of a group are long."""
    shares = [float(long[rows].mean()) for rows in (own, other)]
    if not all(0 < share < 1 for share in shares):
        return float("nan")
    return shares[0] / (1 - shares[0]) / (shares[1] / (1 - shares[1]))
