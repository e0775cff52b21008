"""The section of predictions: of numbers, of classes, and of each site that was left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Block, Figure, Key, Row, Section, section
from prima_features.page.digits import brief
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, SECOND, SQUARE, svg
from prima_features.page.plots.forest import ForestRow, chance_in_reach, draw_forest, forest_size
from prima_features.page.plots.points import Limits, draw_agreement, draw_gap, limits_of
from prima_features.probes.evaluation import Estimate, Evaluation
from prima_features.probes.evaluation.groups import GapReport
from prima_features.probes.evaluation.record import FoldScores
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.sections.classes import class_blocks, repeats_note
from prima_features.probes.report.words import decimals, in_sentence, metric, target
from prima_features.wording import capital

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def left_out_sites(content: ReportContent) -> Figure | None:
    """A forest plot, the best site first; None for other schemes."""
    found = content.evaluation
    if found.splits is None or found.splits.scheme.kind != "leave-site-out" or found.fold_scores is None:
        return None
    primary = found.task.primary
    rows = _rows(found, found.fold_scores)

    overall = found.metrics[primary]
    chance = chance_in_reach(rows, overall, 0.5) if primary == "auroc" else None

    def paint(canvas: Canvas) -> None:
        draw_forest(canvas, rows, overall, metric(primary, found.task.unit), decimals(primary, found), chance)

    name = in_sentence(primary)
    picture = svg("left-out-sites", f"Forest plot of the {name} by left-out site.", paint, forest_size(rows))
    caption = f"{metric(primary)} of each site by a probe fitted on all other sites, the best first."
    if any(not np.isfinite(row.estimate.ci_low) for row in rows if row.estimate):
        caption += " Sites with too few subjects have no interval."
    keys = [Key("all sites, with their interval", MAIN, "line")]
    if chance is not None:
        keys.append(Key("chance", MUTED, "line", REFERENCE))
    return Figure(picture, caption, tuple(keys))


def _rows(found: Evaluation, scores: FoldScores) -> list[ForestRow]:
    by_site = found.groups["site"].levels if "site" in found.groups else {}
    primary, sign = found.task.primary, 1 if found.task.primary == "mae" else -1
    estimates = [
        by_site[name][primary] if name in by_site else Estimate(float(value))
        for name, value in zip(scores.names, scores.values, strict=True)
    ]
    order = np.argsort([np.nan_to_num(sign * one.value, nan=np.inf) for one in estimates], kind="stable")
    return [ForestRow(scores.names[i], estimates[i], int(scores.n_test[i])) for i in order]


_STUDY = Key("one study", MAIN)


def number_blocks(content: ReportContent) -> list[Block]:
    """Predicted against true numbers, and for ages the gap."""
    table, task = content.counted, content.evaluation.task
    truth = table["target"].to_numpy(dtype=float)
    shown = {"": table["prediction"].to_numpy(dtype=float)}
    if task.is_age and content.evaluation.recipe.bias_correction != "none":
        shown["corrected"] = table["prediction_corrected"].to_numpy(dtype=float)
    limits = limits_of(truth, *shown.values())
    agreement = [_agreement(content, name, truth, values, limits) for name, values in shown.items()]
    report = content.evaluation.gap
    if report is None:
        return [Row(tuple(agreement))]
    gap_limits = limits_of(*(values - truth for values in shown.values()), np.zeros(1))
    gaps = [_gap(report, name, truth, values - truth, gap_limits) for name, values in shown.items()]
    return [Row((*agreement, *gaps))]


def _agreement(
    content: ReportContent, name: str, truth: np.ndarray, values: np.ndarray, limits: Limits
) -> Figure:
    task = content.evaluation.task
    unit = f", {task.unit}" if task.unit else ""

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_agreement(axes, truth, values, limits)
        axes.set_xlabel(f"True {target(task)}{unit}")
        axes.set_ylabel(f"{'Corrected predicted' if name else 'Predicted'} {target(task)}{unit}")

    what = f"{'corrected ' if name else ''}predicted against true {target(task)}"
    caption = f"{capital(what)}." + repeats_note(content)
    if name:
        caption = f"{capital(what)}: for the gap only, not a measure of accuracy."
    picture = svg(f"agreement{name}", f"Scatter plot of {what}, a point a study.", paint, SQUARE)
    return Figure(picture, caption, (_STUDY, Key("predicted equals true", MUTED, "line", REFERENCE)))


def _gap(report: GapReport, name: str, age: np.ndarray, gap: np.ndarray, limits: Limits) -> Figure:
    correlation = report.corrected_age_correlation if name else report.raw_age_correlation
    mean = report.corrected_mean if name else report.raw_mean

    def paint(canvas: Canvas) -> None:
        axes = canvas.add_subplot()
        draw_gap(axes, age, gap, limits)
        axes.set_ylabel("Corrected gap, years" if name else "Gap (predicted minus true), years")

    what = f"{'corrected ' if name else ''}brain-age gap by age"
    caption = (
        f"{capital(what)}: correlation with age {brief(correlation, 2)}, mean gap {brief(mean, 2)} years."
    )
    picture = svg(f"gap{name}", f"Scatter plot of the {what}, a point a study.", paint)
    keys = (_STUDY, Key("least squares", SECOND, "line"), Key("no gap", MUTED, "line", REFERENCE))
    return Figure(picture, caption, keys)


def predicted(content: ReportContent) -> Section | None:
    """The section."""
    blocks = class_blocks if content.evaluation.task.is_classification else number_blocks
    return section("predictions", "Predictions", [*blocks(content), left_out_sites(content)])
