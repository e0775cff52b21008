"""From the cells of a label column to targets: numbers, names of classes, or a reason for a missing target."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from prima_features.errors import UsageError
from prima_features.probes.labels.records import ANY, LabelRequest, LabelTask
from prima_features.probes.labels.values import code, is_missing, is_top_coded, may_be_thousands, number

MISSING = "the label is missing"
NO_CLASS = "the label is in none of the classes"
NO_NUMBER = "the label is not a number"
_MOST_CODES = 10
"""A custom column of numbers with more different values than this contains measurements, not codes."""


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
    """The positive one last; empty if targets are numbers."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelColumn:
    """A column of labels as it was read."""

    name: str
    cells: Sequence[str]
    missing: Collection[str]
    """The table's own codes of missing values."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Code of a value to that of the same value in another spelling."""
    warnings: tuple[str, ...] = ()
    levels: Mapping[str, str] = field(default_factory=dict)
    """Code of a value to what the table's description says it means."""

    @classmethod
    def read(
        cls,
        name: str,
        cells: Sequence[str],
        missing: Collection[str],
        levels: Mapping[str, str] | None = None,
    ) -> LabelColumn:
        """The column without what stands for a missing value, and with one spelling of each value.

        A value such as -9 or 999 far outside the others counts as missing. Columns of yes and no, true and false, or
        of sexes, in which several spellings are mixed, are brought to the first of each.
        """
        values = Counter(code(cell) for cell in cells if not is_missing(cell, missing))
        codes = sentinels(values)
        warnings = [
            f"{values[value]} cells of {name} contain {value}, far outside the other values, and count as missing"
            for value in codes
        ]
        kept = [value for value in values if value not in codes]
        spellings = _spellings(kept)
        if spellings:
            warnings.append(
                f"{name} mixes spellings ({', '.join(sorted(kept))}); spellings of the same value are merged"
            )
        return cls(name, cells, {*missing, *codes}, spellings, tuple(warnings), levels or {})

    def encode(self, encoder: Callable[[str], Label]) -> tuple[Label, ...]:
        """Each cell's label; a missing one has none."""
        return tuple(
            Label(None, MISSING) if is_missing(cell, self.missing) else encoder(cell) for cell in self.cells
        )

    def code(self, text: str) -> str:
        """The value's code, the same for all spellings of it."""
        return self.spellings.get(code(text), code(text))

    def values(self) -> dict[str, str]:
        """The different values that are not missing: their code to the way they are written first."""
        known: dict[str, str] = {}
        for cell in self.cells:
            if not is_missing(cell, self.missing):
                known.setdefault(self.code(cell), cell)
        return known


def sentinels(values: Mapping[str, int]) -> tuple[str, ...]:
    """Codes of missing values among a column's numbers, each with how often it occurs.

    A candidate (all nines, sevens or eights, or a small negative whole number) counts if it is further from the other
    values than they are from each other; a negative one if no other value is negative.
    """
    numbers = {value: parsed for value in values if (parsed := number(value)) is not None}
    if len(numbers) < 0.9 * len(values):
        return ()
    candidates = [value for value in numbers if _SENTINEL.fullmatch(value)]
    others = [parsed for value, parsed in numbers.items() if value not in candidates]
    if len(others) < 2:
        return ()
    low, high = min(others), max(others)
    return tuple(
        value
        for value in candidates
        if _is_negative_code(numbers[value], low)
        or not low - (high - low) <= numbers[value] <= high + (high - low)
    )


def _is_negative_code(value: float, low: float) -> bool:
    # -1 next to 0 and 1 is a value of a scale.
    return value < 0 <= low and (value != -1 or low > 0)


_SENTINEL = re.compile(r"-?(9+|8{2,}|7{2,})|-[1478]")
_SAME = (
    ({"yes", "y", "true", "t", "1"}, {"no", "n", "false", "f", "0"}),
    ({"female", "f", "w", "woman"}, {"male", "m", "man"}),
)


def _spellings(values: Collection[str]) -> dict[str, str]:
    """Each value's code to that of the first value of the same meaning; empty if none is written in two ways."""
    for pair in _SAME:
        if len(values) > 2 and set(values) <= pair[0] | pair[1]:
            first = [next((value for value in values if value in words), "") for words in pair]
            return {word: name for words, name in zip(pair, first, strict=True) if name for word in words}
    return {}


