"""Reports, the options of a run, and its result."""

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
    """How each report is summarised and labelled."""

    max_items: int = 10
    """Maximum number of findings per summary."""
    keep_normal: bool = False
    """Keep statements that say that something is normal or absent."""
    labels: Literal["rules", "model"] | None = None
    """How to assign labels; None for no labels."""
    unmentioned: Literal["0", "empty"] = "0"
    """Label of a diagnosis that the report does not mention."""

    def __post_init__(self) -> None:
        if self.max_items < 1:
            raise UsageError(f"the maximum number of findings must be at least 1, not {self.max_items}")


class LanguageModel(Protocol):
    """A language model that answers prompts."""

    name: str
    """As in the table's column `method`, such as `endpoint:NAME`."""
    identity: str
    """What the answers depend on in addition to the prompt; part of their key."""
    workers: int
    """Number of prompts at a time; 0 if it works in the caller's thread."""

    def ask(self, prompt: str) -> str:
        """The answer to a prompt.

        Raises:
            ReportError: there is none for this prompt.
            PrimaError: there will be none for any.
        """


class ReportError(PrimaError, ValueError):
    """One report cannot be summarised. The run lists it with this reason and continues."""


@dataclass(frozen=True)
class FailedReport:
    """A study left out of the table, and why."""

    study: str
    reason: str


@dataclass(frozen=True)
class Summary:
    """Result of a run."""

    output: Path
    n_studies: int
    """Rows in the table; 0 if there is none because every report failed."""
    n_kept: int
    """Answers of a language model that were reused from an earlier run."""
    failures: tuple[FailedReport, ...]


def clean_text(text: str) -> str:
    """A language model's text without control characters and halves of surrogate pairs, lines kept.

    Control characters change what a terminal shows, and half a pair cannot be written as UTF-8.
    """
    kept = "".join(one if one.isprintable() or one == "\n" else " " for one in text)
    return kept.encode("utf-8", "replace").decode()


def one_line(text: str, most: int) -> str:
    """A text for a message: one line, without control characters, cut at `most` characters."""
    return " ".join(clean_text(text[: 10 * most]).split())[:most]
