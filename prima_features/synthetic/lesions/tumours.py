"""Tumours: glioma by grade, meningioma, metastases, pituitary adenoma, vestibular schwannoma."""

from __future__ import annotations

import numpy as np

from prima_features.synthetic.lesions import places
from prima_features.synthetic.lesions.records import Layer, Lesion


def glioma(rng: np.random.Generator, age: float) -> tuple[Lesion, int]:
    """A diffuse glioma and its grade, higher at a higher age.

    Grade 2 is an even, hardly enhancing mass; grade 3 larger, with some enhancement; grade 4 a necrotic mass with an
    enhancing rim, oedema and more mass effect.
    """
    fourth = 1 / (1 + np.exp(-(age - 48) / 9))
    grade = int(rng.choice((2, 3, 4), p=(0.6 * (1 - fourth), 0.4 * (1 - fourth), fourth)))
    name, centre = places.draw_place(rng, places.LOBES | {"thalamus": places.DEEP["thalamus"]})
    grown = {2: rng.uniform(1.2, 1.5), 3: rng.uniform(1.4, 1.9), 4: rng.uniform(2.0, 3.4)}[grade]
    radius = {2: rng.uniform(14, 25), 3: rng.uniform(15, 27), 4: rng.uniform(16, 28)}[grade]
    if name == "thalamus":
        radius *= 0.6
    layers = {
        2: (Layer("tumour", 1.0, "tissue", patchy=0.3),),
        3: _grade_three(rng),
        4: _grade_four(rng),
    }[grade]
    lesion = Lesion(
        kind="glioma",
        centre=centre,
        radii=places.draw_radii(rng, radius / grown ** (1 / 3)),
        layers=layers,
        growth=float(grown),
        irregularity=0.17,
        seed=places.draw_seed(rng),
        place=name,
    )
    return lesion, grade


def _grade_three(rng: np.random.Generator) -> tuple[Layer, ...]:
    spot = (Layer("enhancing_tumour", float(rng.uniform(0.3, 0.5)), "tissue", 0.85, 0.5),)
    oedema = Layer("oedema", float(rng.uniform(1.15, 1.4)), "white", 0.85, 0.3, core=False)
    return (oedema, Layer("tumour", 1.0, "tissue", patchy=0.2), *(spot if rng.random() < 0.6 else ()))


def _grade_four(rng: np.random.Generator) -> tuple[Layer, ...]:
    return (
        Layer("oedema", float(rng.uniform(1.45, 2.0)), "white", 0.95, 0.3, core=False),
        Layer("tumour", 1.05, "tissue"),
        Layer("enhancing_tumour", 0.95, patchy=0.3),
        Layer("necrosis", float(rng.uniform(0.5, 0.72)), strength=0.95, patchy=0.25),
    )


def meningioma(rng: np.random.Generator) -> Lesion:
    """An even, strongly enhancing mass on the dura, at the convexity."""
    side = places.draw_side(rng)
    direction = (side * rng.uniform(0.25, 1), rng.uniform(-0.8, 0.9), rng.uniform(0.25, 0.9))
    radius, grown = float(rng.uniform(8, 17)), float(rng.uniform(1.6, 2.4))
    before = radius / grown ** (1 / 3)
    centre = places.under_skull(direction, before * 0.55)
    swollen = (Layer("oedema", float(rng.uniform(1.25, 1.6)), "white", 0.9, 0.3, core=False),)
    return Lesion(
        kind="meningioma",
        centre=centre,
        radii=places.draw_radii(rng, before, 0.12),
        layers=(*(swollen if rng.random() < 0.4 else ()), Layer("meningioma", 1)),
        growth=grown,
        shape="shell",
        irregularity=0.06,
        seed=places.draw_seed(rng),
        place=f"{places.lobe_at(centre).removesuffix(' lobe')} convexity",
    )


def metastases(rng: np.random.Generator) -> tuple[Lesion, ...]:
    """Two to six round masses with enhancement and oedema."""
    everywhere = places.LOBES | {"cerebellum": (24.0, -64.0, -34.0)}
    return tuple(_metastasis(rng, everywhere) for _ in range(rng.integers(2, 7)))


def _metastasis(rng: np.random.Generator, everywhere: dict[str, places.Point]) -> Lesion:
    name, centre = places.draw_place(rng, everywhere)
    radius = float(rng.uniform(3.5, 10))
    hollow = (Layer("necrosis", 0.55),) if radius > 6 else ()
    oedema = Layer("oedema", 1 + float(rng.uniform(0.3, 1.0)), "white", 0.95, 0.3, core=False)
    return Lesion(
        kind="metastasis",
        centre=centre,
        radii=places.draw_radii(rng, radius / 1.5 ** (1 / 3), 0.1),
        layers=(oedema, Layer("enhancing_tumour", 1), *hollow),
        growth=1.5,
        irregularity=0.1,
        seed=places.draw_seed(rng),
        place=name,
    )


def pituitary_adenoma(rng: np.random.Generator) -> Lesion:
    """A mass that rises from the sella."""
    radius = float(rng.uniform(6, 11))
    return Lesion(
        kind="pituitary_adenoma",
        centre=(0.0, 4.0, -29.0 + radius * 0.4),
        radii=(radius * 0.85, radius * 0.8, radius),
        layers=(Layer("adenoma", 1),),
        growth=1.4,
        irregularity=0.06,
        seed=places.draw_seed(rng),
        place="sella",
    )


def schwannoma(rng: np.random.Generator) -> Lesion:
    """A mass in the cerebellopontine angle."""
    radius = float(rng.uniform(6, 12))
    side = places.draw_side(rng)
    return Lesion(
        kind="schwannoma",
        centre=(side * 19.0, -32.0, -36.0),
        radii=places.draw_radii(rng, radius / 1.4 ** (1 / 3), 0.12),
        layers=(Layer("schwannoma", 1),),
        growth=1.4,
        irregularity=0.06,
        seed=places.draw_seed(rng),
        place="cerebellopontine angle",
    )