def by_positive(column: LabelColumn, positive: Sequence[str], task: LabelTask) -> Labels:
    """Two classes: the values named positive, and every other value.

    Raises:
        UsageError: a value named does not occur, or no other does.
    """
    wanted, values = {column.code(value) for value in positive}, column.values()
    others = [text for value, text in values.items() if value not in wanted]
    if not others or wanted - values.keys():
        raise UsageError(
            f"--positive must name some, but not all, of the values of {column.name}, not {' '.join(positive)}: "
            f"found {', '.join(sorted(values.values())[:10]) or 'none'}"
        )
    names = task.classes
    if len(names) != 2:
        names = (others[0] if len(others) == 1 else "other", "+".join(values[v] for v in sorted(wanted)))
    rows = column.encode(lambda cell: Label(names[column.code(cell) in wanted]))
    return Labels(rows, names, _merged(column, names[0], {v for v in values if v not in wanted}))


def _merged(column: LabelColumn, name: str, values: Collection[str]) -> tuple[str, ...]:
    """A sentence on what a class was made of, if of several values."""
    counts = Counter(column.code(cell) for cell in column.cells)
    shown = [f"{text} ({counts[value]})" for value, text in column.values().items() if value in values]
    if len(shown) < 2:
        return ()
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return (f"the class {name} combines these values of {column.name}: {', '.join(shown[:8])}{more}",)


def by_mapping(
    column: LabelColumn, classes: Mapping[str, str], task: LabelTask, asked: tuple[str, ...]
) -> Labels:
    """Classes by a mapping of values; values that it lacks and classes not asked for are left out."""

    def encode(cell: str) -> Label:
        fine = classes.get(code(cell), classes.get(column.code(cell), classes.get(ANY, "")))
        name = task.class_of(fine, asked)
        meaning = f", which is {fine}" if fine else ""
        return Label(name) if name else Label(None, NO_CLASS, f"the value is {cell!r}{meaning}")

    rest = {value for value in column.values() if value not in classes} if ANY in classes else set()
    return Labels(column.encode(encode), asked, _merged(column, classes.get(ANY, ""), rest))


def by_description(column: LabelColumn, task: LabelTask, asked: tuple[str, ...]) -> Labels | None:
    """Classes by the words that the column's description has for its values; None if a value has no such word."""
    values = column.values()
    words = {value: code(column.levels.get(value) or text) for value, text in values.items()}
    described = [value for value in values if column.levels.get(value)]
    if not described or not all(word in task.words for word in words.values()):
        return None
    found = by_mapping(column, {value: task.words[word] for value, word in words.items()}, task, asked)
    shown = ", ".join(f"{values[value]} is {column.levels[value]}" for value in described)
    return replace(found, warnings=(f"{column.name} is read according to its description: {shown}",))


def by_words(column: LabelColumn, task: LabelTask, asked: tuple[str, ...]) -> Labels:
    """Classes by the words that mean one in every table, or that the column's description has for its values.

    Raises:
        UsageError: a value is none of them.
    """
    if (found := by_description(column, task, asked)) is not None:
        return found
    values = column.values()
    unknown = [text for value, text in values.items() if value not in task.words]
    if not unknown and {"0", "1"} & column.levels.keys() & values.keys():
        # Codes that are described, in words that no class has: 0 need not be the negative one.
        unknown = [
            f"{text} ({column.levels.get(value) or 'not described'})" for value, text in values.items()
        ]
    if unknown:
        raise UsageError(
            f"the class for {task.name} is unclear for values of {column.name} such as {', '.join(unknown[:5])}: name "
            "the positive values with --positive, or the cohort with --cohort"
        )
    found = by_mapping(column, task.words, task, asked)
    if not column.values() or not set(column.values()) <= {"0", "1"}:
        return found
    negative, positive = task.words["0"], task.words["1"]
    if _words_of(column.name) & {word for word, name in task.words.items() if name == negative}:
        raise UsageError(
            f"{column.name} has the values 0 and 1, but its name suggests {negative}: name the value for {positive} "
            "with --positive"
        )
    return replace(found, warnings=(f"in {column.name} 0 is taken as {negative} and 1 as {positive}",))


def _words_of(name: str) -> set[str]:
    return set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())) - {""}


