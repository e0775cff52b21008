"""What an audit found, and the same as JSON and as a long table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from prima_features._version import __version__
from prima_features.clinical.audit.calibration import Calibrated
from prima_features.clinical.audit.groups import ByVariable, Gap, Macro
from prima_features.clinical.audit.inputs import Cohort
from prima_features.clinical.audit.measure import METRICS, Measured
from prima_features.clinical.audit.options import AuditOptions
from prima_features.evaluation.intervals import Estimate
from prima_features.page.blocks import Section
from prima_features.wording import RESEARCH_ONLY

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "prima-audit"


class Part(Protocol):
    """One further analysis."""

    def document(self) -> Any:
        """For audit.json."""

    def section(self) -> Section | None:
        """Of the page; None if there is nothing to show."""


@dataclass(frozen=True, eq=False)
class Audit:
    """All results."""

    cohort: Cohort
    options: AuditOptions
    files: dict[str, str]
    """Names of the input files, without folders."""
    overall: list[Measured]
    """One per name."""
    macro: dict[str, Macro]
    groups: dict[str, ByVariable]
    calibration: list[Calibrated | None]
    left_out: dict[str, str]
    """Columns that are not compared, and why."""
    dates: tuple[str, str] | None = None
    """First and last date of the studies; None if they are not known."""
    model: str = ""
    """Name and checksum of the model that made the scores; empty if they are not known."""
    parts: dict[str, Part] = field(default_factory=dict)
    """Further analyses, by their key in audit.json."""

    @property
    def document(self) -> dict[str, Any]:
        """audit.json; numbers that are not defined are null."""
        cohort = self.cohort
        return _json(
            {
                "format": FORMAT,
                "format_version": 1,
                "notice": RESEARCH_ONLY,
                "caveat": cohort.scores.caveat,
                "prima_features_version": __version__,
                "files": self.files,
                "options": asdict(self.options),
                "model": self.model,
                "dates": self.dates,
                "scores": cohort.scores.kind,
                "n_studies": len(cohort.subject),
                "n_subjects": len(set(cohort.subject.tolist())),
                "unmatched": {
                    name: int((cohort.unmatched["table"] == name).sum())
                    for name in ("scores", "labels", "attributes")
                },
                "notes": list(cohort.notes),
                "names": {name: self._name(i) for i, name in enumerate(cohort.names)},
                "macro": {name: _macro(one) for name, one in self.macro.items()},
                "variables": {name: self._variable(one) for name, one in self.groups.items()},
                "variables_left_out": self.left_out,
                **{key: part.document() for key, part in self.parts.items()},
            }
        )

    def table(self) -> pd.DataFrame:
        """One row per name, variable, level and metric; small groups have a reason and no metric."""
        import pandas as pd

        columns = [
            "name",
            "variable",
            "level",
            "n",
            "positives",
            "metric",
            "value",
            "ci_low",
            "ci_high",
            "reason",
        ]
        return pd.DataFrame(list(self._rows()), columns=columns)

    def _rows(self) -> Iterator[tuple[Any, ...]]:
        for variable, level, found in self._everything():
            for name, one in zip(self.cohort.names, found, strict=True):
                start = (name, variable, level, one.n, one.positives)
                if one.reason:
                    yield (*start, "", None, None, None, one.reason)
                for metric, estimate in one.estimates.items():
                    yield (*start, metric, estimate.value, estimate.ci_low, estimate.ci_high, "")

    def _everything(self) -> Iterator[tuple[str, str, list[Measured]]]:
        yield "", "", self.overall
        for variable, one in self.groups.items():
            for level, found in one.levels.items():
                yield variable, level, found

    def _name(self, i: int) -> dict[str, Any]:
        threshold = self.cohort.scores.thresholds[i]
        return {
            "threshold": "decisions of the table" if threshold is None else threshold,
            "overall": _measured(self.overall[i]) | {"calibration": _calibration(self.calibration[i])},
            "groups": {
                variable: {level: _measured(found[i]) for level, found in one.levels.items()}
                for variable, one in self.groups.items()
            },
            "gaps": {
                variable: {metric: _gap(gap) for metric, gap in one.gaps[i].items()}
                for variable, one in self.groups.items()
            },
        }

    def _variable(self, one: ByVariable) -> dict[str, Any]:
        names = self.cohort.names
        return {
            "unknown": one.n_unknown,
            "macro_names": [names[i] for i in one.macro_names],
            "macro": {
                level: {metric: _macro(own) for metric, own in found.items()}
                for level, found in one.macro.items()
            },
            "macro_gaps": {metric: _gap(gap) for metric, gap in one.macro_gaps.items()},
        }


def _measured(one: Measured) -> dict[str, Any]:
    made: dict[str, Any] = {"n": one.n, "positives": one.positives, "subjects": one.n_subjects}
    if one.reason:
        return made | {"reason": one.reason} | dict.fromkeys(METRICS)
    metrics = {metric: vars(estimate) for metric, estimate in one.estimates.items()}
    return made | metrics | {"threshold_at": one.threshold_at, "public_rule_threshold": one.public_threshold}


def _gap(one: Gap) -> dict[str, Any]:
    return {
        **vars(one.estimate),
        "highest": one.highest,
        "lowest": one.lowest,
        "p": one.p,
        "p_holm": one.p_holm,
    }


def _macro(one: Macro) -> dict[str, Any]:
    return {**vars(one.estimate), "sd": one.sd, "n_names": one.n_names}


def _calibration(one: Calibrated | None) -> dict[str, Any] | None:
    if one is None:
        return None
    made = {name: vars(value) if isinstance(value, Estimate) else value for name, value in vars(one).items()}
    keys = ("mean_score", "observed", "ci_low", "ci_high", "n")
    return made | {"bins": [dict(zip(keys, row, strict=True)) for row in one.bins]}


def _json(value: Any) -> Any:
    """Plain containers, with null for numbers that are not finite."""
    match value:
        case dict():
            return {str(key): _json(one) for key, one in value.items()}
        case list() | tuple():
            return [_json(one) for one in value]
        case float():
            return value if math.isfinite(value) else None
        case _:
            return value
