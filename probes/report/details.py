"""The sections on subjects, on text for a paper, and on parameters and versions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from prima_features.page.blocks import Block, Cell, Folded, Listing, Prose, Section, Table, Verbatim, section
from prima_features.page.digits import count, number, percent, short
from prima_features.probes.evaluation import Evaluation
from prima_features.probes.evaluation.sizes import size_sentence
from prima_features.probes.report.content import PageContent, decimals, metric
from prima_features.probes.report.methods import methods_text, versions
from prima_features.wording import capital, sentence

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.labels.records import JoinSummary
    from prima_features.probes.training import TrainingSet

_LABELS = ("Studies", "Subjects", "Age, years", "Female", "Male", "Sex unknown", "Sites")


def people(content: PageContent) -> Section | None:
    """The section."""
    blocks: list[Block | None] = [_table(content), _not_counted(content), *_sample_size(content.evaluation)]
    if content.join is not None:
        blocks += _join(content.join)
    return section("people", "Subjects", blocks)


def _table(content: PageContent) -> Table:
    counted, classes = content.counted, content.evaluation.task.classes
    columns = {
        "All" if classes or content.evaluation.task.labels else "Evaluated": _described(counted, content)
    }
    for name in classes:
        columns[name] = _described(counted[counted["target"] == name], content)
    for name in content.evaluation.task.labels:
        columns[f"With {name}"] = _described(counted[counted[f"target_{name}"] == 1], content)
    if content.is_external and content.training is not None:
        columns["Training set"] = _of_training(content.training)
    rows = [
        (Cell(label), *(own[label] for own in columns.values()))
        for label in _LABELS
        if any(own[label].text not in ("", "0") for own in columns.values())
    ]
    return Table("Studies included in the metrics; ages and sexes are per study", ("", *columns), tuple(rows))


_CRITERIA = {
    "shrinkage": "Shrinkage of predictor effects by at most 10%",
    "optimism": "Apparent R\u00b2 at most 0.05 too high",
    "residual": "Residual standard deviation known to 10%",
    "risk": "Overall risk known to 0.05",
}


def _sample_size(found: Evaluation) -> list[Block | None]:
    size = found.sample_size
    if size is None:
        return []
    rows = tuple((Cell(_CRITERIA[name]), Cell(f"{n:,}")) for name, n in size.criteria.items())
    caption = f"Subjects that a model of all {count(size.n_parameters, 'feature')} without penalty needs"
    return [Prose(size_sentence(size)), Table(caption, ("Criterion", "Subjects"), rows)]


def _described(table: pd.DataFrame, content: PageContent) -> dict[str, Cell]:
    ages, n = content.ages(table), len(table)
    sexes = {name: int((table["sex"] == code).sum()) for name, code in (("Female", "F"), ("Male", "M"))}
    unknown = n - sum(sexes.values())
    age = Cell("unknown")
    if len(ages):
        spread = f" \u00b1 {ages.std():.1f}" if len(ages) > 1 else ""
        age = Cell(f"{ages.mean():.1f}{spread}", f"{ages.min():.0f} to {ages.max():.0f}")
    return {
        "Studies": Cell(f"{n:,}"),
        "Subjects": Cell(f"{table['subject'].nunique():,}"),
        "Age, years": age,
        **{name: _part(k, n) for name, k in sexes.items()},
        "Sex unknown": _part(unknown, n),
        "Sites": Cell(f"{table.loc[table['site'] != '', 'site'].nunique():,}"),
    }


def _of_training(training: TrainingSet) -> dict[str, Cell]:
    n = training.n_studies
    female, male = training.sexes.get("F", 0), training.sexes.get("M", 0)
    unknown = n - female - male
    age = Cell("unknown")
    if training.age_range is not None:
        low, high = training.age_range
        age = Cell(f"{low:.0f} to {high:.0f}")
    return {
        "Studies": Cell(f"{n:,}"),
        "Subjects": Cell(f"{training.n_subjects:,}"),
        "Age, years": age,
        "Female": _part(female, n),
        "Male": _part(male, n),
        "Sex unknown": _part(unknown, n),
        "Sites": Cell(f"{len(training.sites):,}"),
    }


def _part(k: int, n: int) -> Cell:
    return Cell(f"{k:,} ({percent(k, n)})" if k else "0")


def _not_counted(content: PageContent) -> Prose | None:
    n = len(content.evaluation.predictions) - len(content.counted)
    if not n:
        return None
    studies = count(n, "further study was", "further studies were")
    return Prose(
        f"{studies} predicted but not included in the metrics: patients, or subjects of unknown status."
    )


def _join(join: JoinSummary) -> list[Block | None]:
    matched = Prose(
        f"Of {count(join.n_studies, 'study', 'studies')} in the embeddings, {join.n_matched:,} were matched with a "
        "label."
    )
    return [
        matched,
        _reasons("Studies without a label", "Studies", join.study_reasons),
        _reasons("Label rows without a study", "Rows", join.label_reasons),
        Listing(tuple(sentence(text) for text in join.warnings)) if join.warnings else None,
    ]


def _reasons(caption: str, what: str, reasons: dict[str, int]) -> Table | None:
    if not reasons:
        return None
    rows = tuple((Cell(capital(reason)), Cell(f"{n:,}")) for reason, n in reasons.items())
    return Table(caption, ("Reason", what), rows)


def how(content: PageContent) -> Section | None:
    """The texts for a paper."""
    note = Prose("Text for a methods and a results section, with the numbers of this run.")
    return section("methods", "Methods and results text", [note, Verbatim(methods_text(content))])


def provenance(content: PageContent) -> Section | None:
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


def _source(content: PageContent) -> Table | None:
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


def _versions(content: PageContent) -> tuple[tuple[Cell, ...], ...]:
    return tuple((Cell(name), Cell(version)) for name, version in versions(content).items())
