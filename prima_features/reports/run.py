"""From reports to the table of summaries: the loop, which goes on when a report fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.reports.asking import Parts, Question, ask_all, key_of
from prima_features.reports.diagnoses import DIAGNOSES, Label, is_abnormal, label
from prima_features.reports.numbered import numbered
from prima_features.reports.prompts import labels_prompt, read_labels, read_summary, summary_prompt
from prima_features.reports.records import FailedReport, LanguageModel, Options, Report, ReportError, Summary
from prima_features.reports.rules import findings, report_statements
from prima_features.reports.table import HEADER, check_output, write_summaries

OnAnswer = Callable[[int, int, str, str], None]
"""Called with how many answers are there, of how many, the study, and what is wrong with the last one, if anything."""
LABEL_COLUMNS = ("abnormal", *DIAGNOSES)
"""The columns that labels add to a table of summaries; pretraining reads the first of them."""
_Answers = Mapping[str, str | ReportError]


def summarize(
    reports: Sequence[Report],
    output: Path,
    options: Options = Options(),
    model: LanguageModel | None = None,
    on_answer: OnAnswer = lambda *_: None,
    inputs: Sequence[Path] = (),
    force: bool = False,
) -> Summary:
    """Write a table with a row a report, in their order: study_id, summary, method, and with labels `LABEL_COLUMNS`.

    The summary is a numbered list, a finding a line; a label is 1, 0 or empty (see `diagnoses.label`), and
    abnormal is 1 if any diagnosis is, else 0. Reports that fail are left out of the table and listed in the
    result. A language model's answers are kept in `OUTPUT.parts.jsonl`, and what is there already is not asked
    again. The table itself is never gone on with: one that is there is replaced, whatever its label columns.

    Args:
        output: the table, replaced in one step; not written if every report fails.
        model: who summarises; the rules if None.
        on_answer: called with the progress of a model.
        inputs: files that the reports came from, which are never replaced.
        force: replace an output that is no table of summaries.

    Raises:
        UsageError: the output cannot be, the labels need a model that is not there, or the model cannot be used.
        OutputError: the disk is full or the folder cannot be written to.
    """
    if options.labels == "model" and model is None:
        raise UsageError("labels by a language model need one: give an endpoint or a local model")
    check_output(output, inputs, force)
    if model is not None:
        Parts(output).check(inputs)
    answers: _Answers = {}
    n_kept = 0
    if model is not None:
        answers, n_kept = _answers(reports, output, options, model, on_answer)
    rows, failures = [], []
    for report in reports:
        try:
            rows.append(_row(report, options, model, answers))
        except ReportError as error:
            failures.append(FailedReport(report.study, str(error)))
    if rows:
        write_summaries(output, (*HEADER, *(LABEL_COLUMNS if options.labels else ())), rows)
    return Summary(output, len(rows), n_kept, tuple(failures))


def _answers(
    reports: Sequence[Report], output: Path, options: Options, model: LanguageModel, on_answer: OnAnswer
) -> tuple[_Answers, int]:
    """What the model says to each question, by key, and how many answers were there already."""
    parts = Parts(output)
    questions: dict[str, Question] = {}
    for report in reports:
        try:
            questions |= {question.key: question for question in _questions(report, options, model)}
        except ReportError:
            continue  # reported when its row is made
    kept = {
        key: text
        for key, text in parts.load().items()
        if key in questions and _is_usable(questions[key], text)
    }
    answers: dict[str, str | ReportError] = dict(kept)
    with parts:
        missing = [question for key, question in questions.items() if key not in kept]
        for question, answer in ask_all(missing, model):
            if isinstance(answer, str):
                parts.add(question.key, question.study, answer)
            answers[question.key] = answer
            on_answer(
                len(answers), len(questions), question.study, "" if isinstance(answer, str) else str(answer)
            )
    return answers, len(kept)


def _is_usable(question: Question, answer: str) -> bool:
    try:
        question.read(answer)
    except ReportError:
        return False
    return True


def _questions(report: Report, options: Options, model: LanguageModel) -> list[Question]:
    """The question for the summary, and that for the labels if the model gives them."""
    asked: list[tuple[str, Callable[[str], Any]]] = [
        (summary_prompt(report.text, options), partial(read_summary, options=options))
    ]
    if options.labels == "model":
        asked.append((labels_prompt(report.text), partial(read_labels, unmentioned=_unmentioned(options))))
    return [Question(report.study, key_of(model.identity, prompt), prompt, read) for prompt, read in asked]


def _row(report: Report, options: Options, model: LanguageModel | None, answers: _Answers) -> list[str]:
    if model is None:
        items, labels = findings(report.text, options), None
    else:
        items, labels = _read_answers(_questions(report, options, model), answers)
    if options.labels == "rules":
        impression, found = report_statements(report.text)
        labels = label([*impression, *found], _unmentioned(options))
    cells = _label_cells(labels) if labels else []
    return [report.study, numbered(items), model.name if model else "rules", *cells]


def _label_cells(labels: Mapping[str, Label]) -> list[str]:
    """In the order of `LABEL_COLUMNS`."""
    values = [int(is_abnormal(labels)), *(labels[name] for name in DIAGNOSES)]
    return ["" if value is None else str(value) for value in values]


def _read_answers(
    questions: Sequence[Question], answers: _Answers
) -> tuple[list[str], dict[str, Label] | None]:
    """A report's findings, and its labels if those were asked for."""
    read: list[Any] = []
    for question in questions:
        answer = answers[question.key]
        if isinstance(answer, ReportError):
            raise answer
        read.append(question.read(answer))
    return read[0], read[1] if len(read) > 1 else None


def _unmentioned(options: Options) -> Label:
    return 0 if options.unmentioned == "0" else None
