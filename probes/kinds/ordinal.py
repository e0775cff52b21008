"""Ordered classes, such as a disability scale or a grade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from prima_features.evaluation import ordinal
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes.kinds.base import MIN_GROUPS, Outcome, Words
from prima_features.probes.kinds.classes import Classes
from prima_features.probes.linalg.glm import class_probabilities
from prima_features.probes.steps.outputs import Decision, Steps
from prima_features.wording import count

if TYPE_CHECKING:
    from prima_features.probes.evaluation.scored import Scored
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.samples import Samples

_ROUNDING = 1e-9
ORDINAL_METRICS: tuple[str, ...] = ("kappa", "ordinal_c", "class_error", "rps")


class Ordinal(Classes):
    """y is int64: positions in the task's classes, the lowest first.

    The class is decided by cuts on the expected position, which give the classes the frequencies that they have in
    training (`Decision.of_ordered`).
    """

    name = "ordinal"
    estimators = ("ordinal",)
    baseline_options: ClassVar[Mapping[str, Any]] = {"C": (0.01, 1.0, 100.0)}
    quick_options: ClassVar[Mapping[str, Any]] = {"C": (1.0,)}
    chance = 0.0
    has_probabilities = False
    metrics = ORDINAL_METRICS
    primary = "kappa"

    @property
    def words(self) -> Words:
        """Parts of sentences."""
        return Words(
            primary="Quadratic weighted kappa",
            strata="class",
            loss="log loss",
            dummy="Class frequencies",
            typical="the frequencies of the classes in training with their median as the decided class",
            association="Cramer's V with Bergsma's bias correction",
            association_long="Cram\u00e9r's V with Bergsma's bias correction",
            pipeline="tabular-classification",
        )

    def resampling_strata(self, y: np.ndarray) -> np.ndarray:
        """None: kappa depends on the frequencies of the classes."""
        return np.zeros(len(y), dtype=np.int64)

    def thinning_strata(self, y: np.ndarray) -> np.ndarray:
        """The class."""
        return y

    def limits(self, y: np.ndarray) -> list[str]:
        """A single class."""
        if len(np.unique(y)) > 1:
            return []
        return ["this cohort has a single class: metrics that compare the classes are undefined"]

    def criteria(self, y: np.ndarray, r2: float) -> None:  # type: ignore[override]
        """None: there are none for proportional odds."""
        return

    def too_few(self, y: np.ndarray, groups: np.ndarray) -> str:
        """Fewer than `MIN_GROUPS` subjects above or below every threshold."""
        both = [
            min(len(np.unique(groups[y > k])), len(np.unique(groups[y <= k]))) for k in range(self.width - 1)
        ]
        if max(both) >= MIN_GROUPS:
            return ""
        return (
            f"{count(max(both), 'subject')} on the smaller side of every threshold, fewer than {MIN_GROUPS}"
        )

    def steps(self, recipe: Recipe, held_out: np.ndarray, y: np.ndarray) -> Steps:
        """The rule that decides for a class."""
        return Steps(decision=Decision.of_ordered(held_out, y))

    def fits(self, fitted: Steps) -> bool:
        """A cut between every two classes."""
        return len(fitted.decision.cuts) == self.width - 1

    def outcome(self, fitted: Steps, raw: np.ndarray, age: np.ndarray) -> Outcome:
        """Probabilities, expected positions and decided classes."""
        return Outcome(ordinal.expected(raw), raw, fitted.decision(raw), np.full(len(raw), np.nan))

    def of_covariates(self, linear: np.ndarray) -> np.ndarray:
        """Probabilities from log odds above each threshold."""
        return class_probabilities(linear)

    @property
    def coefficient_rows(self) -> int:
        """One."""
        return 1

    def constant(self, n: int, typical: np.ndarray) -> Outcome:
        """The frequencies, and the median class."""
        made = self.empty(n)
        made.probability[:] = typical
        made.value[:] = ordinal.expected(typical[None])[0]
        made.label[:] = int(np.searchsorted(np.cumsum(typical), 0.5))
        return made

    def columns(self, outcome: Outcome, age: np.ndarray) -> dict[str, np.ndarray]:
        """The expected position from 0, the probability of each class, and the decided class."""
        return {"prediction": outcome.value} | super().columns(outcome, age)

    def scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Kappa, ordinal C, mean absolute difference of positions, and ranked probability score."""
        away = np.abs(outcome.label - y).astype(float)
        return {
            "kappa": ordinal.kappa(y, outcome.label, weights),
            "ordinal_c": ordinal.concordance(y, outcome.value, weights, self.width),
            "class_error": weights @ away / weights.sum(axis=1),
            "rps": ordinal.ranked_probability_score(y, outcome.probability, weights),
        }

    def primary_score(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> np.ndarray:
        """(B,) kappa."""
        return ordinal.kappa(y, outcome.label, weights)

    def group_scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Mean difference of decided and true position."""
        return {"mean_shift": weights @ (outcome.label - y) / weights.sum(axis=1)}

    def bounded(
        self, found: dict[str, Estimate], y: np.ndarray, repeats: Sequence[Outcome], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """No interval if every prediction is right: resampling says nothing then."""
        return {
            name: one if one.ci_high - one.ci_low > _ROUNDING else Estimate(round(one.value, 9) + 0.0)
            for name, one in found.items()
        }

    def bounded_group(
        self, found: dict[str, Estimate], y: np.ndarray, bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """As they are."""
        return found

    def bounded_difference(self, found: Estimate, first: Estimate, second: Estimate) -> Estimate:
        """As it is."""
        return found

    def details(self, result: Scored, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        """Results by threshold, with the check of proportional odds."""
        from prima_features.probes.evaluation.thresholds import thresholds

        return {"thresholds": thresholds(result)}
