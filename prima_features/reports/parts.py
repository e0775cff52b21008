"""Work in progress: a model's answers, one line each in `OUT.parts.jsonl`, so that nothing is asked twice."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from prima_features.errors import OutputError
from prima_features.files.safe import MIB, UnsafeFileError, load_json, read_bytes
from prima_features.files.targets import Maker, as_inputs, check_file
from prima_features.reports.records import clean_text

_MOST_BYTES = 1024 * MIB


def key_of(identity: str, prompt: str) -> str:
    """What an answer is kept under: a hash of the model and of the prompt, which holds the report."""
    return hashlib.sha256(json.dumps([identity, prompt]).encode()).hexdigest()


class Parts:
    """The answers kept beside an output.

    A line is appended and fsynced as soon as its answer is there. A line that is no JSON, such as the last one
    of a killed run, is passed over. An answer is found again only if model, prompt and report are the same.
    """

    def __init__(self, output: Path):
        self.path = output.with_name(output.name + ".parts.jsonl")
        self._file: BinaryIO | None = None

    def check(self, inputs: Sequence[Path] = ()) -> None:
        """Refuse to append to an input. Lines that are no answers are passed over, and stay.

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
        try:
            self._file = self.path.open("ab")
            if torn:
                self._file.write(b"\n")
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error
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
        try:
            self._file.write(line.encode("utf-8", "replace") + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error
