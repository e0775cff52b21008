"""A user's own cohort as a TOML file: the fields of `Cohort`, alone or on top of a preset.

name = "my-adni"
base = "adni"                                  # optional: a preset that the rest changes
ids = [{column = "subject", rules = ["bare"]}]
date = "exam_date"

[[targets.dementia]]
column = "diagnosis"
classes = {0 = "cn", 1 = "mci", 2 = "ad"}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.safe import TOML_BYTES, UnsafeFileError, load_toml, read_text
from prima_features.probes.labels.cohorts.cohort import Cohort, IdColumn, Target
from prima_features.probes.labels.values import code


def read_cohort(path: Path, presets: Mapping[str, Cohort]) -> Cohort:
    """The cohort that a TOML file describes.

    Raises:
        UsageError: it does not exist, is not TOML, or a field is unknown or of another kind than in `Cohort`.
    """
    if not path.is_file():
        raise UsageError(f"the cohort file {path} does not exist or is not a file")
    try:
        content = load_toml(read_text(path, TOML_BYTES))
    except UnsafeFileError as error:
        raise UsageError(f"{path} {error}: expected a cohort as TOML") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    base = content.pop("base", "")
    if base and base not in presets:
        raise UsageError(f"{path} builds on the cohort {base!r}: expected one of {', '.join(presets)}")
    try:
        return replace(presets.get(base, Cohort()), **{"name": path.stem, **_fields(content)})
    except (TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"{path} has a field of the wrong kind: {error}") from error


def _fields(content: dict[str, Any]) -> dict[str, Any]:
    defaults = Cohort()
    kinds: dict[str, type] = {field.name: type(getattr(defaults, field.name)) for field in fields(Cohort)}
    values = {}
    for name, value in content.items():
        if name not in kinds:
            raise UsageError(f"a cohort has no field {name!r}: expected some of {', '.join(kinds)}")
        convert = _CONVERTERS.get(name, kinds[name])
        values[name] = convert(_checked(name, value, kinds[name]))
    return values


def _checked(name: str, value: Any, kind: type) -> Any:
    expected: type = list if kind is tuple else kind
    good = isinstance(value, expected)
    if good and expected is list and name != "ids":
        good = all(isinstance(item, str) for item in value)
    if not good:
        raise UsageError(f"the cohort's field {name} is {value!r}: expected {_TOML_NAMES[expected]}")
    return value


def _targets(value: dict[str, list[dict[str, Any]]]) -> dict[str, tuple[Target, ...]]:
    return {task: tuple(_target(**column) for column in columns) for task, columns in value.items()}


def _target(
    column: str, classes: dict[str, str], blank: str = "", blank_under: float = 0.0, blank_source: str = ""
) -> Target:
    given = {code(value): name for value, name in classes.items()}
    return Target(column, given, blank, float(blank_under), blank_source)


def _ids(value: list[dict[str, Any]]) -> tuple[IdColumn, ...]:
    return tuple(IdColumn(**item | {"rules": tuple(item.get("rules", ("bare",)))}) for item in value)


def _sex_codes(value: dict[str, str]) -> dict[str, str]:
    return {code(text): sex for text, sex in value.items()}


def _missing(value: list[str]) -> tuple[str, ...]:
    return tuple(code(text) for text in value)


_CONVERTERS: dict[str, Callable[[Any], Any]] = {
    "targets": _targets,
    "ids": _ids,
    "sex_codes": _sex_codes,
    "missing": _missing,
}
_TOML_NAMES: dict[type, str] = {str: "a text", list: "a list of texts", dict: "a table"}
