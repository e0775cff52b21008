"""What was predicted, in pictures: numbers against the truth, or how well classes are told apart."""

from __future__ import annotations

from prima_features.page.blocks import Section, section
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.sections.classes import class_blocks
from prima_features.probes.report.sections.left_out_sites import left_out_sites
from prima_features.probes.report.sections.predicted_numbers import number_blocks


def predicted(content: ReportContent) -> Section | None:
    """The section."""
    blocks = class_blocks if content.evaluation.task.is_classification else number_blocks
    return section("predictions", "Predictions", [*blocks(content), left_out_sites(content)])
