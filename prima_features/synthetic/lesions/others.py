"""Plaques, cysts, abscess, and residues of injuries."""

from __future__ import annotations

import numpy as np

from prima_features.synthetic.lesions import places
from prima_features.synthetic.lesions.records import Layer, Lesion


def plaques(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Multiple sclerosis: ovoid plaques around the ventricles, some near the cortex and below the tentorium."""
    return tuple(_plaque(rng) for _ in range(rng.integers(8, 22)))


def _plaque(rng: np.random.Generator) -> Lesion:
    side = places.draw_side(rng)
    kind = rng.choice(("periventricular", "juxtacortical", "infratentorial"), p=(0.7, 0.2, 0.1))
    low, high = {
        "periventricular": ((16, -52, 14), (30, 34, 32)),
        "juxtacortical": ((28, -50, 20), (44, 40, 48)),
        "infratentorial": ((5, -58, -40), (18, -30, -26)),
    }[str(kind)]
    x, y, z = rng.uniform(low, high)
    length = float(rng.uniform(2.5, 6.5))
    active = rng.random() < 0.15
    return Lesion(
        kind="plaque",
        centre=(side * float(x), float(y), float(z)),
        # Along the veins, which run away from the ventricles.
        radii=(length, length * float(rng.uniform(0.45, 0.8)), length * float(rng.uniform(0.7, 1.1))),
        layers=(Layer("active_plaque" if active else "plaque", 1, "tissue", 0.95),),
        irregularity=0.12,
        seed=places.draw_seed(rng),
        place=f"{kind} white matter" if kind != "infratentorial" else "cerebellar white matter",
    )


def arachnoid_cyst(rng: np.random.Generator) -> Lesion:
    """Fluid that pushes the brain aside: at the temporal pole, or behind the cerebellum."""
    side = places.draw_side(rng)
    middle_fossa = rng.random() < 0.7
    radius = float(rng.uniform(10, 16))
    return Lesion(
        kind="arachnoid_cyst",
        centre=(side * 44.0, 14.0, -26.0) if middle_fossa else (side * 1.0, -86.0, -38.0),
        radii=places.draw_radii(rng, radius / 2.0 ** (1 / 3), 0.15),
        layers=(Layer("fluid", 1),),
        growth=2.0,
        shape="shell",
        irregularity=0.05,
        seed=places.draw_seed(rng),
        place="middle cranial fossa" if middle_fossa else "posterior fossa",
    )


def abscess(rng: np.random.Generator) -> Lesion:
    """Pus that restricts diffusion in a thin enhancing capsule, with oedema."""
    name, centre = places.draw_place(rng, places.LOBES)
    radius, grown = float(rng.uniform(8, 15)), float(rng.uniform(1.6, 2.2))
    return Lesion(
        kind="abscess",
        centre=centre,
        radii=places.draw_radii(rng, radius / grown ** (1 / 3), 0.12),
        layers=(
            Layer("oedema", float(rng.uniform(1.5, 2.0)), "white", 0.95, 0.3, core=False),
            Layer("capsule", 1),
            Layer("pus", 0.78),
        ),
        growth=grown,
        irregularity=0.07,
        seed=places.draw_seed(rng),
        place=name,
    )


def colloid_cyst(rng: np.random.Generator) -> Lesion:
    """At the foramina of Monro, bright on T1-weighted images."""
    radius = float(rng.uniform(4.5, 8))
    return Lesion(
        kind="colloid_cyst",
        centre=(0.0, 2.0, 7.0),
        radii=(radius, radius, radius),
        layers=(Layer("colloid", 1),),
        growth=1.3,
        irregularity=0.03,
        seed=places.draw_seed(rng),
        place="third ventricle at the foramina of Monro",
    )


def encephalomalacia(rng: np.random.Generator) -> Lesion:
    """A defect after an old injury, at a frontal or temporal pole."""
    poles: dict[str, places.Point] = {"frontal lobe": (22, 58, -2), "temporal lobe": (42, 12, -28)}
    name, centre = places.draw_place(rng, poles)
    return Lesion(
        kind="encephalomalacia",
        centre=centre,
        radii=places.draw_radii(rng, float(rng.uniform(11, 18)), 0.25),
        layers=(Layer("gliosis", 1.2, "tissue", 0.9, 0.3), Layer("fluid", 0.8)),
        growth=0.75,
        irregularity=0.18,
        seed=places.draw_seed(rng),
        place=name,
    )
