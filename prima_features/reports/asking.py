"""Asking a language model many things at once, so that a stop at any time loses only what is in flight."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from prima_features.reports.records import LanguageModel, ReportError


@dataclass(frozen=True)
class Question:
    """One prompt of one study."""

    study: str
    key: str
    prompt: str
    read: Callable[[str], Any]
    """Reads the answer; raises ReportError for one that is not what was asked for."""


def ask_all(
    questions: Sequence[Question], model: LanguageModel
) -> Iterator[tuple[Question, str | ReportError]]:
    """Each question with its answer, which `read` accepts, or with the reason why there is none; in any order.

    Raises:
        PrimaError: the model cannot answer at all.
    """
    if not model.workers:
        for question in questions:
            yield question, _ask(question, model)
        return
    waiting: queue.SimpleQueue[Question] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Question, str | BaseException]] = queue.SimpleQueue()
    for question in questions:
        waiting.put(question)
    for _ in range(min(model.workers, len(questions))):
        # Daemons: the process need not wait for a slow server when it is stopped.
        threading.Thread(target=_work, args=(waiting, done, model), daemon=True).start()
    try:
        for _ in questions:
            question, result = done.get()
            if isinstance(result, BaseException) and not isinstance(result, ReportError):
                raise result
            yield question, result
    finally:
        _empty(waiting)


def _ask(question: Question, model: LanguageModel) -> str | ReportError:
    try:
        answer = model.ask(question.prompt)
        question.read(answer)
    except ReportError as error:
        return error
    return answer


def _work(
    waiting: queue.SimpleQueue[Question],
    done: queue.SimpleQueue[tuple[Question, str | BaseException]],
    model: LanguageModel,
) -> None:
    while True:
        try:
            question = waiting.get_nowait()
        except queue.Empty:
            return
        try:
            done.put((question, _ask(question, model)))
        except BaseException as error:
            done.put((question, error))


def _empty(waiting: queue.SimpleQueue[Question]) -> None:
    while True:
        try:
            waiting.get_nowait()
        except queue.Empty:
            return
