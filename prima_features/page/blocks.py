"""The blocks of a page: plain records that `blocks.html.jinja` draws, in the style of `blocks.css`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from prima_features.page import digits

if TYPE_CHECKING:
    from prima_features.evaluation.intervals import Estimate

Mark = Literal["dot", "line", "scale"]


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    detail: str = ""
    """Below the text, smaller: mostly an interval."""
    shade: float = 0.0
    """Strength of the background, 0 to 1."""


def label(name: str) -> str:
    """A name as it is read; spaces let narrow columns break it."""
    return name.replace("_", " ")


def estimate_cell(estimate: Estimate, decimals: int = 3) -> Cell:
    """A number with its interval below."""
    return Cell(digits.number(estimate.value, decimals), digits.interval(estimate, decimals))


def p_cell(p: float) -> Cell:
    """A p value in a column of its own: `0.012`, `< 0.0001`."""
    return Cell(digits.p_text(p).removeprefix("= ").replace(" ", "\N{NO-BREAK SPACE}"))


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first of each names the row."""

    kind: ClassVar[str] = "table"
    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    strong: frozenset[int] = frozenset()
    """Rows that stand out."""
    text_columns: frozenset[int] = frozenset({0})
    """Columns set to the left; the others hold numbers and are set to the right."""


@dataclass(frozen=True)
class Key:
    """One entry of a figure's legend."""

    label: str
    colour: str = ""
    mark: Mark = "dot"
    dashes: str = ""
    """Of a line, as SVG's stroke-dasharray."""
    scale: tuple[str, ...] = ()
    """Colours from low to high, of the mark `scale`."""


@dataclass(frozen=True)
class Figure:
    """A picture with its legend and caption."""

    kind: ClassVar[str] = "figure"
    svg: str
    caption: str
    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Row:
    """Figures and tables side by side, where the page is wide enough."""

    kind: ClassVar[str] = "row"
    items: tuple[Figure | Table, ...]


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    kind: ClassVar[str] = "prose"
    text: str


@dataclass(frozen=True)
class Listing:
    """Points of a list."""

    kind: ClassVar[str] = "listing"
    items: tuple[str, ...]


@dataclass(frozen=True)
class Verbatim:
    """Text to copy as it is."""

    kind: ClassVar[str] = "verbatim"
    text: str
    is_code: bool = False


@dataclass(frozen=True)
class Folded:
    """A long table that opens on demand."""

    kind: ClassVar[str] = "folded"
    summary: str
    table: Table


Block = Table | Figure | Row | Prose | Listing | Verbatim | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    name: str
    """Its anchor."""
    heading: str
    blocks: tuple[Block, ...] = ()
    """Empty if the page's template draws the section itself."""


def section(name: str, heading: str, blocks: Sequence[Block | None]) -> Section | None:
    """A section of the blocks that there are; None if there is none."""
    kept = tuple(block for block in blocks if block is not None)
    return Section(name, heading, kept) if kept else None
