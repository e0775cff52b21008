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
    """Volume of the brain before ageing, aimed at."""
    proportions: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Width, length and height of the head over those of its size."""
    ventricle_ratio: float = 1.0
    """Lateral ventricles over the atlas's."""
    ventricle_asymmetry: float = 0.0
    """Logarithm of the right lateral ventricle over the left one, aimed at. About half of it is reached, because both
    share the room around them."""
    horn_mm: float = 0.0
    """How far the temporal horns are widened into what surrounds them, mm."""
    third_ratio: float = 1.0
    """Third ventricle over the atlas's."""
    hippocampus_ratio: float = 1.0
    """Hippocampi over the atlas's, before the horns widen into them."""
    sulcal_mm: float = 0.0
    """How far sulci are widened into the cortex, mm."""
    temporal_mm: float = 0.0
    """The same in addition in the temporal lobes."""
    hyperintensity_ml: float = 0.0
    """White-matter hyperintensities, aimed at."""
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
        """Length over the atlas's."""
        return (self.brain_ml / BRAIN_ML) ** (1 / 3)

    def fact(self, name: str) -> str:
        """One of `facts`, or an empty string."""
        return dict(self.facts).get(name, "")

    def with_facts(self, **facts: object) -> Subject:
        """The same subject with more facts."""
        return replace(self, facts=(*self.facts, *((name, str(value)) for name, value in facts.items())))
