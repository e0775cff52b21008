"""What goes in, what is asked for, and what a run came to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from prima_features.errors import PrimaError, UsageError


@dataclass(frozen=True)
class Report:
    """One study's report."""

    study: str
    text: str


@dataclass(frozen=True)
class Options:
    """What is made of each report."""

    max_items: int = 10
    """Findings a summary has at most."""
    keep_normal: bool = False
    """Keep statements that say that something is normal or absent."""
    labels: Literal["rules", "model"] | None = None
    """Who labels the diagnoses, if they are labelled."""
    unmentioned: Literal["0", "empty"] = "0"
    """What a diagnosis that the report does not mention gets."""

    def __post_init__(self) -> None:
        if self.max_items < 1:
            raise UsageError(f"the maximum number of findings must be at least 1, not {self.max_items}")


class LanguageModel(Protocol):
    """Something that answers a prompt."""

    name: str
    """As in the table's column `method`, such as `endpoint:NAME`."""
    identity: str
    """What the answers depend on beside the prompt; part of the key they are kept under."""
    workers: int
    """Prompts it takes at a time; 0 if it works in the caller's thread."""

    def ask(self, prompt: str) -> str:
        """The answer to a prompt.

        Raises:
            ReportError: there is none for this prompt.
            PrimaError: there will be none for any.
        """


class ReportError(PrimaError, ValueError):
    """Nothing can be made of one report. The run lists it with this reason and goes on."""


@dataclass(frozen=True)
class FailedReport:
    """A study left out of the table, and why."""

    study: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    output: Path
    n_studies: int
    """Rows in the table; 0 if there is none because every report failed."""
    n_kept: int
    """Answers of a language model that were kept from an earlier run."""
    failures: tuple[FailedReport, ...]


def clean_text(text: str) -> str:
    """A language model's text without control characters and halves of surrogate pairs, lines kept.

    Terminals obey control characters, and no file in UTF-8 takes half a pair.
    """
    kept = "".join(one if one.isprintable() or one == "\n" else " " for one in text)
    return kept.encode("utf-8", "replace").decode()


def one_line(text: str, most: int) -> str:
    """A text as it may be part of a message: one line, without control characters, cut at `most` characters."""
    return " ".join(clean_text(text[: 10 * most]).split())[:most]
