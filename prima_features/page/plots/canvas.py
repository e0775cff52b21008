"""Figures as SVG inside a page: text stays text, and the same drawing gives the same bytes.

Colours are Paul Tol's muted scheme, which readers with any colour vision can distinguish.
"""

from __future__ import annotations

import io
import unicodedata
import warnings
from collections.abc import Callable
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from prima_features.files.text import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#222222"
MUTED = "#5F6368"
RULE = "#BDC1C6"
OTHER = "#9AA0A6"

COLOURS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#DDAA33",
    "#44AA99",
    "#882255",
    "#88CCEE",
    "#999933",
    "#AA4499",
)
"""Indigo, rose, green, sand (darkened for white paper), teal, wine, cyan, olive, purple."""

MAIN, SECOND = COLOURS[:2]
DASHES = ("", "6 2.5", "2 2", "7 2 2 2")
"""For print without colour: lengths of marks and spaces."""
REFERENCE = "4 3"
"""Dashes of lines to compare with, such as chance."""

PANEL = (4.3, 3.5)
"""Inches, of a figure that has half a page's width."""
SQUARE = (4.3, 4.2)
"""Inches, of one whose axes are of one length."""
MANY_POINTS = 1500
"""A cloud of more points is drawn as an image inside the SVG, which stays small so."""

_STYLE = {
    "svg.fonttype": "none",
    # Names come from tables: a dollar sign in one is no formula.
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "grid.color": RULE,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "lines.linewidth": 1.6,
    "path.simplify": True,
}
_DROPPED = ("metadata", "style")


def svg(name: str, alt: str, paint: Callable[[Figure], None], size: tuple[float, float] = PANEL) -> str:
    """Draw a figure.

    Args:
        name: of the figure, different from that of any other in the page.
        alt: what it shows, in a sentence.
        paint: draws on the empty figure.
        size: width and height in inches.

    Returns:
        an `svg` element.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # Defaults first: a user's own matplotlibrc does not change a report.
    style: Any = _STYLE | {"svg.hashsalt": name}
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(style)
        # Text is drawn by the browser, which has the letters that this font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        paint(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", dpi=200, transparent=True, metadata={"Date": None})
    return _inline(written.getvalue(), name, alt, size)


def _inline(document: str, name: str, alt: str, size: tuple[float, float]) -> str:
    """An SVG document as an element for HTML: no namespaces, no links, ids that no other figure has."""
    root = ElementTree.fromstring(document)
    for parent in list(root.iter()):
        for child in [child for child in parent if _local(child.tag) in _DROPPED]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _local(element.tag)
        given = dict(element.attrib)
        element.attrib.clear()
        element.attrib.update({_local(key): _own(_local(key), value, name) for key, value in given.items()})
    width, height = (round(96 * inches) for inches in size)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "width": str(width),
        "height": str(height),
        "class": "panel" if size[0] <= PANEL[0] else "wide",
        "role": "img",
        "aria-label": alt,
    }
    return ElementTree.tostring(root, encoding="unicode")


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _own(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href" and value.startswith("#"):
        return f"#{name}-{value[1:]}"
    return value.replace("url(#", f"url(#{name}-")


def line_style(dashes: str) -> Any:
    """Dashes as matplotlib takes them."""
    return (0, tuple(float(length) for length in dashes.split())) if dashes else "solid"


def shortened(text: str, most: int) -> str:
    """Cut to a width in letters; those of East Asian scripts count two."""
    text = printable(text[: most + 1])  # a letter counts one at least
    if width(text) <= most:
        return text
    ends = accumulate(map(width, text))
    return text[: sum(end <= most - 1 for end in ends)].rstrip() + "\u2026"


def width(text: str) -> int:
    """Of a text, in letters."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
