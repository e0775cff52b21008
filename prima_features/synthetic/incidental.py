"""Incidental findings: variants and harmless findings that reports mention and nobody treats.

Frequencies are chosen so that most subjects have one or two: mucosa in the air cells of the head is the most
frequent, as in clinics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from prima_features.synthetic.lesions import variants
from prima_features.synthetic.lesions.records import Lesion
from prima_features.synthetic.randomness import generator
from prima_features.synthetic.subject import Subject

Add = Callable[[Subject, np.random.Generator], Subject]


@dataclass(frozen=True)
class Incidental:
    """A finding that any subject may have."""

    share: float
    """Share of the subjects of these ages."""
    add: Add
    youngest: float = 0.0
    """years"""
    unless: tuple[str, ...] = ()
    """Conditions that leave no room for it."""


def with_incidental(subject: Subject) -> Subject:
    """The subject with incidental findings, each drawn independently; one that would touch a lesion is left out."""
    found = []
    for name, finding in INCIDENTAL.items():
        rng = generator(subject.seed, subject.index, f"incidental {name}")
        possible = subject.age >= finding.youngest and subject.condition not in finding.unless
        if rng.random() < finding.share and possible:
            changed = finding.add(subject, rng)
            if not any(_meet(new, old) for new in changed.incidental for old in subject.lesions):
                subject = changed
                found.append(name)
    return subject.with_facts(incidental="; ".join(found)) if found else subject


def _meet(one: Lesion, other: Lesion) -> bool:
    """Whether balls around both would touch."""
    reach = sum(max(lesion.radii) * lesion.reach * lesion.growth ** (1 / 3) for lesion in (one, other))
    return float(np.linalg.norm(np.subtract(one.centre, other.centre))) < reach


def _asymmetric(subject: Subject, rng: np.random.Generator) -> Subject:
    return replace(subject, ventricle_asymmetry=float(rng.choice((-1, 1)) * rng.uniform(1.1, 1.8)))


def _with(make: Callable[[np.random.Generator], tuple[Lesion, ...]]) -> Add:
    return lambda subject, rng: replace(subject, incidental=(*subject.incidental, *make(rng)))


def _mucosa(place: str, side: int) -> Add:
    return _with(lambda rng: variants.mucosa(rng, place, side))


_ODD_VENTRICLES = (
    "hydrocephalus", "colloid_cyst", "subdural_haematoma", "glioma", "meningioma", "metastases", "haemorrhage",
    "abscess", "stroke", "encephalomalacia", "arachnoid_cyst",
)  # fmt: skip
"""Conditions that widen, squeeze or shift ventricles themselves."""

INCIDENTAL: dict[str, Incidental] = {
    "mucosa in the left maxillary sinus": Incidental(0.12, _mucosa("maxillary sinus", -1)),
    "mucosa in the right maxillary sinus": Incidental(0.12, _mucosa("maxillary sinus", 1)),
    "mucosa in the ethmoid cells": Incidental(0.10, _mucosa("ethmoid cells", 0)),
    "mucosa in the sphenoid sinus": Incidental(0.08, _mucosa("sphenoid sinus", 0)),
    "mucosa in the frontal sinus": Incidental(0.08, _mucosa("frontal sinus", 0)),
    "fluid in the left mastoid cells": Incidental(0.07, _mucosa("mastoid cells", -1)),
    "fluid in the right mastoid cells": Incidental(0.07, _mucosa("mastoid cells", 1)),
    "asymmetric ventricles": Incidental(0.25, _asymmetric, unless=_ODD_VENTRICLES),
    "cavum septi pellucidi": Incidental(0.08, _with(variants.cavum), unless=_ODD_VENTRICLES),
    "mega cisterna magna": Incidental(0.07, _with(variants.mega_cisterna)),
    "choroid plexus cysts": Incidental(0.08, _with(variants.choroid_cysts), youngest=30),
    "pineal cyst": Incidental(0.06, _with(variants.pineal_cyst)),
    "hyperostosis": Incidental(
        0.08, _with(variants.hyperostosis), youngest=40, unless=("subdural_haematoma",)
    ),
}
"""By name, as in the column `incidental`."""
