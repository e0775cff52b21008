"""What each task predicts: its classes, and the words that tables use for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prima_features.errors import UsageError

ANY = "*"
"""In a mapping of values to classes: every other value that is not missing."""


@dataclass(frozen=True)
class LabelTask:
    """A task as far as its labels go."""

    name: str
    classes: tuple[str, ...] = ()
    """Default classes, the positive one last; none where the target is a number or any column."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Values that mean one class in every table, as `values.code` writes them, to the finest class."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """A finer class to the class that holds it, where that one is asked for."""

    def class_of(self, fine: str, asked: tuple[str, ...]) -> str:
        """The class among those asked for that a finest class belongs to; empty where none does."""
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
        LabelTask("custom"),
    )
}
"""Tasks by name. `dementia` takes `classes=("cn", "mci", "ad")` too, and `glioma-grade` `("2", "3", "4")`;
`health` tells controls from patients and fills the column `control` of a join."""


def label_task(name: str) -> LabelTask:
    """The task of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in LABEL_TASKS:
        raise UsageError(f"there is no task {name!r}: expected one of {', '.join(LABEL_TASKS)}")
    return LABEL_TASKS[name]
