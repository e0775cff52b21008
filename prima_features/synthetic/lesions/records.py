"""A lesion as a plain record: place, size, and layers from the centre outwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Where = Literal["anywhere", "tissue", "white", "air"]
"""What a layer replaces: anything inside the skull, brain tissue, white matter, or air and thin bone outside the
skull's inner surface."""
Shape = Literal["ball", "crescent", "shell"]
"""A ball of any proportions; a layer under the skull, thickest in its middle; a ball cut off by the skull."""


@dataclass(frozen=True)
class Layer:
    """A tissue from the middle outwards; layers after it lie over it."""

    tissue: str
    """A key of `prima_features.synthetic.tissue.TISSUES`."""
    outer: float
    """Extent; 1 is the lesion's own edge."""
    where: Where = "anywhere"
    strength: float = 1.0
    """Share of the voxel where the layer is fully present."""
    patchy: float = 0.0
    """How far its share falls from place to place."""
    core: bool = True
    """Whether it counts as the lesion; oedema around it does not."""


@dataclass(frozen=True)
class Lesion:
    """One lesion in the atlas's space; the warp moves it."""

    kind: str
    centre: tuple[float, float, float]
    """MNI coordinates, mm."""
    radii: tuple[float, float, float]
    """mm, before it grows; of a crescent, how far it extends from its middle."""
    layers: tuple[Layer, ...]
    growth: float = 1.0
    """Factor by which the warp enlarges it, displacing the brain; below 1 it shrinks and pulls the brain in."""
    shape: Shape = "ball"
    thickness: float = 0.0
    """Of a crescent, mm before it grows."""
    irregularity: float = 0.1
    """Unevenness of its edge, relative to its radius."""
    seed: int = 0
    """Random seed of its edge."""
    place: str = ""
    """Location as in reports, without the side."""

    @property
    def side(self) -> str:
        """`left`, `right` or `midline`."""
        return "midline" if abs(self.centre[0]) < 5 else "left" if self.centre[0] < 0 else "right"

    @property
    def located(self) -> str:
        """Side and place, such as `left frontal lobe`."""
        return self.place if self.side == "midline" else f"{self.side} {self.place}"

    @property
    def diameter(self) -> float:
        """Longest diameter after growth, mm; of a crescent its thickness. The head's size is not included."""
        if self.shape == "crescent":
            return self.thickness * self.growth
        return 2 * max(self.radii) * self.growth ** (1 / 3)

    @property
    def reach(self) -> float:
        """Edge of the outermost layer, relative to the lesion's own."""
        return max(layer.outer for layer in self.layers)
