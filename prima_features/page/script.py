"""Scripts of pages, and the data they read. A page's policy names the hash of its one script, and no other runs."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from prima_features.files.text import printable_json


class Script:
    """A page's script: `interactive.js` of this package, then a room's own files.

    Args:
        package: the room's package.
        names: of its files, in order.

    Attributes:
        text: of the script element.
        hash: as the Content-Security-Policy names it.
    """

    def __init__(self, package: str, *names: str) -> None:
        parts = [files("prima_features.page") / "interactive.js", *(files(package) / name for name in names)]
        self.text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
        self.hash = "sha256-" + base64.b64encode(hashlib.sha256(self.text.encode()).digest()).decode()


def script_json(value: Any) -> str:
    """JSON that can stand in a script element: no tag can begin in it."""
    text = json.dumps(printable_json(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
