"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Status(StrEnum):
    """PASS: as it should be. WARN: it works, with a limit worth knowing. FAIL: results are wrong or none."""

    PASS = "PASS"
    WARN = "WARN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Check:
    """One line of the doctor's findings."""

    name: str
    status: Status
    found: str
    """What was seen, for people."""
    remedy: str = ""
    """What to do about it; empty only for PASS."""

    def __post_init__(self) -> None:
        if self.status is not Status.PASS and not self.remedy:
            raise ValueError(f"{self.name} is {self.status} and names no remedy")


@dataclass(frozen=True)
class Setup:
    """What is examined."""

    folder: Path = Path()
    """Where results will be written."""
    model: str = ""
    """Name, directory or Hub id."""
    device: str = "auto"
    """As `prima embed --device` takes it."""


def passed(name: str, found: str) -> Check:
    """A PASS."""
    return Check(name, Status.PASS, found)


def warned(name: str, found: str, remedy: str) -> Check:
    """A WARN."""
    return Check(name, Status.WARN, found, remedy)


def failed(name: str, found: str, remedy: str) -> Check:
    """A FAIL."""
    return Check(name, Status.FAIL, found, remedy)


def size(n_bytes: float) -> str:
    """`12.3 GB`, `300 MB`."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.0f} MB"
