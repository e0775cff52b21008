"""Two or more classes, such as diagnoses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import expit, softmax

from prima_features.errors import UsageError
from prima_features.evaluation import bounds, sample_size, weighted
from prima_features.evaluation.folds import strata_of
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes.kinds.base import MIN_GROUPS, Kind, KindName, Outcome, Words
from prima_features.probes.steps.outputs import Calibration, Decision, Steps
from prima_features.wording import count

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation.scored import Scored
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.samples import Samples

CLASS_METRICS: tuple[str, ...] = (
    "auroc",
    "auprc",
    "prevalence",
    "balanced_accuracy",
    "brier",
    "calibration_slope",
)
MULTICLASS_METRICS = (*CLASS_METRICS, "hand_till_auc")
MIN_PER_CLASS = 5
FEW_PER_CLASS = 20
_RATES = (("sensitivity", 1), ("specificity", 0))


class Classes(Kind):
    """y is int64: positions in the task's classes.

    With more than two classes, AUROC, AUPRC, prevalence, Brier score and calibration slope are computed for each class
    against the rest and averaged without weights (macro); prevalence is then the AUPRC expected by chance. Hand and
    Till's AUC is added.
    """

    name: ClassVar[KindName] = "classes"
    estimators: ClassVar[tuple[str, ...]] = ("logistic", "xgboost", "mlp", "attention", "knn")
    baseline_options: ClassVar[Mapping[str, Any]] = {"C": (0.01, 1.0, 100.0), "components": None}
    quick_options: ClassVar[Mapping[str, Any]] = {"C": (1.0,), "components": None}
    higher_is_better = True
    chance = 0.5
    has_probabilities = True
    primary = "auroc"

    @property
    def metrics(self) -> tuple[str, ...]:
        """Of more than two classes also Hand and Till's AUC."""
        return CLASS_METRICS if self.is_binary else MULTICLASS_METRICS

    @property
    def words(self) -> Words:
        """Parts of sentences."""
        return Words(
            primary="AUROC",
            strata="class",
            loss="log loss",
            dummy="Class frequencies",
            typical="the frequencies of the classes in training",
            association="Cramer's V with Bergsma's bias correction",
            association_long="Cram\u00e9r's V with Bergsma's bias correction",
            pipeline="tabular-classification",
        )

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes."""
        return len(self.task.classes) == 2

    @property
    def scored_classes(self) -> list[int]:
        """The positive class of two, or each of more."""
        return [1] if self.is_binary else list(range(len(self.task.classes)))

    def unknown(self, n: int) -> np.ndarray:
        """-1."""
        return np.full(n, -1, dtype=np.int64)

    def encode(self, target: pd.Series) -> np.ndarray:
        """Positions of the classes' names."""
        task = self.task
        found = target.map({name: code for code, name in enumerate(task.classes)})
        if found.isna().any():
            other = target[found.isna()].iloc[0]
            raise UsageError(
                f"the task {task.name} has the classes {', '.join(task.classes)}, but a target is {other!r}"
            )
        return found.to_numpy(dtype=np.int64)

    def decode(self, y: np.ndarray) -> np.ndarray:
        """Names of the classes."""
        return np.array(self.task.classes, dtype=object)[y]

    def strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        """The class."""
        return strata_of(y, groups, classes=True, n_folds=n_folds)

    def resampling_strata(self, y: np.ndarray) -> np.ndarray:
        """The class."""
        return y

    def absent(self, y: np.ndarray) -> str:
        """The first class without a row, as `class NAME`."""
        present = set(y.tolist())
        return next((f"class {name}" for k, name in enumerate(self.task.classes) if k not in present), "")

    def limits(self, y: np.ndarray) -> list[str]:
        """Classes without a row."""
        present = set(y.tolist())
        absent = [name for code, name in enumerate(self.task.classes) if code not in present]
        if not absent:
            return []
        return [f"this cohort has no {', '.join(absent)}: metrics that compare the classes are undefined"]

    def check_sizes(self, y: np.ndarray, groups: np.ndarray) -> list[str]:
        """A warning below `FEW_PER_CLASS` subjects in a class; refused below `MIN_PER_CLASS`."""
        counts = [len(np.unique(groups[y == code])) for code in range(len(self.task.classes))]
        smallest = int(np.argmin(counts))
        name, n = self.task.classes[smallest], counts[smallest]
        if n < MIN_PER_CLASS:
            more = ": combine rare classes in the table, or name the others with --classes"
            raise UsageError(
                f"class {name} has {count(n, 'subject')}, but a probe needs at least {MIN_PER_CLASS} of each class"
                f"{more if len(counts) > 2 else ''}"
            )
        return (
            [f"class {name} has only {count(n, 'subject')}: expect wide intervals"]
            if n < FEW_PER_CLASS
            else []
        )

    def criteria(self, y: np.ndarray, r2: float) -> sample_size.Criteria:
        """Those of logistic regression."""
        return sample_size.for_classes(
            r2, (np.bincount(y, minlength=len(self.task.classes)) / len(y)).tolist()
        )

    def too_few(self, y: np.ndarray, groups: np.ndarray) -> str:
        """Fewer than `MIN_GROUPS` subjects in a class."""
        for code, name in enumerate(self.task.classes):
            n = len(np.unique(groups[y == code]))
            if n < MIN_GROUPS:
                return f"{n} subjects of class {name}, fewer than {MIN_GROUPS}"
        return ""

    @property
    def width(self) -> int:
        """A column per class."""
        return len(self.task.classes)

    def raw(self, estimator: Any, X: np.ndarray, **where: Any) -> np.ndarray:
        """(N, K) probabilities."""
        return np.asarray(estimator.predict_proba(X, **where))

    def steps(self, recipe: Recipe, held_out: np.ndarray, y: np.ndarray) -> Steps:
        """The calibration, and the rule that decides for a class."""
        curves = Calibration.fit(recipe.calibration, held_out, y)
        return Steps(calibration=curves, decision=Decision.fit(curves.apply(held_out), y))

    def outcome(self, fitted: Steps, raw: np.ndarray, age: np.ndarray) -> Outcome:
        """Calibrated probabilities and decided classes."""
        probability = fitted.calibration.apply(raw)
        unknown = np.full(len(raw), np.nan)
        return Outcome(unknown, probability, fitted.decision(probability), unknown)

    def of_covariates(self, linear: np.ndarray) -> np.ndarray:
        """Probabilities of a logistic regression."""
        if linear.shape[1] > 1:
            return np.asarray(softmax(linear, axis=1))
        positive = expit(linear[:, 0])
        return np.column_stack([1 - positive, positive])

    @property
    def coefficient_rows(self) -> int:
        """One of two classes, else one per class."""
        return 1 if self.is_binary else self.width

    def typical(self, y: np.ndarray) -> np.ndarray:
        """(K,) frequencies of the classes."""
        return np.bincount(y, minlength=len(self.task.classes)) / len(y)

    def constant(self, n: int, typical: np.ndarray) -> Outcome:
        """The frequencies, and the most frequent class."""
        made = self.empty(n)
        made.probability[:] = typical
        made.label[:] = int(np.argmax(typical))
        return made

    def columns(self, outcome: Outcome, age: np.ndarray) -> dict[str, np.ndarray]:
        """The probability of each class and the decided class; of two classes `prediction` is the positive one's."""
        made = {"prediction": outcome.probability[:, 1]} if self.is_binary else {}
        for code, name in enumerate(self.task.classes):
            made[f"probability_{name}"] = outcome.probability[:, code]
        return made | {"predicted": self.decode(outcome.label)}

    def scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each class against the rest, averaged; balanced accuracy; for more than two classes Hand and Till's AUC."""
        each = [
            weighted.one_against_rest(y == k, outcome.probability[:, k], weights) for k in self.scored_classes
        ]
        found = (
            each[0]
            if len(each) == 1
            else {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}
        )
        found["balanced_accuracy"] = weighted.balanced_accuracy(y, outcome.label, weights, self.width)
        if not self.is_binary:
            found["hand_till_auc"] = weighted.hand_till(y, outcome.probability, weights)
        return {name: found[name] for name in self.metrics}

    def primary_score(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> np.ndarray:
        """(B,) mean AUROC of the classes."""
        areas = [weighted.auroc(y == k, outcome.probability[:, k], weights) for k in self.scored_classes]
        return np.asarray(np.mean(areas, axis=0))

    def group_scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Sensitivity, specificity and calibration in the large, of two classes."""
        if not self.is_binary:
            return {}
        rates = {
            name: weighted.mean_where(outcome.label == code, y == code, weights) for name, code in _RATES
        }
        return rates | {
            "in_the_large": weighted.calibration_in_the_large(y == 1, outcome.probability[:, 1], weights)
        }

    def bounded(
        self, found: dict[str, Estimate], y: np.ndarray, repeats: Sequence[Outcome], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Newcombe's score interval and exact binomial ones."""
        probability, labels = zip(*((one.probability, one.label) for one in repeats), strict=True)
        return found | bounds.classification(found, y, probability, labels, bootstrap)

    def bounded_group(
        self, found: dict[str, Estimate], y: np.ndarray, bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Exact binomial intervals of rates."""
        rates = {
            name: bounds.rate(found[name], y == code, bootstrap) for name, code in _RATES if name in found
        }
        return found | rates

    def bounded_difference(self, found: Estimate, first: Estimate, second: Estimate) -> Estimate:
        """Extended if one of both is near 0 or 1."""
        return bounds.difference(found, first, second)

    def details(self, result: Scored, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        """Metrics of each class, and decisions."""
        from prima_features.probes.evaluation.decisions import decisions, per_class

        return {"per_class": per_class(result), "decisions": decisions(result)}

    def by_site(self, y: np.ndarray, sites: np.ndarray) -> tuple[dict[str, dict[str, float]], float]:
        """Counts of classes; the association is Cramer's V (Bergsma 2013, 10.1016/j.jkss.2012.10.002)."""
        names = np.unique(sites)
        counts = np.array([np.bincount(y[sites == name], minlength=self.width) for name in names])
        table = {
            str(name): dict(zip(self.task.classes, row.tolist(), strict=True))
            for name, row in zip(names, counts, strict=True)
        }
        return table, cramers_v(counts[names != ""])

    def confounded(self, y: np.ndarray, sites: np.ndarray) -> str:
        """Two sites or more, each with a single class. Studies of unknown site count as one site."""
        names = np.unique(sites)
        single = [name for name in names if len(np.unique(y[sites == name])) == 1]
        known, known_single = names[names != ""], [name for name in single if name]
        if not (len(single) == len(names) >= 2 or len(known_single) == len(known) >= 2):
            return ""
        examples = [
            f"{name or 'an unknown site'} only {self.task.classes[int(y[sites == name][0])]}"
            for name in single[:3]
        ]
        return f"each site has a single class ({', '.join(examples)})"


def cramers_v(counts: np.ndarray) -> float:
    """Bergsma's corrected V of a table of counts (sites, classes)."""
    counts, n = counts[:, counts.sum(axis=0) > 0], counts.sum()
    if min(counts.shape) < 2:
        return float("nan")
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    phi_squared = ((counts - expected) ** 2 / expected).sum() / n
    by_chance = [(size - 1) / (n - 1) for size in counts.shape]
    left = max(0.0, phi_squared - np.prod(np.array(counts.shape) - 1) / (n - 1))
    most = min(size - 1 - (size - 1) * part for size, part in zip(counts.shape, by_chance, strict=True))
    return float(min(1.0, np.sqrt(left / most))) if most > 0 else float("nan")
