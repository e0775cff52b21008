"""The primary metric of each site, by a probe that had not seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from prima_features.page.blocks import Figure, Key
from prima_features.page.plots.canvas import MAIN, MUTED, REFERENCE, svg
from prima_features.page.plots.forest import ForestRow, chance_in_reach, draw_forest, forest_size
from prima_features.probes.evaluation import Estimate, Evaluation
from prima_features.probes.evaluation.record import FoldScores
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.words import decimals, in_sentence, metric

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
