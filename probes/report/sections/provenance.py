"""How to get the same again: text to copy, parameters, versions, the command."""

from __future__ import annotations

from collections import Counter
from typing import Any

from prima_features.page.blocks import Cell, Folded, Prose, Section, Table, Verbatim, section
from prima_features.page.digits import count, number, short
from prima_features.probes.evaluation import Evaluation
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods import methods_text, versions
from prima_features.probes.report.words import decimals, metric


def how(content: ReportContent) -> Section | None:
    """The texts for a paper."""
    note = Prose("Text for a methods and a results section, with the numbers of this run.")
    return section("methods", "Methods and results text", [note, Verbatim(methods_text(content))])


def provenance(content: ReportContent) -> Section | None:
    """Chosen parameters, versions and the command."""
    found = content.evaluation
    blocks = [
        _chosen(found),
        _folds(found),
        _source(content),
        Table("Versions", ("Package", "Version"), _versions(content), text_columns=frozenset({0, 1})),
        Verbatim(content.command, is_code=True) if content.command else None,
    ]
    return section("provenance", "Parameters and versions", blocks)


def _chosen(found: Evaluation) -> Prose | None:
    scores = found.fold_scores
    if scores is None or not scores.parameters:
        return None
    counts = Counter(_parameters(one) for one in scores.parameters).most_common()
    said = "; ".join(f"{text} in {count(n, 'fold')}" for text, n in counts)
    return Prose(f"Hyperparameters chosen by inner cross-validation: {said}.")


def _folds(found: Evaluation) -> Folded | None:
    scores, splits = found.fold_scores, found.splits
    if scores is None or splits is None:
        return None
    digits = decimals(scores.metric, found)
    rows = []
    for i, fold in enumerate(splits.folds):
        label = scores.names[i] or f"Fold {i + 1}"
        rows.append(
            (
                Cell(label, f"repeat {fold.repeat + 1}" if splits.n_repeats > 1 else ""),
                Cell(f"{scores.n_train[i]:,}"),
                Cell(f"{scores.n_test[i]:,}"),
                Cell(number(float(scores.values[i]), digits)),
                Cell(_parameters(scores.parameters[i]) if scores.parameters else ""),
            )
        )
    head = ("Fold", "Training studies", "Test studies", metric(scores.metric, found.task.unit), "Chosen")
    caption = "By fold. The spread over folds is not a confidence interval"
    return Folded(
        "Numbers and parameters of each fold",
        Table(caption, head, tuple(rows), text_columns=frozenset({0, 4})),
    )


def _parameters(chosen: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {short(value)}" for name, value in chosen.items())


def _source(content: ReportContent) -> Table | None:
    if content.training is None:
        return None
    source = content.training.source
    known = {
        "Model": source.model,
        "Revision": source.model_revision,
        "SHA-256": source.model_sha256,
        "Caveat": source.caveat,
        "Level": source.level if source.model else "",
        "Series pattern": source.series,
        "Features": f"{content.training.n_features:,}",
        "Training cohort": content.training.cohort,
    }
    rows = tuple((Cell(name), Cell(value)) for name, value in known.items() if value)
    return Table("Features", ("", "Value"), rows, text_columns=frozenset({0, 1}))


def _versions(content: ReportContent) -> tuple[tuple[Cell, ...], ...]:
    return tuple((Cell(name), Cell(version)) for name, version in versions(content).items())
