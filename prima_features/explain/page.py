"""`explanation.html`: maps over the scan with their uncertainty, and whether they say what the model reads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from prima_features.explain.methods import COVERAGE, METHODS
from prima_features.explain.overlay import NEGATIVE, POSITIVE, certain, overlay
from prima_features.explain.run import Explained, ExplainedSeries
from prima_features.page import count, template
from prima_features.page.blocks import Cell, Figure, Key, Listing, Prose, Row, Section, Table, section
from prima_features.page.digits import UNDEFINED, decimals_for, number, percent
from prima_features.page.plots.canvas import MAIN, MUTED, OTHER, PANEL, REFERENCE, line_style, svg
from prima_features.wording import RESEARCH_ONLY

if TYPE_CHECKING:
    import matplotlib.figure

_MOST_GROUPS = 5
_WORDS = (
    "A coefficient says how much the target rises, on average over random sets of the other tokens, when a token is "
    "there. It describes the model, not the patient: a token may count because of an artefact, a site's habit or the "
    "shape of the head.",
    "A token is a block of 4 slices by 32 by 32 samples of the resampled image. Nothing smaller is resolved, and "
    "tokens of one group share their coefficient equally.",
    "The interval covers the randomness of the sampled masks only: not the choice of method, not the size of the "
    "groups, and not whether the model is right.",
    "Removing tokens gives the model inputs that it was not trained on.",
)


def page(found: Explained) -> str:
    """The page as HTML. It names no path and no patient."""
    made = [
        section("series-effects", "Series", [_series_table(found)]),
        *(_series_section(i, one, found) for i, one in enumerate(found.series, start=1)),
        section("reading", "How to read this", [Listing(_WORDS)]),
        section("how", "How it was made", [_facts(found)]),
    ]
    return template("prima_features.explain", "page.html.jinja").render(
        title=f"{found.study.id}: {_heading(found.target.label)}",
        description=f"{found.target.label}: {found.target.meaning}; model {found.model.name}",
        main_result=_main_result(found),
        research_only=RESEARCH_ONLY,
        warnings=_warnings(found),
        sections=[one for one in made if one is not None],
    )


def _heading(label: str) -> str:
    """A target's label in words, such as `diagnosis tumor adult glioma`, which can break into lines."""
    return label if ":" in label else label.replace("_", " ").replace("/", " ")


def _decimals(*values: np.ndarray) -> int:
    joined = np.abs(np.concatenate([np.ravel(one) for one in values]))
    joined = joined[np.isfinite(joined)]
    return decimals_for(float(joined.max())) if len(joined) else 2


def _main_result(found: Explained) -> str:
    digits = _decimals(np.array([found.value]))
    sentences = [f"The target of the whole study is {number(found.value, digits)}."]
    if len(found.labels) > 1:
        most = int(np.argmax(np.abs(found.value - found.without)))
        without = number(found.without[most], digits)
        sentences.append(f"Removing {found.labels[most]} changes it most of all series, to {without}.")
    agreed = [one.attribution.agreed for one in found.series if one.attribution.agreed is not None]
    if agreed:
        sentences.append(
            f"Two halves of the samples agree in {sum(agreed)} of {len(agreed)} explained series."
        )
    return " ".join(sentences)


def _warnings(found: Explained) -> list[str]:
    warnings = [found.model.caveat] if found.model.caveat else []
    warnings += [
        f"{one.label}: {one.attribution.warning}." for one in found.series if one.attribution.warning
    ]
    if found.how.method in ("gradients", "leave-out"):
        warnings.append(
            f"The method {found.how.method} has no spread: how far its coefficients can be trusted is not estimated."
        )
    unfaithful = [one.label for one in found.series if one.curve is not None and one.curve.gain <= 0]
    if unfaithful:
        warnings.append(
            f"Failed deletion test of {', '.join(unfaithful)}: removing the tokens with the largest "
            "coefficients first lowers the target no faster than a random order."
        )
    warnings += [
        f"{one.series or 'The study'} could not be read: {one.error}" for one in found.failures if one.defect
    ]
    if by_rule := sum(not one.defect for one in found.failures):
        warnings.append(
            f"{count(by_rule, 'series', 'series')} of the study left out by design (see prima inspect)."
        )
    return warnings


