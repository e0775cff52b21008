"""Templates of a room's pages, over the frame and style here."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def template(package: str, name: str) -> Template:
    """A room's template, compiled once per process.

    A template whose name ends in `.txt.jinja` yields plain text: nothing in it is escaped for HTML.

    Args:
        package: of the room, which has the file `name`; what that includes is looked for there and then here, where
            `frame.html.jinja`, `style.css` and `dark.css` are.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    from prima_features.files.text import printable

    rooms = [files(package), files("prima_features.page")]

    def load(name: str) -> str | None:
        found = next((room / name for room in rooms if (room / name).is_file()), None)
        return found.read_text(encoding="utf-8") if found else None

    return Environment(
        loader=FunctionLoader(load),
        autoescape=lambda name: not str(name).endswith(".txt.jinja"),
        finalize=lambda value: printable(value, keep="\n\t") if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    ).get_template(name)
