"""The tasks that labels are joined for, what is asked of a join, and its result with a summary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from prima_features.errors import UsageError
from prima_features.files.targets import as_inputs
from prima_features.probes.change import Change
from prima_features.probes.tasks import TASKS, Scale

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.labels.cohorts import Cohort


ANY = "*"
"""In a mapping of values to classes: every other value that is not missing."""


@dataclass(frozen=True)
class LabelTask:
    """A task as far as its labels go."""

    name: str
    classes: tuple[str, ...] = ()
    """Default classes, the positive one last; none if the target is a number or any column."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Values that mean one class in every table, as `values.code` writes them, to the finest class."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """A finer class to the class that contains it."""

    def class_of(self, fine: str, asked: tuple[str, ...]) -> str:
        """The class among those asked for that a finest class belongs to; empty if none does."""
        whole = self.parts.get(fine, "")
        return fine if fine in asked else whole if whole in asked else ""


def _words(classes: Mapping[str, str]) -> dict[str, str]:
    """Each word of each class's list, which `|` separates, to its class."""
    return {word: name for name, words in classes.items() for word in words.split("|")}


_CONTROL = (
    "control|controls|ctrl|ctl|hc|healthy|healthy control|healthy controls|healthy volunteer|td|tdc|"
    "typically developing|normal|0"
)

LABEL_TASKS: dict[str, LabelTask] = {
    task.name: task
    for task in (
        LabelTask("brain-age"),
        LabelTask(
            "autism",
            ("control", "autism"),
            _words({"control": _CONTROL, "autism": "autism|asd|autistic|autism spectrum disorder|1"}),
        ),
        LabelTask(
            "dementia",
            ("cn", "ad"),
            _words(
                {
                    "cn": "cn|nc|nl|hc|smc|control|normal|cognitively normal|0",
                    "mci": "mci|emci|lmci|mild cognitive impairment",
                    "ad": "ad|dementia|ad dementia|alzheimer|alzheimers|alzheimer's disease|1",
                }
            ),
        ),
        LabelTask(
            "glioma-presence",
            ("control", "glioma"),
            _words({"control": _CONTROL, "glioma": "glioma|tumor|tumour|1"}),
        ),
        LabelTask(
            "glioma-grade",
            ("2-3", "4"),
            _words({"2": "2|g2|ii", "3": "3|g3|iii", "4": "4|g4|iv|hgg|glioblastoma|gbm", "2-3": "2-3|lgg"}),
            parts={"2": "2-3", "3": "2-3"},
        ),
        LabelTask(
            "glioma-idh",
            ("wildtype", "mutant"),
            _words({"wildtype": "wildtype|wild-type|wt|0", "mutant": "mutant|mutated|idh-mutant|1"}),
        ),
        LabelTask(
            "stroke", ("control", "stroke"), _words({"control": _CONTROL, "stroke": "stroke|patient|1"})
        ),
        LabelTask(
            "health",
            ("patient", "control"),
            _words({"control": _CONTROL, "patient": "patient|patients|case"}),
        ),
        LabelTask("survival"),
        LabelTask("mrs", tuple("0123456"), {name: name for name in "0123456"}),
        LabelTask(
            "cdr",
            ("0", "0.5", "1-3"),
            {name: name for name in ("0", "0.5", "1", "2", "3")},
            parts={"1": "1-3", "2": "1-3", "3": "1-3"},
        ),
        LabelTask("nihss"),
        LabelTask("change"),
        LabelTask("findings"),
        LabelTask("custom"),
    )
}
"""Tasks by name. `dementia` takes `classes=("cn", "mci", "ad")` too, and `glioma-grade` `("2", "3", "4")`;
`health` distinguishes controls from patients and fills the column `control` of a join."""


