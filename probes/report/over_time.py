"""Several visits of a subject: what changes were made of, and the brain-age gap over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import (
    Block,
    Cell,
    Figure,
    Key,
    Prose,
    Row,
    Section,
    Table,
    estimate_cell,
    p_cell,
    section,
)
from prima_features.page.digits import brief, count, number, p_text, with_interval
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, SECOND, line_style, svg
from prima_features.probes.change import VisitSummary
from prima_features.probes.evaluation.over_time import Effect, GapOverTime, MixedModel, Retest
from prima_features.probes.report.content import PageContent
from prima_features.wording import capital, listed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Canvas

_EFFECTS = {
    "intercept": "Gap at the first visit",
    "years": "Change per year",
    "age": "Per year of age at the first visit",
    "male": "Male minus female",
    "patient": "Patient minus control",
    "years_patient": "Change per year, patient minus control",
}
_TIMES = {
    "column": "a column of times",
    "date": "dates",
    "day": "days since entry",
    "visit": "codes of visits",
    "age": "ages",
}


def over_time(content: PageContent) -> Section | None:
    """The section; None if the studies are treated as single ones."""
    found = content.evaluation
    if found.visits is not None:
        return section("visits", "Visits", [Prose(changes(found.visits)), _left_out(found.visits)])
    if found.gap_over_time is None:
        return None
    return section("over-time", "The gap over time", _gap_blocks(content, found.gap_over_time))


def changes(found: VisitSummary) -> str:
    """What the samples are, in sentences."""
    low, median, high = found.years
    times = listed(_TIMES[name] for name in found.times_from if name)
    per_year = ", per year" if found.change.per_year else ""
    studies = f"{count(found.n_subjects, 'subject')} with {count(found.n_studies, 'study')}"
    return (
        f"Each vector is {found.change.words} of a subject, and the target is the change of the column over the same "
        f"visits{per_year}. Changes of {studies} over {low:.2f} to {high:.2f} years (median {median:.2f}; times from "
        f"{times}) are used; all changes of a subject stay on one side of every split."
    )


def _left_out(found: VisitSummary) -> Table | None:
    if not found.left_out:
        return None
    rows = tuple((Cell(capital(reason)), Cell(f"{n:,}")) for reason, n in found.left_out.items())
    return Table("Studies that are in no change, by reason", ("Reason", "Studies"), rows)


def _gap_blocks(content: PageContent, found: GapOverTime) -> list[Block]:
    blocks: list[Block] = []
    if found.model is not None:
        blocks.append(Row((_figure(content, found), _effects(found.model))))
        blocks.append(Prose(model(found.model, corrected=found.corrected)))
    if found.retest is not None:
        blocks.append(Prose(reliability(found.retest, corrected=found.corrected)))
    return [*blocks, *(Prose(f"{capital(note)}.") for note in found.notes)]


def reliability(found: Retest, *, corrected: bool) -> str:
    """The reliability of the gap in sentences."""
    what = "corrected gap" if corrected else "gap"
    return (
        f"Test-retest reliability of the {what} over two visits of {count(found.n_subjects, 'subject')} within "
        f"{found.max_days:g} days (median {found.median_days:.0f}): ICC(2,1) {brief(found.icc, 3)}; standard error of "
        f"measurement {brief(found.standard_error, 2, 'years')}; second minus first visit "
        f"{brief(found.mean_difference, 2, 'years')}. Measurement error alone exceeds a change of "
        f"{number(found.smallest_change, 1)} years in 5% of subjects."
    )


def model(found: MixedModel, *, corrected: bool) -> str:
    """What the mixed model is and what its main effect says."""
    low, median, high = found.span
    random = "random intercepts" if len(found.random) == 1 else "random intercepts and slopes"
    adjusted = {"age": "age at the first visit", "male": "sex", "patient": "patient or control"}
    by = listed(adjusted[name] for name in adjusted if name in found.effects)
    whose = " of controls" if "patient" in found.effects else ""
    spread = f"standard deviation between subjects is {number(found.sd_subject, 2)} years"
    if len(found.random) > 1:
        spread += f", that of their change per year {number(found.sd_slope, 2)}"
    subjects = f"{count(found.n_subjects, 'subject')} ({count(found.n_studies, 'study')}"
    text = (
        f"In a linear mixed model of the {'corrected ' if corrected else ''}gap with {random} of {subjects}; "
        f"{found.n_repeated:,} subjects with several visits, {low:.2f} to {high:.2f} years from first to last, median "
        f"{median:.2f}){', adjusted for ' + by if by else ''}, the gap{whose} changed by "
        f"{_per_year(found.effects['years'])}"
    )
    if "years_patient" in found.effects:
        text += f"; patients minus controls {_per_year(found.effects['years_patient'])}"
    text += f". The {spread}, and the residual one {number(found.sd_residual, 2)} years"
    return (
        f"{text}. A probe that underestimates differences in age has a gap that falls with time even if the brain ages "
        "as usual, so compare changes between groups."
    )


def _per_year(found: Effect) -> str:
    """`−0.571 years (95% interval −1.235 to 0.094) per year, p = 0.086`."""
    p = f", p {p_text(found.p_value)}" if np.isfinite(found.p_value) else ""
    return f"{with_interval(found.estimate, 3, 'years')} per year{p}"


def _effects(found: MixedModel) -> Table:
    rows = tuple(
        (Cell(_EFFECTS[name]), estimate_cell(one.estimate, 3), p_cell(one.p_value))
        for name, one in found.effects.items()
    )
    return Table(
        f"Fixed effects on the gap in years, with 95% Wald intervals; age is relative to {found.mean_age:.1f} years",
        ("Effect", "Estimate", "p"),
        rows,
        frozenset({1}),
    )


def _figure(content: PageContent, found: GapOverTime) -> Figure:
    assert found.model is not None
    effects = {name: one.estimate.value for name, one in found.model.effects.items()}
    table = _visits(content.evaluation.predictions, "gap_corrected" if found.corrected else "gap")
    is_patient = table["counts"].to_numpy() == 0 if "patient" in effects else np.zeros(len(table), dtype=bool)
    longest = float(table["years"].max())

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        for _, own in table.assign(patient=is_patient).groupby("subject"):
            colour = SECOND if own["patient"].iloc[0] else MAIN
            axes.plot(
                own["years"], own["gap"], color=colour, linewidth=0.7, alpha=0.45, marker="o", markersize=2
            )
        axes.axhline(0, color=MUTED, linewidth=1, linestyle=line_style(REFERENCE))
        ends = np.array([0.0, longest])
        axes.plot(ends, effects["intercept"] + effects["years"] * ends, color=MAIN, linewidth=2.5)
        if "patient" in effects:
            start, slope = (
                effects["intercept"] + effects["patient"],
                effects["years"] + effects["years_patient"],
            )
            axes.plot(ends, start + slope * ends, color=SECOND, linewidth=2.5)
        axes.set_xlabel("Years since the first visit")
        axes.set_ylabel("Corrected gap, years" if found.corrected else "Gap, years")

    several = "subjects with several visits"
    keys = [Key("control" if "patient" in effects else several, MAIN, "line")]
    if "patient" in effects:
        keys.append(Key("patient", SECOND, "line"))
    caption = (
        "The brain-age gap over the visits of a subject (thin lines), and the mixed model's mean at average age and "
        "reference sex (thick lines)."
    )
    picture = svg(
        "gap-over-time", "The brain-age gap by years since the first visit, a line a subject.", paint
    )
    return Figure(picture, caption, (*keys, Key("no gap", MUTED, "line", REFERENCE)))


def _visits(predictions: pd.DataFrame, gap: str) -> pd.DataFrame:
    """`subject years gap counts` of subjects with several studies at known times, in order of time."""
    time = predictions["visit_years"] if "visit_years" in predictions else predictions["target"].astype(float)
    table = predictions[["subject", "counts"]].assign(gap=predictions[gap], time=time).dropna()
    table = table[table.groupby("subject")["gap"].transform("size") > 1].sort_values(["subject", "time"])
    return table.assign(years=table["time"] - table.groupby("subject")["time"].transform("min"))
