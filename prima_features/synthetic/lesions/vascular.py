"""Strokes, haemorrhages and vascular malformations."""

from __future__ import annotations

from bisect import bisect

import numpy as np

from prima_features.synthetic.lesions import places
from prima_features.synthetic.lesions.records import Layer, Lesion

Territory = tuple[str, places.Point, places.Point]

TERRITORIES: dict[str, Territory] = {
    "MCA": ("middle cerebral artery territory", (47, -12, 18), (22, 40, 27)),
    "MCA superior division": ("middle cerebral artery territory", (44, 10, 26), (18, 25, 21)),
    "MCA inferior division": ("middle cerebral artery territory", (50, -38, 10), (18, 26, 19)),
    "ACA": ("anterior cerebral artery territory", (8, 30, 38), (10, 32, 22)),
    "PCA": ("posterior cerebral artery territory", (17, -78, 4), (14, 20, 15)),
    "PICA": ("cerebellar hemisphere", (24, -64, -40), (17, 15, 11)),
}
"""Territory of an artery: location as in reports, centre on the right and half axes, mm."""
SUBACUTE, CHRONIC = 7.0, 45.0
"""Days after the onset from which an infarct has each appearance."""
BLOOD_SUBACUTE, BLOOD_CHRONIC = 4.0, 21.0
"""The same for blood."""


def draw_days(rng: np.random.Generator) -> float:
    """Days since the onset: half within a week, others later, some after years."""
    low, high = ((0.25, 6.5), (7, 25), (60, 2500))[int(rng.choice(3, p=(0.5, 0.2, 0.3)))]
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def stroke(rng: np.random.Generator) -> tuple[Lesion, str, float]:
    """An infarct, its territory and the days since its onset."""
    territory = str(rng.choice(list(TERRITORIES), p=(0.15, 0.25, 0.2, 0.1, 0.18, 0.12)))
    days = draw_days(rng)
    place, middle, radii = TERRITORIES[territory]
    size = rng.uniform(0.6, 1.0)
    side = places.draw_side(rng)
    layers, growth = infarct(days)
    lesion = Lesion(
        kind="stroke",
        centre=(side * float(middle[0]), middle[1] + float(rng.uniform(-4, 4)), float(middle[2])),
        radii=(size * radii[0], size * radii[1], size * radii[2]),
        layers=layers,
        growth=growth,
        irregularity=0.2,
        seed=places.draw_seed(rng),
        place=place,
    )
    return lesion, territory, days


def infarct(days: float) -> tuple[tuple[Layer, ...], float]:
    """Layers and growth: swollen and diffusion-restricted, then pseudonormal, finally a cavity in gliosis."""
    if days < SUBACUTE:
        return (Layer("infarct_acute", 1, "tissue", patchy=0.3),), 1.0 + 0.12 * min(days / 3, 1)
    if days < CHRONIC:
        return (Layer("infarct_subacute", 1, "tissue", patchy=0.35),), 1.05
    return (Layer("gliosis", 1.15, "tissue", 0.9, 0.3), Layer("fluid", 0.78)), 0.72


def lacune(rng: np.random.Generator) -> tuple[Lesion, float]:
    """A small deep infarct, and the days since its onset."""
    name, centre = places.draw_place(rng, places.DEEP)
    days = draw_days(rng)
    layers = (
        (Layer("infarct_acute", 1, "tissue"),)
        if days < SUBACUTE
        else (Layer("gliosis", 1, "tissue"),)
        if days < CHRONIC
        else (Layer("gliosis", 1.4, "tissue"), Layer("fluid", 0.9))
    )
    radii = places.draw_radii(rng, float(rng.uniform(3.5, 6.5)))
    return Lesion(
        "lacune", centre, radii, layers, irregularity=0.1, seed=places.draw_seed(rng), place=name
    ), days


def haemorrhage(rng: np.random.Generator) -> tuple[Lesion, float]:
    """A bleed into the brain, and its age in days."""
    name, centre = places.draw_place(rng, places.DEEP | places.LOBES)
    days = float(np.exp(rng.uniform(np.log(0.3), np.log(25))))
    blood = "blood_acute" if days < BLOOD_SUBACUTE else "blood_subacute"
    grown = float(rng.uniform(1.6, 2.4))
    radius = float(rng.uniform(9, 18)) * (0.75 if name in places.DEEP else 1)
    rim = (Layer("haemosiderin", 1.08),) if days > 10 else ()
    lesion = Lesion(
        kind="haemorrhage",
        centre=centre,
        radii=places.draw_radii(rng, radius / grown ** (1 / 3)),
        layers=(
            Layer("oedema", float(rng.uniform(1.25, 1.6)), "white", 0.9, 0.3, core=False),
            *rim,
            Layer(blood, 1),
        ),
        growth=grown,
        irregularity=0.12,
        seed=places.draw_seed(rng),
        place=name,
    )
    return lesion, days


def subdural(rng: np.random.Generator) -> tuple[Lesion, float]:
    """A crescent of blood over one hemisphere, and its age in days."""
    side = places.draw_side(rng)
    days = float(np.exp(rng.uniform(np.log(0.5), np.log(60))))
    ages = ("blood_acute", "blood_subacute", "blood_chronic")
    blood = ages[bisect((BLOOD_SUBACUTE, BLOOD_CHRONIC), days)]
    lesion = Lesion(
        kind="subdural_haematoma",
        centre=places.under_skull((side, float(rng.uniform(-0.2, 0.4)), 0.45), 0),
        radii=(48.0, float(rng.uniform(55, 75)), float(rng.uniform(42, 55))),
        layers=(Layer(blood, 1),),
        growth=float(rng.uniform(2.6, 5.2)),
        shape="crescent",
        thickness=3.6,
        irregularity=0.05,
        seed=places.draw_seed(rng),
        place="cerebral convexity",
    )
    return lesion, days


def cavernoma(rng: np.random.Generator) -> Lesion:
    """A cluster of blood of many ages in a rim of haemosiderin."""
    everywhere = places.LOBES | {"pons": (4.0, -28.0, -32.0)}
    name, centre = places.draw_place(rng, everywhere)
    radius = float(rng.uniform(6, 11)) * (0.7 if name == "pons" else 1)
    return Lesion(
        kind="cavernoma",
        centre=centre,
        radii=places.draw_radii(rng, radius),
        layers=(Layer("haemosiderin", 1), Layer("blood_subacute", 0.68, strength=0.9)),
        irregularity=0.2,
        seed=places.draw_seed(rng),
        place=name,
    )