def label_task(name: str) -> LabelTask:
    """The task of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in LABEL_TASKS:
        raise UsageError(f"unknown task {name!r}: expected one of {', '.join(LABEL_TASKS)}")
    return LABEL_TASKS[name]


@dataclass(frozen=True)
class LabelRequest:
    """Which labels to join to an embeddings file, and how. Named columns must exist."""

    labels: tuple[Path, ...] = ()
    """Label tables, or a folder: a BIDS dataset (participants.tsv, sessions.tsv, phenotype/*.tsv) or one with
    a cohort's tables. Further tables add columns to the first. None for a cohort without tables."""
    task: str = "custom"
    """One of `LABEL_TASKS`."""
    cohort: str | Path | Cohort = ""
    """A preset's name, a TOML file of the same shape, or the cohort itself."""
    id_column: str = ""
    target_column: str = ""
    group_column: str = ""
    """Family or any other group that must not cross folds; default is the subject."""
    site_column: str = ""
    age_column: str = ""
    sex_column: str = ""
    split_column: str = ""
    scanner_column: str = ""
    field_strength_column: str = ""
    grade_column: str = ""
    """Of survival: a tumour's grade, for a baseline."""
    session_column: str = ""
    date_column: str = ""
    """Date of the label, or its day since entry: the visit nearest the scan counts."""
    date_format: str = ""
    """As for `datetime.strptime`, if dates are not ISO 8601."""
    time_column: str = ""
    """Of survival: time to the event or to censoring. Of other tasks: time of the visit since any start."""
    event_column: str = ""
    """Of survival: whether the event was observed."""
    event_values: tuple[str, ...] = ()
    """Values of `event_column` that mean the event; default are the words that do so by themselves."""
    time_unit: str = ""
    """Of `time_column`: `days`, `months` or `years`; default is the cohort's, or by the column's name, or years."""
    horizons: tuple[float, ...] = ()
    """Of survival, in `time_unit`: times at which predictions are assessed; default: `survival.default_horizons`."""
    label_columns: tuple[str, ...] = ()
    """Of the task `findings`: a column of yes and no (or 1 and 0) for each label, or one column whose cells list names,
    of which `classes` chooses some."""
    all_labels: bool = False
    """Of `findings`: keep labels that few subjects have or lack."""
    control_column: str = ""
    control_values: tuple[str, ...] = ()
    """Values of `control_column` that mean a control; default are the words that do so by themselves."""
    positive: tuple[str, ...] = ()
    """Values that make the positive class; every other value that is not missing makes the negative one."""
    classes: tuple[str, ...] = ()
    """Classes to distinguish, the positive one last; default: those of the task. Cases of others are left out."""
    missing_values: tuple[str, ...] = ()
    """Codes of a missing value in any column but that of ids, beyond the usual ones (see `values.MISSING`)."""
    blank_labels: Literal["preset", "missing"] = "preset"
    """What a blank label means: what the preset says (of OASIS-1, that young adults are nondemented), or nothing."""
    kind: Literal["auto", "number", "class", "ordinal", "count"] = "auto"
    """Of a custom target: `auto` takes a column of more than 10 different numbers as a number. `ordinal` are classes in
    the order of `classes`, or of their numbers; it also puts the classes of other tasks in order."""
    change: Change = field(default_factory=Change)
    """Of the task `change`."""
    scan_dates: Path | None = None
    """Table of scans' dates, by study or by subject and session."""
    max_days: float = 180.0
    """Most days between a scan and the visit that its label comes from."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files and folders that are read."""
        cohort = self.cohort if isinstance(self.cohort, str | Path) else None
        return as_inputs(self.labels, self.scan_dates, cohort or None)


@dataclass(frozen=True)
class Joined:
    """Studies with their labels."""

    frame: pd.DataFrame
    """One row per matched study: `row` (of `Embeddings.studies`), `study`, `subject` (the same for all studies of a
    person), `session`, `target` (a number, or a name in `classes`), `group`, `site`, `sex` (`F`, `M` or empty),
    `age` (years at the scan), `scanner`, `field_strength`, `split`, `control` (1 control, 0 patient), `icv` and `grade`
    (as in the table), `visit_years` (time of the study, comparable within a subject) and `visit_years_from`
    (`visit_times.visit_years`). Absent texts are empty, absent numbers NaN."""
    classes: tuple[str, ...]
    """The positive one last; empty if the target is a number."""
    unmatched_studies: pd.DataFrame
    """Studies without a label: `study`, `reason` (few different ones, to count), `detail`."""
    unmatched_labels: pd.DataFrame
    """Label rows that no study took: `id`, `row` (from 1, below the header), `reason`, `detail`."""
    warnings: tuple[str, ...] = ()
    """A sentence each."""
    cohort: str = ""
    task: str = "custom"
    request: LabelRequest = field(default_factory=LabelRequest, repr=False)
    unit: str = ""
    """Of the times of survival."""
    labels: tuple[str, ...] = ()
    """Of findings: names of the labels, in the order in which targets have them (`kinds.labels.encoded`)."""

    @property
    def scale(self) -> Scale:
        """Of the target (see `tasks.Task`)."""
        own = TASKS[self.task].scale
        return own or (self.request.kind if self.request.kind in ("ordinal", "count") else "")

    @property
    def is_survival(self) -> bool:
        """Whether targets are signed times: positive an event, negative censored."""
        return self.task == "survival"


@dataclass(frozen=True)
class JoinSummary:
    """What `--dry-run` shows."""

    n_studies: int
    """Studies in the embeddings file."""
    n_matched: int
    n_groups: int
    """Persons or families among the matched."""
    study_reasons: dict[str, int]
    """Reason to the studies without a label for it, the commonest first."""
    label_reasons: dict[str, int]
    """Reason to the label rows that no study took for it, the commonest first."""
    classes: dict[str, int]
    """Class to its studies, of findings label to studies with it, or of survival the studies with an event and censored
    ones; empty for a number."""
    target_range: tuple[float, float, float] | None
    """Least, mean and greatest target, or time; None if there are classes."""
    by_site: pd.DataFrame
    """Studies by site (rows) and class (columns), or event and censored; or studies with each label; for a
    number n, min, mean, max."""
    warnings: tuple[str, ...]


def summarize(joined: Joined) -> JoinSummary:
    """The numbers of a join."""
    names, numeric = joined.classes, not (joined.classes or joined.labels)
    if joined.labels:
        classes, by_site = _labels_by_site(joined)
        target = joined.frame["target"]
    elif joined.is_survival:
        names, time = ("event", "censored"), joined.frame["target"].astype(float)
        labels = time.map(lambda value: names[value < 0])
        target, by_site = time.abs(), _classes_by_site(joined.frame.assign(target=labels), names)
        classes = {name: int((labels == name).sum()) for name in names}
    else:
        target = joined.frame["target"]
        classes = {} if numeric else {name: int((target == name).sum()) for name in names}
        by_site = _numbers_by_site(joined) if numeric else _classes_by_site(joined.frame, names)
    return JoinSummary(
        n_studies=len(joined.frame) + len(joined.unmatched_studies),
        n_matched=len(joined.frame),
        n_groups=joined.frame["group"].nunique(),
        study_reasons=_counts(joined.unmatched_studies),
        label_reasons=_counts(joined.unmatched_labels),
        classes=classes,
        target_range=(float(target.min()), float(target.mean()), float(target.max())) if numeric else None,
        by_site=by_site,
        warnings=joined.warnings,
    )


def _counts(lost: pd.DataFrame) -> dict[str, int]:
    return {str(reason): int(n) for reason, n in lost["reason"].value_counts().items()}


def _classes_by_site(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    import pandas as pd

    sites = frame["site"].replace("", "unknown")
    counts = pd.crosstab(sites, frame["target"])
    return counts.reindex(columns=list(names), fill_value=0)


def _labels_by_site(joined: Joined) -> tuple[dict[str, int], pd.DataFrame]:
    """Studies with each label, in all and by site."""
    import pandas as pd

    cells = [text.split(",") for text in joined.frame["target"]]
    present = pd.DataFrame(cells, columns=list(joined.labels), index=joined.frame.index) == "1"
    sites = joined.frame["site"].replace("", "unknown")
    return {str(name): int(n) for name, n in present.sum().items()}, present.groupby(sites).sum()


def _numbers_by_site(joined: Joined) -> pd.DataFrame:
    sites = joined.frame["site"].replace("", "unknown")
    table = joined.frame["target"].astype(float).groupby(sites).agg(["count", "min", "mean", "max"])
    return table.rename(columns={"count": "n"})
