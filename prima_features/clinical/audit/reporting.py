"""Sentences for a methods section, and the items of reporting guidelines as far as the audit knows them.

The sentences are in `methods.txt.jinja`. `checklist.txt.jinja` has the items for an evaluation of TRIPOD+AI (Collins
2024, 10.1136/bmj-2023-078378), of STARD 2015 (Bossuyt 2015, 10.1136/bmj.h5527), and what STARD-AI (Sounderajah 2025)
adds to it, in our own words: the published checklists count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prima_features._version import __version__
from prima_features.clinical.audit.periods import Prospective
from prima_features.clinical.audit.result import Audit
from prima_features.clinical.audit.sites import AcrossSites
from prima_features.page import template
from prima_features.page.blocks import Cell, Folded, Prose, Section, Table, Verbatim, label, section
from prima_features.page.digits import count, interval, number
from prima_features.wording import listed

_PACKAGE = "prima_features.clinical.audit"
_SIGNIFICANT = 0.05
_MOST_GAPS = 10
_METRICS = {"tpr": "true positive rate", "fpr": "false positive rate", "auroc": "AUROC"}


def methods_text(found: Audit) -> str:
    """Methods and results, paragraphs separated by empty lines."""
    text = template(_PACKAGE, "methods.txt.jinja").render(_values(found))
    return "\n\n".join(" ".join(one.split()) for one in text.split("\n\n") if one.strip()) + "\n"


def checklist(found: Audit) -> list[tuple[str, str, str, str]]:
    """Guideline, item, topic, and what is known (empty if the authors must write it)."""
    text = template(_PACKAGE, "checklist.txt.jinja").render(_values(found))
    lines = [line for line in text.splitlines() if line.strip()]
    parts = [[part.strip() for part in line.split("|")] for line in lines]
    return [(one[0], one[1], one[2], one[3]) for one in parts]


def reporting_section(found: Audit) -> Section | None:
    """Of the page."""
    rows = tuple(
        (Cell(topic, f"{guideline} {item}"), Cell(known or "to be written by the authors"))
        for guideline, item, topic, known in checklist(found)
    )
    n_known = sum(bool(known) for *_, known in checklist(found))
    said = (
        "Items of TRIPOD+AI and STARD (2015, with what STARD-AI adds) for an evaluation, in short "
        "words; use the published checklists for "
        "submission."
    )
    table = Table("Reporting items", ("Item", "Known from the audit"), rows, text_columns=frozenset({0, 1}))
    return section(
        "reporting",
        "For a paper",
        [
            Verbatim(methods_text(found)),
            Prose(said),
            Folded(f"{n_known} of {len(rows)} items filled in", table),
        ],
    )


def _values(found: Audit) -> dict[str, Any]:
    cohort, options = found.cohort, found.options
    sites = found.parts.get("sites")
    site_variables = [one.variable for one in sites.variables] if isinstance(sites, AcrossSites) else []
    prospective = found.parts.get("prospective")
    shares = [one.positives / one.n for one in found.overall if not one.reason]
    n_sites = [f"{len(found.groups[name].levels)} levels of {name}" for name in site_variables]
    return {
        "n_names": sum(not one.reason for one in found.overall),
        "n_studies": len(cohort.subject),
        "n_subjects": len(np.unique(cohort.subject)),
        "unmatched": int((cohort.unmatched["table"] == "scores").sum()),
        "has_labels": bool(found.files["labels"]),
        "files": found.files,
        "kind": cohort.scores.kind,
        "thresholds": _thresholds(found),
        "dates": found.dates,
        "drift": prospective.embeddings if isinstance(prospective, Prospective) else None,
        "options": options,
        "variables": list(found.groups),
        "site_variables": site_variables,
        "sites": listed(n_sites) if n_sites else "",
        "scored_by": found.model or f"Scores of {found.files['scores']}",
        "prevalences": tuple(number(100 * one, 1) for one in (min(shares), max(shares))),
        "mean": found.macro["auroc"],
        "significant": list(_gaps(found)),
        "caveat": cohort.scores.caveat,
        "version": __version__,
        "count": count,
        "listed": listed,
        "number": number,
        "interval": interval,
    }


def _thresholds(found: Audit) -> str:
    cuts = set(found.cohort.scores.thresholds)
    if None in cuts:
        return "the decisions of the table"
    if len(cuts) > 1:
        return "a threshold per finding"
    return f"{cuts.pop():g} or more"


def _gaps(found: Audit) -> list[str]:
    """A sentence for each significant gap, the smallest p first."""
    rows = [
        (gap.p_holm, name, variable, metric, gap)
        for variable, one in found.groups.items()
        for name, gaps in zip(found.cohort.names, one.gaps, strict=True)
        for metric, gap in gaps.items()
        if gap.p_holm < _SIGNIFICANT
    ]
    rows.sort(key=lambda row: row[:4])
    made = [
        f"For {label(name)}, the {_METRICS[metric]} differed by {variable}: gap {number(gap.estimate.value, 3)} "
        f"({interval(gap.estimate, 3)}), lowest in {gap.lowest}, highest in {gap.highest}."
        for _, name, variable, metric, gap in rows[:_MOST_GAPS]
    ]
    if len(rows) > _MOST_GAPS:
        made.append(f"In all, {len(rows)} gaps remained after Holm's correction.")
    return made
