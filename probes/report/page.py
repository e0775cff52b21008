"""The page: sections filled into the template."""

from __future__ import annotations

from pathlib import Path

from prima_features.page import template, write_html
from prima_features.page.blocks import Section
from prima_features.probes.report.content import (
    RESEARCH_ONLY,
    PageContent,
    main_result,
    title,
    versus_baseline,
)
from prima_features.wording import sentence


def write_page(path: Path, content: PageContent) -> None:
    """Write the report as one HTML file that needs nothing else, whole or not at all.

    The same content gives the same bytes. No study or subject is named in it.

    Args:
        path: of the file.
        content: what it shows.

    Raises:
        OutputError: the folder cannot be written to, or the disk is full.
    """
    write_html(path, page(content))


def page(content: PageContent) -> str:
    """The report as HTML."""
    task = content.evaluation.task
    return template("prima_features.probes.report", "page.html.jinja").render(
        title=title(content),
        description="" if task.name == "custom" and not content.title else sentence(task.description),
        main_result=main_result(content),
        versus_baseline=versus_baseline(content),
        research_only=RESEARCH_ONLY,
        warnings=[sentence(text) for text in content.evaluation.warnings],
        sections=sections(content),
    )


def sections(content: PageContent) -> list[Section]:
    """Those that have something in them, in the page's order."""
    from prima_features.probes.report.attention import attention
    from prima_features.probes.report.by_group import by_group, by_site, leakage
    from prima_features.probes.report.details import how, people, provenance
    from prima_features.probes.report.feature_map import arrangement
    from prima_features.probes.report.over_time import over_time
    from prima_features.probes.report.predicted import predicted
    from prima_features.probes.report.result import learning, result

    parts = (
        result,
        predicted,
        attention,
        over_time,
        by_group,
        by_site,
        leakage,
        learning,
        arrangement,
        people,
        how,
        provenance,
    )
    return [made for part in parts if (made := part(content)) is not None]
