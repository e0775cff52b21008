"""Questions to a language model, several at a time; answers are kept in `OUT.parts.jsonl`, so none is asked twice.

A stop at any time loses only the answers that have not arrived.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from prima_features.errors import OutputError
from prima_features.files.disk import output_errors
from prima_features.files.safe import MIB, UnsafeFileError, load_json, read_bytes
from prima_features.files.targets import Maker, as_inputs, check_file
from prima_features.reports.records import LanguageModel, ReportError, clean_text


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
    """Each question with its answer, which `read` accepts, or with the reason why there is none, as they arrive.

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


_MOST_BYTES = 1024 * MIB


def key_of(identity: str, prompt: str) -> str:
    """Key of an answer: a hash of the model and of the prompt, which contains the report."""
    return hashlib.sha256(json.dumps([identity, prompt]).encode()).hexdigest()


class Parts:
    """The answers kept next to an output.

    A line is appended and fsynced when its answer arrives. A line that is not JSON, such as the last one of a killed
    run, is skipped. An answer is found again only if model, prompt and report are the same.
    """

    def __init__(self, output: Path):
        self.path = output.with_name(output.name + ".parts.jsonl")
        self._file: BinaryIO | None = None

    def check(self, inputs: Sequence[Path] = ()) -> None:
        """Refuse to append to an input. Lines that are not answers are skipped, and stay.

        Raises:
            UsageError: see `files.targets.check_file`.
        """
        check_file(self.path, Maker("prima reports summarize", as_inputs(inputs), lambda path: True))

    def load(self) -> dict[str, str]:
        """Answers by key."""
        answers = {}
        for line in self._content().splitlines():
            try:
                record = load_json(line)
                answers[str(record["key"])] = clean_text(str(record["answer"]))
            except (ValueError, TypeError, KeyError):
                continue
        return answers

    def _content(self) -> bytes:
        try:
            return read_bytes(self.path, _MOST_BYTES)
        except FileNotFoundError:
            return b""
        except UnsafeFileError as error:
            raise OutputError(f"{self.path} {error}: move it, or name another output") from error
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror}") from error

    def __enter__(self) -> Parts:
        torn = not self._content().endswith(b"\n") and self.path.exists()
        with output_errors(self.path):
            self._file = self.path.open("ab")
            if torn:
                self._file.write(b"\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, key: str, study: str, answer: str) -> None:
        """Keep an answer.

        Raises:
            OutputError: the disk is full or the folder went away.
        """
        assert self._file is not None, "add works inside the with block"
        line = json.dumps({"key": key, "study": study, "answer": answer}, ensure_ascii=False)
        with output_errors(self.path):
            self._file.write(line.encode("utf-8", "replace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
