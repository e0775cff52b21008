"""From the cells of a label column to targets: numbers, names of classes, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from prima_features.errors import UsageError
from prima_features.probes.labels.records import LabelRequest
from prima_features.probes.labels.targets import ANY, LabelTask
from prima_features.probes.labels.values import code, is_missing, number

MISSING = "the label is missing"
NO_CLASS = "the label is in none of the classes"
NO_NUMBER = "the label is not a number"
_MOST_CODES = 10
"""A custom column of numbers with more different values than this holds measurements, not codes."""


@dataclass(frozen=True)
class Label:
    """A row's target, or why it has none."""

    value: float | str | None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Labels:
    """The targets of a table's rows."""

    rows: tuple[Label, ...]
    classes: tuple[str, ...] = ()
    """The positive one last; empty where targets are numbers."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelColumn:
    """A column of labels as it was read."""

    name: str
    cells: Sequence[str]
    missing: Collection[str]
    """The table's own codes of missing values."""

    def encode(self, encoder: Callable[[str], Label]) -> tuple[Label, ...]:
        """Each cell's label; a missing one has none."""
        return tuple(
            Label(None, MISSING) if is_missing(cell, self.missing) else encoder(cell) for cell in self.cells
        )

    def values(self) -> dict[str, str]:
        """The different values that are not missing: their code to the way they are written first."""
        known: dict[str, str] = {}
        for cell in self.cells:
            if not is_missing(cell, self.missing):
                known.setdefault(code(cell), cell)
        return known


def by_positive(column: LabelColumn, positive: Sequence[str], task: LabelTask) -> Labels:
    """Two classes: the values named positive, and every other value.

    Raises:
        UsageError: a value named does not occur, or no other does.
    """
    wanted, values = {code(value) for value in positive}, column.values()
    others = [text for value, text in values.items() if value not in wanted]
    if not others or wanted - values.keys():
        raise UsageError(
            f"--positive {' '.join(positive)} must be some, not all, of the values of {column.name}: "
            f"found {', '.join(sorted(values.values())[:10]) or 'none'}"
        )
    names = task.classes
    if len(names) != 2:
        names = (others[0] if len(others) == 1 else "other", "+".join(values[v] for v in sorted(wanted)))
    return Labels(column.encode(lambda cell: Label(names[code(cell) in wanted])), names)


def by_mapping(
    column: LabelColumn, classes: Mapping[str, str], task: LabelTask, asked: tuple[str, ...]
) -> Labels:
    """Classes by a mapping of values; values that it lacks and classes not asked for are left out."""

    def encode(cell: str) -> Label:
        fine = classes.get(code(cell), classes.get(ANY, ""))
        name = task.class_of(fine, asked)
        meaning = f", which is {fine}" if fine else ""
        return Label(name) if name else Label(None, NO_CLASS, f"it reads {cell!r}{meaning}")

    return Labels(column.encode(encode), asked)


def by_words(column: LabelColumn, task: LabelTask, asked: tuple[str, ...]) -> Labels:
    """Classes by the words that mean one in every table.

    Raises:
        UsageError: a value is none of them.
    """
    unknown = [text for value, text in column.values().items() if value not in task.words]
    if unknown:
        raise UsageError(
            f"{column.name} has values whose class is not clear for {task.name}, such as "
            f"{', '.join(unknown[:5])}: say which are positive with --positive, or name the cohort"
        )
    return by_mapping(column, task.words, task, asked)


def by_values(column: LabelColumn, request: LabelRequest) -> Labels:
    """A custom target: a number where it is one, else a class for each value or each asked for."""
    values = column.values()
    numeric = all(number(text) is not None for text in values.values())
    undecided = request.kind == "auto" and not request.classes
    if request.kind == "number" or (undecided and numeric and len(values) > _MOST_CODES):
        return Labels(column.encode(_as_number))
    names = {code(name): name for name in request.classes} or values
    rows = column.encode(
        lambda cell: (
            Label(names[code(cell)]) if code(cell) in names else Label(None, NO_CLASS, f"it reads {cell!r}")
        )
    )
    told = f"{column.name} has {len(values)} different numbers and is taken as classes, not as a measurement"
    return Labels(
        rows, request.classes or tuple(sorted(names.values())), (told,) if undecided and numeric else ()
    )


def _as_number(cell: str) -> Label:
    value = number(cell)
    return Label(value) if value is not None else Label(None, NO_NUMBER, f"it reads {cell!r}")
