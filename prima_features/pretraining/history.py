"""`log.jsonl`: what was measured, one JSON object a line."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prima_features.errors import UsageError
from prima_features.files.disk import output_errors
from prima_features.files.safe import MIB, TABLE_BYTES, UnsafeFileError, load_json, open_regular

_LINE_BYTES = MIB


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
        """All whole lines. A killed process may leave part of a line, which is skipped.

        Raises:
            UsageError: the log is not a regular file, or is larger than any log.
        """
        if not self.path.exists():
            return []
        records = []
        try:
            with open_regular(self.path) as file:
                while line := file.readline(_LINE_BYTES):
                    if file.tell() > TABLE_BYTES:
                        raise UnsafeFileError(f"has more than {TABLE_BYTES} bytes")
                    if (record := _record(line)) is not None:
                        records.append(record)
        except UnsafeFileError as error:
            raise UsageError(f"{self.path} {error}: move it away, or start over with --fresh") from error
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


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = load_json(line, finite=False)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("step"), int) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