def by_values(column: LabelColumn, request: LabelRequest) -> Labels:
    """A custom target: a number if most values are, else a class for each value or each asked for."""
    values = column.values()
    numbers = [value for value, text in values.items() if number(text) is not None]
    undecided = request.kind == "auto" and not request.classes
    is_measured = len(numbers) > _MOST_CODES and len(numbers) >= 0.8 * len(values)
    if request.kind == "number" or (undecided and is_measured):
        return _as_numbers(column)
    if request.kind == "ordinal" and not request.classes:
        return _in_order(column)
    names = {column.code(name): name for name in request.classes} or values
    rows = column.encode(
        lambda cell: (
            Label(names[column.code(cell)])
            if column.code(cell) in names
            else Label(None, NO_CLASS, f"the value is {cell!r}")
        )
    )
    note = f"{column.name} has {len(values)} different numbers and is read as classes (--kind number: a measurement)"
    return Labels(
        rows,
        request.classes or tuple(sorted(names.values())),
        (note,) if undecided and len(numbers) == len(values) else (),
    )


def _in_order(column: LabelColumn) -> Labels:
    """Classes in the order of their numbers.

    Raises:
        UsageError: a value is not a number, or there are more than `_MOST_CODES`.
    """
    values = column.values()
    numbers = {value: number(text) for value, text in values.items()}
    if words := [values[value] for value, parsed in numbers.items() if parsed is None]:
        raise UsageError(
            f"the order of the values of {column.name} is unknown (such as {', '.join(words[:3])}): name them from low "
            "to high with --classes"
        )
    if len(values) > _MOST_CODES:
        raise UsageError(
            f"{column.name} has {len(values)} different numbers, too many for ordered classes: name some with "
            "--classes, or use --kind count or --kind number"
        )
    order = sorted(values, key=lambda value: numbers[value] or 0.0)
    rows = column.encode(lambda cell: Label(values[column.code(cell)]))
    return Labels(rows, tuple(values[value] for value in order))


def by_counts(column: LabelColumn) -> Labels:
    """Whole numbers from 0.

    Raises:
        UsageError: a number is negative or not whole.
    """
    found = _as_numbers(column)
    numbers = [label.value for label in found.rows if isinstance(label.value, float)]
    if bad := [value for value in numbers if value < 0 or not value.is_integer()]:
        raise UsageError(
            f"counts must be whole numbers from 0, but {column.name} has {bad[0]:g}"
            f"{f' and {len(bad) - 1} more of this kind' if len(bad) > 1 else ''}: use --kind number, or name codes of "
            "missing values with --missing-values"
        )
    return found


def _as_numbers(column: LabelColumn) -> Labels:
    """Numbers; a comma or point that can separate thousands as well as decimals (`1,303`) makes none.

    A point does so only in columns with decimal commas.
    """
    commas = [cell for cell in column.cells if "," in cell and number(cell) is not None]
    doubtful = "," if all(map(may_be_thousands, commas)) else "."
    unclear = {cell for cell in column.cells if commas and doubtful in cell and may_be_thousands(cell)}

    def encode(cell: str) -> Label:
        value = number(cell)
        if cell in unclear:
            return Label(None, NO_NUMBER, f"the value is {cell!r}, with a thousands or a decimal separator")
        return Label(value) if value is not None else Label(None, NO_NUMBER, f"the value is {cell!r}")

    warnings = []
    if unclear:
        warnings.append(
            f"{sum(cell in unclear for cell in column.cells)} cells of {column.name} are left out: {doubtful!r} can "
            f"separate thousands or decimals (such as {min(unclear)!r}); write them with a decimal point or without "
            "separator"
        )
    top = [cell for cell in column.cells if is_top_coded(cell)]
    if top:
        warnings.append(
            f"{len(top)} cells of {column.name} are written like {top[0]} and read as that number"
        )
    warnings += _doubtful_extremes(column)
    return Labels(column.encode(encode), warnings=tuple(warnings))


def _doubtful_extremes(column: LabelColumn) -> list[str]:
    """A sentence if an extreme value is a usual code of missing values, though not far from the others."""
    counts = Counter(column.code(cell) for cell in column.cells if not is_missing(cell, column.missing))
    numbers = {parsed: value for value in counts if (parsed := number(value)) is not None}
    negative = [value for value in numbers if value < 0]
    top, low = numbers[max(numbers)] if numbers else "", numbers[min(numbers)] if len(negative) == 1 else ""
    usual = [top] if top in ("99", "999", "9999", "88", "888", "77", "777") and counts[top] > 1 else []
    usual += [low] if _SENTINEL.fullmatch(low) else []
    return [
        f"{counts[value]} cells of {column.name} contain {value}, its "
        f"{'greatest' if value == top else 'only negative'} "
        f"value: if it means missing, give --missing-values={value}"
        for value in usual
    ]
