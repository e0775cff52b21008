"""Sentences that several captions share."""

from __future__ import annotations

from prima_features.probes.report.content import ReportContent


def repeats_note(content: ReportContent) -> str:
    """What to know where several repeats were averaged; starts with a space, empty otherwise."""
    splits = content.evaluation.splits
    if splits is None or splits.n_repeats == 1:
        return ""
    return " Curves use each study's mean over the repeats; the table gives the mean of the repeats' metrics."


def classes_note(content: ReportContent) -> str:
    """What to know of decided classes where there are several repeats; starts with a space, empty otherwise."""
    splits = content.evaluation.splits
    return "" if splits is None or splits.n_repeats == 1 else " Classes are from the first repeat."