def _series_table(found: Explained) -> Table | Prose:
    if len(found.labels) == 1:
        return Prose(f"The model read one series, {found.labels[0]}.")
    digits = _decimals(np.array([found.value]), found.without, found.alone)
    rows = tuple(
        (
            Cell(label),
            Cell(number(found.value - without, digits)),
            Cell(number(without, digits)),
            Cell(number(alone, digits)),
        )
        for label, without, alone in zip(found.labels, found.without, found.alone, strict=True)
    )
    caption = (
        "What each series adds: the target of the whole study minus the target without the series. Exact, without "
        "sampling."
    )
    return Table(caption, ("Series", "Effect", "Target without it", "Target of it alone"), rows)


def _series_section(number_: int, one: ExplainedSeries, found: Explained) -> Section | None:
    return section(
        f"series-{number_}",
        one.label,
        [
            Prose(_sentence(one, found)),
            Row(tuple(item for item in (_picture(one), _curve(number_, one)) if item is not None)),
            _groups(one),
        ],
    )


def _sentence(one: ExplainedSeries, found: Explained) -> str:
    a = one.attribution
    text = f"{count(len(one.tokens), 'token')} in {count(a.n_groups, 'group')}"
    if a.block != (1, 1, 1):
        text += f" of up to {a.block[0]} x {a.block[1]} x {a.block[2]} tokens (z, y, x)"
    text += f", {count(a.n_samples, 'pass', 'passes')}."
    if a.agreement is not None:
        rate = number(float(np.floor(100 * a.agreement) / 100), 2)
        text += f" Coefficients from two halves of the samples correlate at r = {rate}."
        n = int((certain(one) & np.isfinite(a.spread)).sum())
        text += f" For {n} of {len(one.tokens)} tokens the {COVERAGE:.0%} interval does not contain 0."
    return text


def _picture(one: ExplainedSeries) -> Figure:
    a = one.attribution
    coefficient, spread = (
        one.placement.on_tokens(one.tokens.coord, np.where(certain(one), values, 0))
        for values in (a.coefficient, a.spread)
    )
    peak = np.unravel_index(np.argmax(np.abs(coefficient)), coefficient.shape)
    largest = float(coefficient[peak])
    strongest = _interval(largest, float(spread[peak]))
    caption = (
        "Axial and coronal slice through the group with the largest coefficient, without and with the map. The "
        f"strongest colour of the map is {strongest} per token. "
    )
    if np.isfinite(a.spread).any():
        caption += f"Only tokens whose {COVERAGE:.0%} interval does not contain 0 are coloured."
        if not certain(one).any():
            caption = (
                f"Axial and coronal slice. No token is coloured: every {COVERAGE:.0%} interval contains 0, so the map "
                "shows nothing that is not noise."
            )
    else:
        caption += "The method gives no interval, so all tokens are coloured."
    caption += " R is the patient's right."
    keys = (Key("raises the target", _hex(POSITIVE)), Key("lowers the target", _hex(NEGATIVE)))
    return Figure(overlay(one), caption, keys)


def _interval(value: float, spread: float) -> str:
    digits = decimals_for(value)
    text = number(value, digits)
    if np.isfinite(spread):
        text += (
            f" ({COVERAGE:.0%} interval {number(value - spread, digits)} to {number(value + spread, digits)})"
        )
    return text


def _hex(colour: tuple[int, int, int]) -> str:
    return "#" + "".join(f"{part:02X}" for part in colour)


