"""`audit()`: scores against labels, overall, by group, site and period, with intervals and gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from prima_features.clinical.audit.calibration import Calibrated, CalibratedCohort, calibrate, calibrated
from prima_features.clinical.audit.compare import compare
from prima_features.clinical.audit.drift import EmbeddingDrift, embedding_drift
from prima_features.clinical.audit.groups import ByVariable, by_variable, macro, variables
from prima_features.clinical.audit.inputs import Cohort, join
from prima_features.clinical.audit.measure import Measured, Weights, measure
from prima_features.clinical.audit.options import AuditOptions
from prima_features.clinical.audit.periods import periods, prospective
from prima_features.clinical.audit.result import FORMAT, Audit, Part
from prima_features.clinical.audit.scores import described, read_frame, read_scores
from prima_features.clinical.audit.sites import across_sites
from prima_features.clinical.audit.waits import waits
from prima_features.errors import UsageError
from prima_features.files.disk import write_json
from prima_features.files.new_directory import new_directory
from prima_features.files.tables import table_bytes
from prima_features.files.targets import Maker, as_inputs, check_folder, starts_with
from prima_features.page import write_html
from prima_features.page.blocks import label
from prima_features.wording import listed

JSON, TABLE, PAGE, UNMATCHED = "audit.json", "audit.tsv", "audit.html", "unmatched.tsv"
CALIBRATION = "calibration.json"
_JSON_START = f'{{\n  "format": "{FORMAT}"'.encode()
_DEFAULT = AuditOptions()


def audit(
    scores: str | Path,
    output: str | Path | None = None,
    labels: str | Path | None = None,
    attributes: Sequence[str | Path] = (),
    options: AuditOptions = _DEFAULT,
    *,
    compare_with: str | Path | None = None,
    embeddings: str | Path | None = None,
    force: bool = False,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Audit:
    """Compare scores with labels.

    Args:
        scores: table of `prima diagnose`, of a probe's predictions, or of another tool: one row per study, one column
            per name.
        output: folder to write audit.json, audit.html, audit.tsv and unmatched.tsv to.
        labels: table with the truth, one column per name; None if the scores have a column `target`.
        attributes: tables with sex, age, site and the like.
        options: what to compute.
        compare_with: a second table of scores on the same studies.
        embeddings: embeddings file of the studies, for drift of their vectors after `options.freeze_before`.
        force: replace a folder that no audit wrote.
        on_step: called with the number of parts done and of all parts.

    Raises:
        UsageError: a table cannot be read or joined, or no name has enough labels.
        OutputError: the folder cannot be written.
    """
    scores, folder = Path(scores), None if output is None else Path(output)
    labels, tables = None if labels is None else Path(labels), [Path(one) for one in attributes]
    if embeddings is not None and not options.freeze_before:
        raise UsageError(
            "--embeddings needs a date to compare the vectors before and after it: give --date-column and "
            "--freeze-before"
        )
    if folder is not None:
        maker = Maker(
            "prima audit",
            as_inputs(scores, labels, tables, compare_with, embeddings),
            is_own=lambda path: starts_with(_JSON_START)(path / JSON),
            kind="the folder of an earlier audit",
        )
        check_folder(folder, maker, force)
    named = read_frame(labels, "the table of labels").columns if labels is not None else ()
    read = read_scores(scores, options.score_columns, options.threshold, named)
    cohort = join(read, labels, tables, options.id_column, options.target_column)
    files = _names_of(scores, labels, tables)
    found = _audited(cohort, options, scores, files, compare_with, embeddings, on_step)
    if folder is not None:
        with new_directory(folder, overwrite=True) as made:
            write(made, found)
    return found


def write(folder: Path, found: Audit) -> None:
    """Write the files of an audit to a folder."""
    from prima_features.clinical.audit.page import page

    write_json(folder / JSON, found.document)
    for name, table in ((TABLE, found.table()), (UNMATCHED, found.cohort.unmatched)):
        (folder / name).write_bytes(table_bytes(table, found.cohort.scores.caveat))
    if isinstance(part := found.parts.get("calibration"), CalibratedCohort):
        (folder / CALIBRATION).write_text(part.calibration.to_json(), encoding="utf-8", newline="")
    write_html(folder / PAGE, page(found))


def _audited(
    cohort: Cohort,
    options: AuditOptions,
    scores: Path,
    files: dict[str, str],
    compare_with: str | Path | None,
    embeddings: str | Path | None,
    on_step: Callable[[int, int], None],
) -> Audit:
    compared = variables(cohort, options.groups, options.cross, (options.date_column, options.wait_column))
    attributes, dates, period = dict(compared.values), None, None
    if options.date_column:
        dates, period = periods(cohort, options.date_column, options.by or "quarter")
        if options.by:
            compared.values[options.by] = period
    weights = Weights.draw(cohort.subject, options.resamples, options.seed)
    overall, groups = _measured(cohort, options, compared.values, weights, on_step)
    cohort = replace(cohort, notes=(*cohort.notes, *_doubts(cohort, overall)))
    known = dates[~np.isnat(dates)] if dates is not None else ()
    parts: dict[str, Part] = {"sites": across_sites(cohort.names, groups)}

    def drift_of(early: np.ndarray) -> EmbeddingDrift:
        assert embeddings is not None and dates is not None and period is not None
        return embedding_drift(cohort, Path(embeddings), dates, early, period, options.seed, scores)

    parts["prospective"] = prospective(
        cohort,
        overall,
        weights,
        dates,
        options.freeze_before,
        sensitivity=options.sensitivity,
        min_positives=options.min_positives,
        drift_of=drift_of if embeddings is not None else None,
    )
    if options.wait_column or "worklist" in cohort.table:
        parts["waits"] = waits(cohort, options.wait_column, attributes, options.queue_load, options.seed)
    if compare_with is not None:
        parts["compare"] = compare(
            cohort,
            scores.name,
            Path(compare_with),
            weights,
            columns=options.score_columns,
            threshold=options.threshold,
            min_positives=options.min_positives,
        )
    if options.calibrate:
        parts["calibration"] = calibrate(cohort, overall, options.calibrate, scores, options.seed)
    return Audit(
        cohort=cohort,
        options=options,
        files=files,
        overall=overall,
        macro=macro(overall),
        groups=groups,
        calibration=[_calibrated(cohort, i, one) for i, one in enumerate(overall)],
        left_out=compared.left_out,
        dates=(str(min(known))[:10], str(max(known))[:10]) if len(known) else None,
        model=_model_of(scores),
        parts=parts,
    )


def _measured(
    cohort: Cohort,
    options: AuditOptions,
    values: dict[str, np.ndarray],
    weights: Weights,
    on_step: Callable[[int, int], None],
) -> tuple[list[Measured], dict[str, ByVariable]]:
    """Metrics of all names on the whole cohort, and by the levels of each variable.

    Args:
        values: (N,) level by variable; empty if not known.

    Raises:
        UsageError: no name has enough labels.
    """
    levels = {name: sorted(set(column) - {""}) for name, column in values.items()}
    total, done = 1 + sum(map(len, levels.values())), 0

    def measured(rows: np.ndarray) -> list[Measured]:
        nonlocal done
        made = measure(
            cohort, rows, weights, sensitivity=options.sensitivity, min_positives=options.min_positives
        )
        done += 1
        on_step(done, total)
        return made

    overall = measured(np.arange(len(cohort.subject)))
    if all(one.reason for one in overall):
        name, one = next(iter(zip(cohort.names, overall, strict=True)))
        raise UsageError(
            f"no name has enough labels for metrics ({name}: {one.reason}); --min-positives sets how "
            f"many are needed"
        )
    groups = {}
    for name, column in values.items():
        found = {level: measured(np.flatnonzero(column == level)) for level in levels[name]}
        groups[name] = by_variable(name, found, int((column == "").sum()))
    return overall, groups


def _doubts(cohort: Cohort, overall: list[Measured]) -> list[str]:
    """What is probably a mistake in the tables or options."""
    pairs = [(label(name), one) for name, one in zip(cohort.names, overall, strict=True) if not one.reason]
    inverted = [name for name, one in pairs if one.estimates["auroc"].ci_high < 0.5]
    found = []
    if inverted:
        found.append(
            f"the AUROC of {listed(inverted)} is below 0.5: higher scores must mean that the finding is more likely "
            "present, so check the direction of the scores and the labels"
        )
    for value, word in ((1.0, "present"), (0.0, "absent")):
        alike = [
            name for name, one in pairs if one.estimates["tpr"].value == one.estimates["fpr"].value == value
        ]
        if alike:
            found.append(
                f"every study is called {word} for {listed(alike)}: check the threshold (--threshold sets another)"
            )
    return found


def _calibrated(cohort: Cohort, i: int, one: Measured) -> Calibrated | None:
    if one.reason:
        return None
    label, score = cohort.label[:, i], cohort.scores.score[:, i]
    known = (label >= 0) & np.isfinite(score)
    return calibrated(label[known] == 1, score[known], cohort.subject[known], cohort.scores.kind)


def _model_of(scores: Path) -> str:
    about = described(scores)
    parts = [about.get("model", ""), about.get("model_revision", ""), about.get("model_sha256", "")[:12]]
    return " ".join(filter(None, parts))


def _names_of(scores: Path, labels: Path | None, attributes: Sequence[Path]) -> dict[str, str]:
    made = {"scores": scores.name, "labels": labels.name if labels else ""}
    return made | {"attributes": ", ".join(path.name for path in attributes)}
