"""How a run treats what earlier runs left, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass

from prima_features.embedding.resume.plan import Rows
from prima_features.embedding.resume.shard import Shard


@dataclass(frozen=True)
class RunOptions:
    """Which studies are embedded, and when to stop."""

    shard: Shard = Shard()
    """The share of this process; `merge` makes one file of all shares' parts."""
    retry_failed: bool = False
    """Try again what failed in an earlier run although nothing has changed."""
    force: bool = False
    """Keep nothing of an earlier run."""
    fail_fast: bool = False
    """Stop at the first scan that cannot be embedded; its study is not remembered as failed."""
    report: bool = True
    """Write `OUTPUT.report.html` beside the output."""

    @property
    def rows(self) -> Rows:
        """What may be kept of an earlier output."""
        if self.force:
            return "none"
        return "sound" if self.retry_failed else "all"
