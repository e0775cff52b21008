"""One subject: a plain record of everything that is drawn, before anything is computed from it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from prima_features.synthetic.atlas.labels import BRAIN_ML
from prima_features.synthetic.lesions.records import Lesion

Sex = Literal["F", "M"]


@dataclass(frozen=True)
class Subject:
    """The factors of a subject. The ground truth of its images is measured on the anatomy built from them."""

    seed: int
    index: int
    age: float
    """years"""
    sex: Sex
    site: str
    condition: str = "control"
    """One of `prima_features.synthetic.cohort.CONDITIONS`."""
    brain_ml: float = 1250.0
    """Target volume of the brain before ageing."""
    proportions: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Width, length and height of the head relative to those of a head of this size with average proportions."""
    ventricle_ratio: float = 1.0
    """Lateral ventricles relative to the atlas."""
    ventricle_asymmetry: float = 0.0
    """Target logarithm of the ratio of the right to the left lateral ventricle. About half of it is reached, because
    both share the space around them."""
    horn_mm: float = 0.0
    """Widening of the temporal horns into their surroundings, mm."""
    third_ratio: float = 1.0
    """Third ventricle relative to the atlas."""
    hippocampus_ratio: float = 1.0
    """Hippocampi relative to the atlas, before the horns widen into them."""
    sulcal_mm: float = 0.0
    """Widening of the sulci into the cortex, mm."""
    temporal_mm: float = 0.0
    """Additional widening in the temporal lobes, mm."""
    hyperintensity_ml: float = 0.0
    """Target volume of white-matter hyperintensities."""
    lesions: tuple[Lesion, ...] = field(default=())
    incidental: tuple[Lesion, ...] = field(default=())
    """Incidental findings."""
    facts: tuple[tuple[str, str], ...] = ()
    """Facts for reports and tables in addition to volumes, such as the grade of a tumour, by name."""

    @property
    def id(self) -> str:
        """Label of the participant, such as `0007`."""
        return f"{self.index + 1:04d}"

    @property
    def head_size(self) -> float:
        """Length relative to the atlas."""
        return (self.brain_ml / BRAIN_ML) ** (1 / 3)

    def fact(self, name: str) -> str:
        """One of `facts`, or an empty string."""
        return dict(self.facts).get(name, "")

    def with_facts(self, **facts: object) -> Subject:
        """The same subject with more facts."""
        return replace(self, facts=(*self.facts, *((name, str(value)) for name, value in facts.items())))
