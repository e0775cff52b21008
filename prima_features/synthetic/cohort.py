"""Draws the subjects of a cohort: site, condition, age and sex."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from prima_features.synthetic.acquisition import check_known
from prima_features.synthetic.factors import with_factors
from prima_features.synthetic.incidental import with_incidental
from prima_features.synthetic.lesions import others, tumours, vascular
from prima_features.synthetic.randomness import generator, truncated
from prima_features.synthetic.sites import SITES
from prima_features.synthetic.subject import Subject


@dataclass(frozen=True)
class Condition:
    """One diagnosis that a subject of the cohort can have."""

    share: float
    """Share of the cohort."""
    ages: tuple[float, float] = (18.0, 90.0)
    """Youngest and oldest, years."""
    men: float = 0.5
    """Share of men."""


CONDITIONS: dict[str, Condition] = {
    "control": Condition(0.32, (8, 92)),
    "autism": Condition(0.10, (8, 45), men=0.75),
    "dementia": Condition(0.12, (58, 92), men=0.45),
    "glioma": Condition(0.11, (22, 82), men=0.57),
    "stroke": Condition(0.11, (35, 92)),
    "multiple_sclerosis": Condition(0.04, (18, 60), men=0.3),
    "meningioma": Condition(0.03, (35, 85), men=0.3),
    "subdural_haematoma": Condition(0.03, (40, 92), men=0.65),
    "hydrocephalus": Condition(0.02, (18, 85)),
    "metastases": Condition(0.02, (40, 85)),
    "haemorrhage": Condition(0.02, (40, 90)),
    "lacunar_infarct": Condition(0.02, (45, 90)),
    "encephalomalacia": Condition(0.01, (18, 85)),
    "arachnoid_cyst": Condition(0.01, (8, 80)),
    "cavernoma": Condition(0.01, (18, 75)),
    "abscess": Condition(0.01, (18, 80)),
    "pituitary_adenoma": Condition(0.007, (20, 75)),
    "schwannoma": Condition(0.007, (30, 75)),
    "colloid_cyst": Condition(0.006, (20, 70)),
}
"""By name, as in the column `diagnosis`. Shares add up to 1."""

_TRIES = 50


def draw_subject(
    seed: int,
    index: int,
    *,
    condition: str | None = None,
    age: float | None = None,
    site: str | None = None,
    among: Sequence[str] = (),
) -> Subject:
    """Subject number `index` of the cohort of a seed; arguments that are given are not drawn.

    Args:
        condition: one of `CONDITIONS`.
        age: years.
        site: one of `prima_features.synthetic.sites.SITES`.
        among: conditions to draw from, by their shares; all if empty.

    Raises:
        ValueError: unknown condition or site.
    """
    for name in (*among, *([condition] if condition is not None else [])):
        check_known("condition", name, CONDITIONS)
    if site is not None:
        check_known("site", site, SITES)
    rng = generator(seed, index, "who")
    drawn_site = str(rng.choice(list(SITES), p=[s.share for s in SITES.values()]))
    shares = np.array([c.share * (not among or name in among) for name, c in CONDITIONS.items()])
    drawn_condition = str(rng.choice(list(CONDITIONS), p=shares / shares.sum()))
    site, condition = site or drawn_site, condition or drawn_condition
    drawn_age = _draw_age(rng, site, condition)
    subject = Subject(
        seed=seed,
        index=index,
        age=round(drawn_age if age is None else age, 1),
        sex="M" if rng.random() < CONDITIONS[condition].men else "F",
        site=site,
        condition=condition,
    )
    return with_incidental(_with_lesions(with_factors(subject)))


def _draw_age(rng: np.random.Generator, site: str, condition: str) -> float:
    """From the site's ages if the condition's range overlaps them, otherwise from that range."""
    low, high = CONDITIONS[condition].ages
    mean, sd = SITES[site].age
    if low <= mean + 2 * sd and high >= mean - 2 * sd:
        return truncated(rng, mean, sd, low, high)
    return float(rng.uniform(low, high))


def _with_lesions(subject: Subject) -> Subject:
    if subject.condition not in _LESIONS:
        return subject
    return _LESIONS[subject.condition](subject, generator(subject.seed, subject.index, "lesions"))


def _glioma(subject: Subject, rng: np.random.Generator) -> Subject:
    lesion, grade = tumours.glioma(rng, subject.age)
    return replace(subject, lesions=(lesion,)).with_facts(grade=grade)


def _stroke(subject: Subject, rng: np.random.Generator) -> Subject:
    lesion, territory, days = vascular.stroke(rng)
    return replace(subject, lesions=(lesion,)).with_facts(
        territory=territory, days_since_onset=round(days, 1)
    )


def _lacunar(subject: Subject, rng: np.random.Generator) -> Subject:
    lesion, days = vascular.lacune(rng)
    return replace(subject, lesions=(lesion,)).with_facts(days_since_onset=round(days, 1))


def _haemorrhage(subject: Subject, rng: np.random.Generator) -> Subject:
    lesion, days = vascular.haemorrhage(rng)
    return replace(subject, lesions=(lesion,)).with_facts(days_since_onset=round(days, 1))


def _subdural(subject: Subject, rng: np.random.Generator) -> Subject:
    lesion, days = vascular.subdural(rng)
    return replace(subject, lesions=(lesion,)).with_facts(days_since_onset=round(days, 1))


def _colloid(subject: Subject, rng: np.random.Generator) -> Subject:
    widened = replace(subject, ventricle_ratio=subject.ventricle_ratio * float(rng.uniform(1.3, 2.2)))
    return replace(widened, lesions=(others.colloid_cyst(rng),))


def _only(make: Callable[[np.random.Generator], object]) -> Callable[[Subject, np.random.Generator], Subject]:
    """For conditions that consist of their lesions only."""

    def add(subject: Subject, rng: np.random.Generator) -> Subject:
        made = make(rng)
        return replace(subject, lesions=made if isinstance(made, tuple) else (made,))

    return add


_LESIONS: dict[str, Callable[[Subject, np.random.Generator], Subject]] = {
    "glioma": _glioma,
    "stroke": _stroke,
    "lacunar_infarct": _lacunar,
    "haemorrhage": _haemorrhage,
    "subdural_haematoma": _subdural,
    "colloid_cyst": _colloid,
    "multiple_sclerosis": _only(others.plaques),
    "meningioma": _only(tumours.meningioma),
    "metastases": _only(tumours.metastases),
    "encephalomalacia": _only(others.encephalomalacia),
    "arachnoid_cyst": _only(others.arachnoid_cyst),
    "cavernoma": _only(vascular.cavernoma),
    "abscess": _only(others.abscess),
    "pituitary_adenoma": _only(tumours.pituitary_adenoma),
    "schwannoma": _only(tumours.schwannoma),
}
