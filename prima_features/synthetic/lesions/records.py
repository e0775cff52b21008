"""A lesion as a plain record: where it is, how large, and what it is made of from its middle outwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["anywhere", "tissue", "cortex", "white"]
"""What a layer replaces: anything inside the skull, brain tissue, grey matter, or white matter."""
Shape = Literal["ball", "crescent", "shell"]
"""A ball of any proportions; a part of a layer under the skull; a ball's part within reach of the skull."""


@dataclass(frozen=True)
class Layer:
    """A tissue between two distances from the middle, 1 being the lesion's own edge."""

    tissue: str
    """A key of `prima_features.synthetic.tissue.TISSUES`."""
    inner: float
    outer: float
    where: Where = "anywhere"
    strength: float = 1.0
    """Its share where it is fully present."""
    core: bool = True
    """Whether it counts as the lesion; oedema around it does not."""


@dataclass(frozen=True)
class Lesion:
    """One lesion, given in the atlas's space and carried along by the warp."""

    kind: str
    centre: tuple[float, float, float]
    """MNI coordinates, mm."""
    radii: tuple[float, float, float]
    """mm, before it grows. For a crescent: half its width along x (unused), y and z directions; see `Shape`."""
    layers: tuple[Layer, ...]
    growth: float = 1.0
    """How many times larger the warp makes it, pushing the brain aside; below 1 it shrinks and draws it near."""
    shape: Shape = "ball"
    thickness: float = 0.0
    """Of a crescent, mm before it grows."""
    irregularity: float = 0.1
    """How far its edge strays, over its radius."""
    seed: int = 0
    """Of its edge."""

    @property
    def side(self) -> str:
        """`left`, `right` or `midline`."""
        return "midline" if abs(self.centre[0]) < 5 else "left" if self.centre[0] < 0 else "right"

    @property
    def reach(self) -> float:
        """The outermost layer's edge, over the lesion's own."""
        return max(layer.outer for layer in self.layers)
