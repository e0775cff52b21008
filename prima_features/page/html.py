"""From templates to HTML files: compiled templates, the one script of a page and its data, and writing.

A page's policy names the hash of its script, and no other runs.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prima_features.files.disk import write_bytes
from prima_features.files.text import printable, printable_json

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def template(package: str, name: str) -> Template:
    """A package's template over the frame and style here, compiled once per process.

    A template whose name ends in `.txt.jinja` yields plain text: nothing in it is escaped for HTML.

    Args:
        package: contains the file `name`. What that includes is looked for there and then here, where
            `frame.html.jinja`, `style.css` and `dark.css` are.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folders = [files(package), files("prima_features.page")]

    def load(name: str) -> str | None:
        found = next((folder / name for folder in folders if (folder / name).is_file()), None)
        return found.read_text(encoding="utf-8") if found else None

    return Environment(
        loader=FunctionLoader(load),
        autoescape=lambda name: not str(name).endswith(".txt.jinja"),
        finalize=lambda value: printable(value, keep="\n\t") if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)


class Script:
    """A page's script: `interactive.js` of this package, then files of another package.

    Args:
        package: of the page.
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


_SURROGATES = re.compile("[\ud800-\udfff]+")


def write_html(path: Path, html: str) -> None:
    """Write a page atomically, as UTF-8.

    Lone surrogates, which stand for the bytes of file names that are not UTF-8, are escaped as in `files.text`.

    Raises:
        OutputError: the disk is full or the folder cannot be written to.
    """
    write_bytes(path, _SURROGATES.sub(lambda found: printable(found[0]), html).encode())
