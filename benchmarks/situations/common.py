"""What all situations share: the registry, running `prima` in a process of its own, and the phantom."""

from __future__ import annotations

import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

Verdict = Literal["right", "named", "silently wrong"]


@dataclass(frozen=True)
class Outcome:
    """The verdict on one situation, with what was seen."""

    verdict: Verdict
    detail: str = ""


@dataclass(frozen=True)
class Ran:
    """One run of `prima`: its exit code (negative: killed by that signal), and all that it printed."""

    code: int
    text: str
    seconds: float


@dataclass
class Situations:
    """A collection of situations of one kind, filled by decorating functions of a `Box`."""

    kind: str
    functions: dict[str, Callable[[Box], Outcome]] = field(default_factory=dict)

    def __call__(self, name: str) -> Callable[[Callable[[Box], Outcome]], Callable[[Box], Outcome]]:
        """Register a function under a sentence that describes the situation."""

        def register(function: Callable[[Box], Outcome]) -> Callable[[Box], Outcome]:
            if name in self.functions:
                raise ValueError(f"{self.kind}: {name} is registered twice")
            self.functions[name] = function
            return function

        return register


@dataclass(frozen=True)
class Box:
    """An empty folder for one situation, and the means to run the tool on what is put there."""

    folder: Path

    def prima(self, *arguments: object, seconds: int = 120, memory: int | None = None) -> Ran:
        """Run `prima ARGUMENTS` in a forked process, with limits on its CPU time and, if given, its memory.

        Args:
            arguments: as on the command line; each is converted by `str`.
            seconds: CPU time after which the process is killed.
            memory: bytes of address space beyond what the process starts with.
        """
        log = self.folder / f".log-{time.monotonic_ns()}"
        started = time.monotonic()
        if (child := os.fork()) == 0:
            _run(log, [str(argument) for argument in arguments], seconds, memory)
        _, status = os.waitpid(child, 0)
        text = log.read_text(errors="replace")
        log.unlink()
        return Ran(os.waitstatus_to_exitcode(status), text, time.monotonic() - started)


def _run(log: Path, arguments: list[str], seconds: int, memory: int | None) -> None:
    code = 1
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        if memory is not None:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
        from prima_features.cli.main import main

        code = main(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def head(nx: int = 96, ny: int = 112, nz: int = 30, seed: int = 0, top: float = 1000.0) -> np.ndarray:
    """An asymmetric phantom, (x, y, z) float64 from 0 to `top`, so that a flip or a lost slice shows."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (nx, ny, nz)), indexing="ij")
    radius = (x / 0.8) ** 2 + (y / 0.92) ** 2 + (z / 0.94) ** 2
    values = np.where(radius < 1, 320.0, 0.0) + np.where(radius < 0.8, 240.0, 0.0)
    values += np.where(radius < 0.6, 130 * np.sin(8 * x + z) * np.cos(7 * y), 0)
    values += np.where(
        ((x - 0.3) / 0.2) ** 2 + ((y + 0.3) / 0.25) ** 2 + ((z - 0.2) / 0.3) ** 2 < 1, 280.0, 0
    )
    values -= np.where((x / 0.12) ** 2 + ((y - 0.1) / 0.3) ** 2 + (z / 0.3) ** 2 < 1, 350.0, 0)
    noise = np.random.default_rng(seed).normal(0, 8, values.shape)
    values = np.clip(values + noise * (radius < 1.05), 0, None)
    return values * top / values.max()


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Cosine of two vectors, in double precision."""
    a, b = a.astype(float), b.astype(float)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def same_studies(file: Path, reference: Path, least: float = 0.9999) -> Outcome:
    """Whether two embeddings files hold the same studies and series, in any order of the studies."""
    from prima_features import read_embeddings

    a, b = read_embeddings(file), read_embeddings(reference)
    if (a.n_studies, a.n_series) != (b.n_studies, b.n_series):
        return Outcome(
            "silently wrong",
            f"{a.n_studies} studies, {a.n_series} series; expected {b.n_studies} and {b.n_series}",
        )
    for one in a.study_embedding:
        if (best := max(cosine(one, other) for other in b.study_embedding)) < least:
            return Outcome("silently wrong", f"cosine {best:.5f} to the clean scan")
    return Outcome("right")


def named(ran: Ran, *words: str, codes: tuple[int, ...] = (2, 3, 4)) -> Outcome:
    """`named` if the run ended with one of `codes` and said one of `words` (any case), else silently wrong."""
    said = any(word.lower() in ran.text.lower() for word in words)
    if ran.code in codes and said and "Traceback" not in ran.text and "Internal error" not in ran.text:
        return Outcome("named", f"exit code {ran.code}")
    return Outcome("silently wrong", f"exit code {ran.code}: {ran.text.strip()[-300:]}")