def _curve(number_: int, one: ExplainedSeries) -> Figure | None:
    if one.curve is None:
        return None
    n = len(one.curve.random)
    caption = (
        f"Deletion test: tokens with the largest coefficients removed first, against {n} random orders (mean and "
        f"range). The horizontal line is the target with all tokens. "
        f"The ranked curve is below {one.curve.better_than} of {n} random ones on average over the steps."
    )
    drawn = svg(f"curve-{number_}", caption, partial(_draw_curve, one), PANEL)
    keys = (
        Key("largest coefficients first", MAIN, "line"),
        Key("random orders", OTHER, "line", REFERENCE),
    )
    return Figure(drawn, caption, keys)


def _draw_curve(one: ExplainedSeries, figure: matplotlib.figure.Figure) -> None:
    assert one.curve is not None
    axes, removed = figure.subplots(), 100 * one.curve.removed
    low, high = one.curve.random.min(axis=0), one.curve.random.max(axis=0)
    axes.fill_between(removed, low, high, color=OTHER, alpha=0.25, linewidth=0)
    axes.plot(removed, one.curve.random.mean(axis=0), color=OTHER, linestyle=line_style(REFERENCE))
    axes.plot(removed, one.curve.ranked, color=MAIN, marker="o", markersize=3.5)
    axes.axhline(one.value, color=MUTED, linewidth=0.8)
    axes.set_xlabel("Tokens of the series removed (%)")
    axes.set_ylabel("Target")


def _groups(one: ExplainedSeries) -> Table | Prose:
    """The groups with the largest coefficients, each with its interval; none without intervals."""
    a = one.attribution
    if not np.isfinite(a.spread).any():
        return Prose("Single tokens are not listed, because the method gives no interval for them.")
    sizes = np.bincount(a.group)
    total, spread = (np.bincount(a.group, values) for values in (a.coefficient, a.spread))
    digits = _decimals(total)
    rows = []
    for group in np.argsort(-np.abs(total), kind="stable")[:_MOST_GROUPS]:
        low, high = total[group] - spread[group], total[group] + spread[group]
        rows.append(
            (
                Cell(_centre(one, a.group == group)),
                Cell(str(sizes[group])),
                Cell(number(total[group], digits), f"{number(low, digits)} to {number(high, digits)}"),
            )
        )
    head = ("Centre (R, A, S), mm", "Tokens", "Coefficient")
    caption = (
        f"The {len(rows)} groups with the largest coefficients in size, with {COVERAGE:.0%} intervals. The centre is "
        "in the scanner's coordinates, as viewers of the NIfTI map show them: to the right, front and head. With "
        f"{count(a.n_groups, 'group')}, some intervals miss 0 by chance."
    )
    return Table(caption, head, tuple(rows))


def _centre(one: ExplainedSeries, members: np.ndarray) -> str:
    """Centre of a group's voxels in the scan in mm; a dash for one of padding alone."""
    marked = one.placement.on_scan(one.placement.on_tokens(one.tokens.coord, members.astype(float)))
    voxels = np.argwhere(marked > 0)
    if not len(voxels):
        return UNDEFINED
    affine = one.placement.stored.affine
    centre = affine[:3, :3] @ voxels.mean(axis=0) + affine[:3, 3]
    return ", ".join(number(value, 0) for value in centre)


def _share(r2: float | None) -> str:
    return UNDEFINED if r2 is None or not np.isfinite(r2) else percent(r2, 1)


def _facts(found: Explained) -> Table:
    how = found.how
    facts = {
        "Method": f"{how.method}: {METHODS[how.method]}",
        "Most passes per series": f"{how.sampling.samples:,}",
        "Seed": str(how.sampling.seed),
        "Agreement asked for": f"{how.sampling.agreement:g}",
        "Other series": "left out" if how.alone else "kept",
        "Study description read": found.study.description,
        "Model": f"{found.model.name} ({found.model.revision})",
        "Model SHA-256": found.model.sha256,
        "Variance explained (R2) by series": "; ".join(
            f"{one.label}: {_share(one.attribution.r2)}" for one in found.series
        ),
    }
    rows = tuple((Cell(name), Cell(value)) for name, value in facts.items())
    return Table("Settings", ("Setting", "Value"), rows, text_columns=frozenset({0, 1}))
