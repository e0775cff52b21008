"""What a probe predicts: the tasks, their classes, and the numbers that are reported for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from prima_features.errors import UsageError
from prima_features.wording import listed

if TYPE_CHECKING:
    from prima_features.probes.kinds import KindName

Kind = Literal["regression", "binary", "multiclass", "survival", "ordinal", "count", "labels"]
Scale = Literal["", "survival", "ordinal", "count", "labels"]


@dataclass(frozen=True)
class Task:
    """One target."""

    name: str
    description: str
    classes: tuple[str, ...] = ()
    """In the order of the probabilities, the positive one last, or from low to high; none if the target is a number."""
    unit: str = ""
    is_age: bool = False
    """The target is the subject's age: age is then neither a baseline nor a covariate, and there is a gap."""
    fit_on_controls: bool = False
    """Train and evaluate on controls only, if controls are known; patients are still predicted."""
    scale: Scale = ""
    """Of the target, if it is neither a number nor classes without order: `survival`, a time to an event with
    censoring; `ordinal`, classes in order; `count`, whole numbers from 0; `labels`, several labels that can
    be present together."""
    horizons: tuple[float, ...] = ()
    """Of survival: times at which predictions are assessed, ascending, in `unit`."""
    labels: tuple[str, ...] = ()
    """Names of several labels that can be present together."""

    def __post_init__(self) -> None:
        if (self.classes and self.scale not in ("", "ordinal")) or (
            self.horizons and self.scale != "survival"
        ):
            raise UsageError(f"{self.name} cannot have classes, or horizons, with the scale {self.scale!r}")
        if (self.labels and self.scale != "labels") or len(set(self.labels)) < len(self.labels):
            raise UsageError(f"{self.name} needs different labels, and the scale labels, not {self.labels}")
        if self.scale == "ordinal" and len(self.classes) < 3:
            raise UsageError(
                f"{self.name} needs three or more classes in order, from low to high: name them with --classes, or use "
                "--kind class for two"
            )
        if any(not 0 < time < float("inf") for time in self.horizons) or list(self.horizons) != sorted(
            set(self.horizons)
        ):
            raise UsageError(
                f"horizons must be different positive times in ascending order, not {self.horizons}"
            )
        if len(self.classes) == 1 or len(set(self.classes)) < len(self.classes):
            raise UsageError(
                f"{self.name} needs two or more different classes, not {', '.join(self.classes)}"
            )

    @property
    def kind(self) -> Kind:
        """Its scale if it has one; else regression without classes, binary with two, multiclass with more."""
        if self.scale:
            return self.scale
        return "regression" if not self.classes else "binary" if len(self.classes) == 2 else "multiclass"

    @property
    def kind_name(self) -> KindName:
        """Key of `kinds.KINDS`."""
        return self.scale or ("classes" if self.classes else "number")

    @property
    def positive(self) -> str:
        """The class whose probability a binary probe gives; empty for other kinds."""
        return self.classes[-1] if self.kind == "binary" else ""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the numbers reported."""
        from prima_features.probes.kinds import kind_of

        return kind_of(self).metrics

    @property
    def primary(self) -> str:
        """The number that probes are compared by: mean absolute error or deviance (lower is better), AUROC, Harrell's C
        or quadratic weighted kappa."""
        from prima_features.probes.kinds import kind_of

        return kind_of(self).primary


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "brain-age",
            "age at the scan; predicted minus true age is the brain-age gap",
            unit="years",
            is_age=True,
            fit_on_controls=True,
        ),
        Task("autism", "autism against typical development", ("control", "autism")),
        Task("dementia", "Alzheimer's dementia against cognitively normal ageing", ("cn", "ad")),
        Task("glioma-presence", "glioma against no tumour", ("control", "glioma")),
        Task("glioma-grade", "WHO grade 4 against grades 2 and 3 of a glioma", ("2-3", "4")),
        Task("glioma-idh", "IDH mutation of a glioma", ("wildtype", "mutant")),
        Task("stroke", "stroke against no stroke", ("control", "stroke")),
        Task("survival", "time to an event, such as death, with censoring", unit="days", scale="survival"),
        Task("mrs", "disability after a stroke, modified Rankin scale", tuple("0123456"), scale="ordinal"),
        Task("cdr", "global Clinical Dementia Rating", ("0", "0.5", "1-3"), scale="ordinal"),
        Task("nihss", "severity of a stroke, NIHSS points", scale="count"),
        Task("change", "change of any column between a subject's visits, per year"),
        Task("findings", "several findings that can be present together", scale="labels"),
        Task("custom", "any column"),
    )
}
"""Tasks by name. `dementia` takes the classes cn, mci and ad too, `glioma-grade` 2, 3 and 4, `cdr` 0, 0.5, 1, 2, 3."""


def custom(column: str, classes: Sequence[str] = (), scale: Scale = "") -> Task:
    """A target of the user's own: a column's numbers, or its classes, the positive one last, or on a scale."""
    return Task("custom", f"the column {column}", tuple(classes), scale=scale)


def change(column: str, *, per_year: bool = True) -> Task:
    """The change of a column between a subject's visits, per year or in all."""
    what = f"annual change of {column}" if per_year else f"change of {column} between visits"
    return Task("change", what)


def survival(unit: str = "days", horizons: Sequence[float] = ()) -> Task:
    """Time to an event, in a unit, assessed at horizons in the same unit."""
    return replace(TASKS["survival"], unit=unit, horizons=tuple(sorted(set(map(float, horizons)))))


def findings(labels: Sequence[str]) -> Task:
    """Several labels that can be present together, by their names."""
    return replace(
        TASKS["findings"],
        labels=tuple(labels),
        description=f"the presence of {listed(labels)}, each by itself",
    )


_VARIANTS = {"glioma": ("presence", "grade", "idh")}
_WITHOUT_CLASSES: dict[Scale, str] = {"survival": "a time", "count": "a count", "labels": "several labels"}
"""Scales that have no classes, and what such a task predicts."""


def get(name: str, classes: Sequence[str] = (), variant: str = "", scale: Scale = "") -> Task:
    """A task by its name.

    Args:
        name: a key of `TASKS`, or `glioma` with a variant.
        classes: instead of the task's own, the positive one last.
        variant: of `glioma`: `presence` (default), `grade` or `idh`.
        scale: instead of the task's own: `ordinal` for classes in order.

    Raises:
        UsageError: there is no such task or variant, or brain age is asked for in classes.
    """
    if name in _VARIANTS:
        name = f"{name}-{variant or _VARIANTS[name][0]}"
    elif variant:
        raise UsageError(f"the task {name} has no variants: only {', '.join(_VARIANTS)} has")
    if name not in TASKS:
        near = get_close_matches(name, TASKS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"unknown task {name!r}: expected one of {', '.join(TASKS)}{hint}")
    task = TASKS[name]
    if task.is_age and classes:
        raise UsageError("brain-age predicts a number of years: leave out --classes")
    if task.scale in _WITHOUT_CLASSES and classes:
        what = _WITHOUT_CLASSES[task.scale]
        raise UsageError(f"{name} predicts {what}: leave out --classes")
    scale = task.scale or scale
    if scale == "count" != task.scale:
        raise UsageError(f"--kind count is for custom targets, not for {name}")
    if not classes or tuple(classes) == task.classes:
        return replace(task, scale=scale)
    what = task.description if task.scale == "ordinal" else name
    return replace(task, classes=tuple(classes), description=f"{what}: {', '.join(classes)}", scale=scale)
