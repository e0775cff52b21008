"""`log.jsonl`: what was measured, one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prima_features.files.disk import output_errors


class History:
    """The log of a run. Lines have `step` and either the measures of a step or, with `validation`, those of one.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, record: Mapping[str, Any]) -> None:
        """Append a line, at once on disk. A number that is not finite becomes null, which JSON can say.

        Raises:
            OutputError: the disk is full, or the folder went away.
        """
        with output_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(record)) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """All whole lines; a killed process may leave a piece of one at the end."""
        if not self.path.exists():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                continue
        return records

    def rewind(self, step: int) -> None:
        """Drop what was measured after `step` steps, since a resumed run measures it again.

        Raises:
            OutputError: as `add`.
        """
        kept = [record for record in self.read() if record["step"] <= step]
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        with output_errors(self.path):
            temporary.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
            temporary.replace(self.path)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
