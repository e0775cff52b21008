"""The board: results of several groups on public cohorts, one page built from their bench.json files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prima_features.bench.page import (
    Document,
    accuracy_table,
    description,
    estimate,
    main_result,
    ranked,
    reliability_table,
    sites_tables,
)
from prima_features.bench.validate import read_bench
from prima_features.errors import UsageError
from prima_features.page import template, write_html
from prima_features.page.blocks import Block, Cell, Prose, Section, Table, label
from prima_features.page.digits import number
from prima_features.wording import RESEARCH_ONLY, count

_SYNTHETIC = "Synthetic example: these numbers say nothing about real scans."


def build_board(folder: Path, output: Path) -> None:
    """Build the page from all JSON files of a folder.

    Args:
        folder: files of `prima bench`, one per cohort and group; the names of the files name the entries.
        output: HTML file to write.

    Raises:
        UsageError: there are no files, or one is not valid.
        OutputError: the page cannot be written.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise UsageError(f"{folder} has no bench.json files: add some, named such as openbhb-group.json")
    write_html(output, board({path.stem: read_bench(path) for path in files}))


def board(entries: Mapping[str, Document]) -> str:
    """The page as HTML, real cohorts first.

    Args:
        entries: name of each entry to its document.
    """
    order = sorted(entries, key=lambda name: (entries[name]["synthetic"], entries[name]["cohort"], name))
    sections = [_overview({name: entries[name] for name in order})]
    sections += [_entry(name, entries[name]) for name in order]
    return template("prima_features.bench", "page.html.jinja").render(
        title="Encoders of brain MRI",
        description=_description(entries),
        results=[],
        research_only=RESEARCH_ONLY,
        warnings=[
            "Numbers of different cohorts do not compare, nor do those of one cohort with different folds.",
            "Results are as they were sent: their format is checked, the embeddings are not computed again.",
        ],
        sections=sections,
    )


def _description(entries: Mapping[str, Document]) -> str:
    examples = sum(document["synthetic"] for document in entries.values())
    sent = count(len(entries) - examples, "result")
    more = f", and {count(examples, 'synthetic example')}" if examples else ""
    return f"{sent} sent by groups that ran prima bench on public cohorts{more}."


def _overview(entries: Mapping[str, Document]) -> Section:
    """A row per entry and task: the best encoder."""
    rows = []
    for name, document in entries.items():
        for key, task in document["tasks"].items():
            best = ranked(task)[0]
            scores = [estimate(one["score"]).value for one in task["openbhb"].values()]
            rows.append(
                (
                    Cell(name, "synthetic" if document["synthetic"] else ""),
                    Cell(document["cohort"]),
                    Cell(label(key)),
                    Cell(f"{task['n_studies']:,}"),
                    Cell(best),
                    Cell(number(min(scores), 3) if scores else ""),
                    Cell(task["folds"]["digest"][:8]),
                )
            )
    head = ("Entry", "Cohort", "Task", "Studies", "Best encoder", "Best OpenBHB score", "Folds")
    table = Table("Entries", head, tuple(rows), text_columns=frozenset({0, 1, 2, 4}))
    return Section("overview", "Overview", (table,))


def _entry(name: str, document: Document) -> Section:
    blocks: list[Block] = [Prose(_SYNTHETIC)] if document["synthetic"] else []
    blocks.append(Prose(f"{description(document)}. {document['created'][:10]}."))
    blocks += [Prose(main_result(key, task)) for key, task in document["tasks"].items()]
    if document["tasks"]:
        blocks.append(accuracy_table(document))
    if document["reliability"]:
        blocks.append(reliability_table(document))
    blocks += sites_tables(document)
    anchor = "".join(one if one.isalnum() else "-" for one in name)
    return Section(f"entry-{anchor}", name, tuple(blocks))
