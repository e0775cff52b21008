"""What a bench compares and how: the tasks and the settings of their evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from prima_features.errors import UsageError
from prima_features.probes import tasks
from prima_features.probes.evaluation import Scheme
from prima_features.probes.feature_matrix import Level
from prima_features.probes.kinds import kind_of
from prima_features.probes.labels import LabelRequest
from prima_features.probes.recipe import Recipe
from prima_features.probes.tasks import Task
from prima_features.wording import listed

ProbeKind = Literal["linear", "knn"]
TargetKind = Literal["number", "class", "ordinal", "count"]
TARGET_KINDS: tuple[TargetKind, ...] = get_args(TargetKind)
"""Kinds of custom targets that a task can be called by, as in `count=COLUMN`."""
_WITHOUT_CLASSES = ("brain-age", "survival", "nihss", "change")
"""Tasks that --positive, --classes and --target-column are not for."""


@dataclass(frozen=True)
class TaskRequest:
    """One task and the column that its labels are in."""

    name: str
    """A key of `probes.tasks.TASKS`, such as `brain-age`, or `custom`."""
    column: str = ""
    """Column of the labels; empty: that of the cohort's preset, or of the label options."""
    kind: TargetKind | None = None
    """Of a custom target, one of `TARGET_KINDS`; None: that of the label options."""

    @classmethod
    def parse(cls, text: str) -> TaskRequest:
        """`dementia`, `dementia=DX`, `custom=COLUMN`, or a kind of custom target, as in `count=COLUMN`.

        Raises:
            UsageError: there is no such task, or a custom target has no column.
        """
        name, _, column = (part.strip() for part in text.partition("="))
        for kind in TARGET_KINDS:
            if name == kind and not column:
                raise UsageError(f"--task {name} needs the column to predict: write --task {name}=COLUMN")
            if name == kind:
                return cls("custom", column, kind)
        name = tasks.get(name).name  # `glioma` is `glioma-presence`
        if name == "survival" and column:
            raise UsageError("--task survival takes its columns from --time-column and --event-column")
        if name == "findings" and column:
            raise UsageError("--task findings takes its columns from --label-columns")
        if name in ("custom", "change") and not column:
            raise UsageError(f"--task {name} needs the column to predict: write --task {name}=COLUMN")
        return cls(name, column)

    @property
    def key(self) -> str:
        """The task's name in the results: that of its column if it is a custom one."""
        if self.name == "change":
            return f"change of {self.column}"
        return self.column if self.name == "custom" else self.name

    @property
    def may_have_classes(self) -> bool:
        """Whether --positive and --classes can be for it."""
        return self.name not in _WITHOUT_CLASSES and self.kind not in ("number", "count")

    def labels(self, request: LabelRequest) -> LabelRequest:
        """The request for this task's labels."""
        made = replace(request, task=self.name, target_column=self.column or request.target_column)
        if self.name != "findings":
            made = replace(made, label_columns=())
        if not self.may_have_classes:
            return replace(made, target_column=self.column, positive=(), classes=(), kind=self.kind or "auto")
        return replace(made, kind=self.kind) if self.kind else made


@dataclass(frozen=True)
class BenchOptions:
    """How encoders are compared."""

    probes: tuple[ProbeKind, ...] = ("linear", "knn")
    """`linear` (the default estimator of the kind of target, such as ridge for numbers and logistic regression for
    classes) and `knn` (for numbers and classes alone). The first is the main one."""
    scheme: Scheme = field(default_factory=Scheme)
    """Folds, the same for all encoders."""
    n_bootstrap: int = 1000
    """Resamples of subjects."""
    level: Level = "study"
    series: str = ""
    """See `probes.feature_matrix.features`."""
    allow_confounded: bool = False
    """Continue even if each site has a single class."""
    site_check: bool = True
    """Measure how well the site can be read from the vectors, and leave each site out once."""
    n_draws: int = 100
    """Draws of few-shot training sets; 0: no few-shot curves."""
    repeats_table: Path | None = None
    """Table of repeat scans: study, subject, scanner, and site if known."""
    sessions_are_repeats: bool = False
    """Sessions of a subject are repeat scans; used without a table."""
    cohort: str = ""
    """Name of the cohort in the results."""
    synthetic: bool = False
    """The cohort is synthetic; every page says so."""
    list_left_out: bool = True
    """Name the studies that are left out in bench.json; otherwise they are only counted."""

    def check(self, requests: Sequence[TaskRequest], labels: LabelRequest) -> None:
        """Refuse settings that contradict each other, before anything is computed.

        Raises:
            UsageError: there is nothing to do, a task or probe is given twice, or the classes of several tasks are
                given as one list.
        """
        in_classes = [one.key for one in requests if one.may_have_classes]
        if len(in_classes) > 1 and (labels.positive or labels.classes or labels.target_column):
            raise UsageError(
                f"--positive, --classes and --target-column are for one task, but there are {listed(in_classes)}: name "
                "columns with --task NAME=COLUMN, and run tasks with other classes separately"
            )
        if not requests and self.repeats_table is None and not self.sessions_are_repeats:
            raise UsageError("there is nothing to compare: give --task, or --repeats-table for reliability")
        if not self.probes:
            raise UsageError("--probes names no probe: give linear, knn or both")
        given: dict[str, list[str]] = {"--task": [one.key for one in requests], "--probes": [*self.probes]}
        for what, names in given.items():
            if twice := next((name for name in names if names.count(name) > 1), ""):
                raise UsageError(f"{what} has {twice} twice: give it once")

    def recipe(self, kind: ProbeKind, task: Task) -> Recipe:
        """The probe of this kind for a task."""
        return Recipe(
            estimator=kind_of(task).estimators[0] if kind == "linear" else kind,
            inner_folds=self.scheme.inner_folds,
            seed=self.scheme.seed,
        )
