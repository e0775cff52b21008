"""Methods, results and references as plain text."""

from __future__ import annotations

from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods.design import design
from prima_features.probes.report.methods.fitting import fitting
from prima_features.probes.report.methods.references import Citations
from prima_features.probes.report.methods.results import results
from prima_features.probes.report.methods.software import software
from prima_features.probes.report.methods.statistics import statistics
from prima_features.probes.report.methods.subjects import features, left_out, subjects, target


def methods_text(content: ReportContent) -> str:
    """What a methods and a results section need, with the references that are cited in it and no others.

    Args:
        content: an evaluation, and what is known beside it.

    Returns:
        paragraphs under the headings Methods, Results and References, separated by empty lines.
    """
    cite = Citations()
    methods = [
        f"{features(content, cite)} {subjects(content)} {left_out(content)} {target(content)}",
        design(content, cite),
        fitting(content, cite),
        statistics(content, cite),
        software(content, cite),
    ]
    paragraphs = ["Methods", *methods, "Results", results(content), "References", "\n".join(cite.listed())]
    return (
        "\n\n".join("\n".join(" ".join(line.split()) for line in one.splitlines()) for one in paragraphs)
        + "\n"
    )
