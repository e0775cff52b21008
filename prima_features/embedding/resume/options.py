"""Options of a run: its share of the studies, and the treatment of earlier results and failures."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from prima_features.errors import UsageError
from prima_features.studies.study import Study

Rows = Literal["all", "sound", "none"]
"""Which studies of an earlier output may be kept: all, those without failures, or none."""


@dataclass(frozen=True)
class Shard:
    """A share of the studies. Raises UsageError if there is no such share."""

    number: int = 1
    """1 to `count`. 0 means `count`, for job arrays that count from 0."""
    count: int = 1

    def __post_init__(self) -> None:
        if not (self.count >= 1 and 0 <= self.number <= self.count):
            raise UsageError(
                f"There is no shard {self.number}/{self.count}: shards of N are 1/N to N/N, or 0/N to N-1/N"
            )

    @property
    def is_all(self) -> bool:
        """True if the share is all studies."""
        return self.count == 1

    def select(self, studies: Sequence[Study]) -> tuple[Study, ...]:
        """The studies of this share, in their order.

        Every job must be given the same studies. They are ranked by their numbers of series and files, which are
        known without touching a disk, and dealt to the shares like cards, back and forth: shares differ by one
        study at most, and hardly in work.
        """
        ranked = sorted(
            range(len(studies)),
            key=lambda i: (-len(studies[i].series), -sum(len(s.files) for s in studies[i].series), i),
        )
        mine = self.number % self.count
        rounds = [ranked[i : i + self.count] for i in range(0, len(ranked), self.count)]
        chosen = [
            i
            for turn, dealt in enumerate(rounds)
            for place, i in enumerate(dealt)
            if (place if turn % 2 == 0 else self.count - 1 - place) == mine
        ]
        return tuple(studies[i] for i in sorted(chosen))

    def __str__(self) -> str:
        return f"{self.number % self.count or self.count}/{self.count}"


def parse_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """`3/8`, or `slurm` for the place of this task in its job array.

    Raises:
        UsageError: it is neither, there is no such shard, or this is no task of a regular array.
    """
    if text == "slurm":
        return _slurm_shard(environment)
    if (match := re.fullmatch(r"(\d+)/(\d+)", text)) is None:
        raise UsageError(f"--shard is I/N, such as 3/8, or slurm, not {text}")
    return Shard(int(match[1]), int(match[2]))


def _slurm_shard(environment: Mapping[str, str]) -> Shard:
    """Ids of `--array=10-40:10` are 10, 20, 30 and 40: shares 1 to 4 of 4."""
    try:
        task, count, least, most = (
            int(environment[f"SLURM_ARRAY_TASK_{name}"]) for name in ("ID", "COUNT", "MIN", "MAX")
        )
        step = int(environment.get("SLURM_ARRAY_TASK_STEP", "1"))
    except (KeyError, ValueError) as error:
        raise UsageError(
            "--shard slurm needs a task of a SLURM job array (sbatch --array=1-8); elsewhere give I/N, such as 3/8"
        ) from error
    if (most - least) // step + 1 != count:
        raise UsageError(
            f"The job array's {count} tasks between {least} and {most} are not evenly spaced, so their shares "
            f"are unknown: give --shard I/N, such as $SLURM_ARRAY_TASK_ID/8"
        )
    return Shard((task - least) // step + 1, count)


@dataclass(frozen=True)
class RunOptions:
    """Which studies are embedded, and when to stop."""

    shard: Shard = Shard()
    """The share of this process; `merge` makes one file of all shares' parts."""
    retry_failed: bool = False
    """Try again what failed in an earlier run although nothing has changed."""
    force: bool = False
    """Discard the results of an earlier run."""
    fail_fast: bool = False
    """Stop at the first scan that cannot be embedded; its study is not remembered as failed."""
    report: bool = True
    """Write `OUTPUT.report.html` next to the output."""

    @property
    def rows(self) -> Rows:
        """What may be kept of an earlier output."""
        if self.force:
            return "none"
        return "sound" if self.retry_failed else "all"
