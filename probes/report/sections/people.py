"""Who was studied, and what the join of labels left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prima_features.page.blocks import Block, Cell, Listing, Prose, Section, Table, section
from prima_features.page.digits import count, percent
from prima_features.probes.report.content import ReportContent
from prima_features.wording import capital, sentence

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.labels.records import JoinSummary
    from prima_features.probes.training import TrainingSet

_LABELS = ("Studies", "Subjects", "Age, years", "Female", "Male", "Sex unknown", "Sites")


def people(content: ReportContent) -> Section | None:
    """The section."""
    blocks: list[Block | None] = [_table(content), _not_counted(content)]
    if content.join is not None:
        blocks += _join(content.join)
    return section("people", "Subjects", blocks)


def _table(content: ReportContent) -> Table:
    counted, classes = content.counted, content.evaluation.task.classes
    columns = {"All" if classes else "Evaluated": _described(counted, content)}
    for name in classes:
        columns[name] = _described(counted[counted["target"] == name], content)
    if content.is_external and content.training is not None:
        columns["Training set"] = _of_training(content.training)
    rows = [
        (Cell(label), *(own[label] for own in columns.values()))
        for label in _LABELS
        if any(own[label].text not in ("", "0") for own in columns.values())
    ]
    return Table("Studies included in the metrics; ages and sexes are per study", ("", *columns), tuple(rows))


def _described(table: pd.DataFrame, content: ReportContent) -> dict[str, Cell]:
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


def _not_counted(content: ReportContent) -> Prose | None:
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
