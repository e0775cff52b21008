"""Variants and harmless findings: swollen mucosa in air cells, and common fluid spaces."""

from __future__ import annotations

import numpy as np

from prima_features.synthetic.lesions import places
from prima_features.synthetic.lesions.records import Layer, Lesion

AIR_CELLS: dict[str, tuple[places.Point, places.Point]] = {
    "maxillary sinus": ((26, 38, -60), (17, 16, 16)),
    "ethmoid cells": ((0, 46, -36), (16, 20, 14)),
    "sphenoid sinus": ((0, 17, -36), (15, 13, 12)),
    "frontal sinus": ((0, 68, -16), (22, 12, 14)),
    "mastoid cells": ((58, -30, -40), (15, 17, 15)),
}
"""Middles on the right side and half axes, mm: the air and the thin bone in them."""


def mucosa(rng: np.random.Generator, place: str, side: int) -> tuple[Lesion, ...]:
    """Swollen mucosa, or fluid, in the air cells of a place; on both sides if `side` is 0."""
    (x, y, z), radii = AIR_CELLS[place]
    size = float(rng.uniform(0.75, 1.0))
    lesion = Lesion(
        kind="mucosa",
        centre=(side * x, y, z),
        radii=(size * radii[0], size * radii[1], size * radii[2]),
        layers=(Layer("mucosa", 1, "air", 0.95, 0.6),),
        irregularity=0.15,
        seed=places.draw_seed(rng),
        place=place,
    )
    return (lesion,)


def cavum(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Fluid between the leaves of the septum pellucidum."""
    width = float(rng.uniform(3.5, 5.5))
    lesion = Lesion(
        kind="cavum",
        centre=(0.0, 9.0, 11.0),
        radii=(width, float(rng.uniform(11, 18)), float(rng.uniform(7, 9))),
        layers=(Layer("white", 1.25), Layer("fluid", 1)),
        irregularity=0.03,
        seed=places.draw_seed(rng),
        place="septum pellucidum",
    )
    return (lesion,)


def mega_cisterna(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """A wide cistern behind the cerebellum."""
    radius = float(rng.uniform(9, 13))
    lesion = Lesion(
        kind="mega_cisterna",
        centre=(0.0, -85.0, -46.0),
        radii=(1.4 * radius, radius, radius),
        layers=(Layer("fluid", 1),),
        growth=2.0,
        shape="shell",
        irregularity=0.06,
        seed=places.draw_seed(rng),
        place="posterior fossa",
    )
    return (lesion,)


def choroid_cysts(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Xanthogranulomas of the choroid plexus in the trigones of both lateral ventricles."""
    radius = float(rng.uniform(4.5, 6.5))
    return tuple(
        Lesion(
            kind="choroid_cyst",
            centre=(side * 24.0, -40.0, 8.0),
            radii=places.draw_radii(rng, radius, 0.15),
            layers=(Layer("xanthogranuloma", 1),),
            irregularity=0.06,
            seed=places.draw_seed(rng),
            place="choroid plexus",
        )
        for side in (-1, 1)
    )


def pineal_cyst(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Fluid in the pineal gland."""
    radius = float(rng.uniform(4.5, 7))
    lesion = Lesion(
        kind="pineal_cyst",
        centre=(0.0, -29.0, 2.0),
        radii=places.draw_radii(rng, radius, 0.1),
        layers=(Layer("grey", 1.15), Layer("fluid", 0.95)),
        irregularity=0.03,
        seed=places.draw_seed(rng),
        place="pineal gland",
    )
    return (lesion,)


def hyperostosis(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Thickening of the frontal bone's inner table on both sides of the midline."""
    thickness, extent = float(rng.uniform(5, 8)), float(rng.uniform(20, 26))
    return tuple(
        Lesion(
            kind="hyperostosis",
            centre=places.under_skull((0.42 * side, 1.0, 0.35), 0),
            radii=(extent, extent, extent),
            layers=(Layer("bone", 1),),
            shape="crescent",
            thickness=thickness,
            irregularity=0.15,
            seed=places.draw_seed(rng),
            place="frontal bone",
        )
        for side in (-1, 1)
    )
