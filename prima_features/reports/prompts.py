"""The prompts for a language model, and how its answers are read."""

from __future__ import annotations

import re
from typing import Any

from prima_features.files.safe import load_json
from prima_features.reports.diagnoses import DIAGNOSES, Label
from prima_features.reports.numbered import split_numbered
from prima_features.reports.records import Options, ReportError
from prima_features.reports.rules import report_statements

_SUMMARY = """\
Below is the text of a radiology report on an MRI study of the brain. Rewrite it as a short numbered list of findings.

- One finding a line: `1. `, `2. ` and so on, at most {max_items} lines, the most important first.
- Each line says what was found, where (with its side), and its size if the report gives one, in the report's own terms.
- Merge what is said twice. Add nothing that the report does not say, and keep its doubts (possible, likely).
- {normal}
- Leave out technique, comparison with earlier studies, history, recommendations, names and dates.

Answer with the list only.

Report:
{report}
"""
_DROP_NORMAL = (
    "Leave out what is normal or absent. If nothing abnormal was found, write one line that says so."
)
_KEEP_NORMAL = "Include what is said to be normal or absent."
_LABELS = """\
Below is the text of a radiology report on an MRI study of the brain, and a list of diagnoses. Say which of them the
report states.

Answer with one JSON object with three lists of names, and nothing else:
{{"present": [...], "absent": [...], "undecided": [...]}}

- present: the report says that it is there to be seen in this study.
- absent: the report denies it, or says that it has resolved.
- undecided: the report only names it as possible, or as history.
- A diagnosis that the report does not mention goes into none of the lists.
- Use the names exactly as they are spelled here:
{names}

Report:
{report}
"""
_LISTS: dict[str, Label] = {"present": 1, "absent": 0, "undecided": None}


def summary_prompt(report: str, options: Options) -> str:
    """The prompt for a summary. Of the report it contains the findings and the impression, cleaned.

    Raises:
        ReportError: the report has neither.
    """
    normal = _KEEP_NORMAL if options.keep_normal else _DROP_NORMAL
    return _SUMMARY.format(max_items=options.max_items, normal=normal, report=_what_is_shown(report))


def labels_prompt(report: str) -> str:
    """The prompt for the diagnoses; of the report it contains as much as `summary_prompt`."""
    names = "\n".join(f"  {name}" for name in DIAGNOSES)
    return _LABELS.format(names=names, report=_what_is_shown(report))


def _what_is_shown(report: str) -> str:
    """As little as the task needs: no headers, history or signatures are sent to a model."""
    impression, found = report_statements(report)
    parts = {"FINDINGS": found, "IMPRESSION": impression}
    return "\n\n".join(
        "\n".join([f"{name}:", *statements]) for name, statements in parts.items() if statements
    )


def read_summary(answer: str, options: Options) -> list[str]:
    """The findings in an answer.

    Raises:
        ReportError: it contains no list.
    """
    if not (items := split_numbered(answer)):
        raise ReportError("the model's answer contains no numbered list")
    return items[: options.max_items]


def read_labels(answer: str, unmentioned: Label = 0) -> dict[str, Label]:
    """The labels in an answer.

    Raises:
        ReportError: it is not the JSON object asked for, names what is no diagnosis, or one in two lists.
    """
    labels: dict[str, Label] = {}
    for key, names in _lists(answer).items():
        for name in names:
            if not isinstance(name, str) or name not in DIAGNOSES:
                raise ReportError("the model's labels name something that is not among the diagnoses")
            if name in labels:
                raise ReportError(f"the model's labels name {name} twice")
            labels[name] = _LISTS[key]
    return {name: labels.get(name, unmentioned) for name in DIAGNOSES}


def _lists(answer: str) -> dict[str, list[Any]]:
    match = re.search(r"\{.*\}", answer, re.DOTALL)
    try:
        document = load_json(match[0]) if match else None
    except ValueError as error:
        raise ReportError("the model's labels are not JSON") from error
    if not isinstance(document, dict) or "present" not in document or document.keys() - _LISTS.keys():
        raise ReportError("the model's labels are not the JSON object asked for")
    if not all(isinstance(names, list) for names in document.values()):
        raise ReportError("the model's labels are not lists")
    return document
