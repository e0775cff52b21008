"""Several labels that can be present together, such as findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import expit

from prima_features.errors import UsageError
from prima_features.evaluation import bounds, weighted
from prima_features.evaluation.folds import rarest_label
from prima_features.evaluation.intervals import Bootstrap, Estimate
from prima_features.probes.kinds.base import MIN_GROUPS, Kind, Outcome, Words
from prima_features.probes.kinds.classes import cramers_v
from prima_features.probes.steps.outputs import Calibration, Decision, Steps
from prima_features.wording import listed

if TYPE_CHECKING:
    import pandas as pd

    from prima_features.probes.evaluation.scored import Scored
    from prima_features.probes.recipe import Recipe
    from prima_features.probes.samples import Samples

LABEL_METRICS: tuple[str, ...] = (
    "auroc",
    "auprc",
    "prevalence",
    "balanced_accuracy",
    "brier",
    "calibration_slope",
    "auroc_micro",
    "auprc_micro",
)
MIN_PER_LABEL = 10
FEW_PER_LABEL = 20
_CODES = {"1": 1.0, "0": 0.0, "?": np.nan}


def encoded(labels: Sequence[float | None]) -> str:
    """One study's labels (1, 0, None or NaN if unknown) as the text of a target: `1,0,?`."""
    return ",".join("?" if one is None or one != one else str(int(one)) for one in labels)


class Labels(Kind):
    """y is (N, L) float64: 1 present, 0 absent, NaN unknown. A study counts for the labels that are known of it.

    Metrics are means over labels, each on the studies where it is known (macro); the micro ones take every known label
    of every study as a row.
    """

    name = "labels"
    estimators = ("logistic", "xgboost", "mlp", "knn")
    baseline_options: ClassVar[Mapping[str, Any]] = {"C": (0.01, 1.0, 100.0), "components": None}
    quick_options: ClassVar[Mapping[str, Any]] = {"C": (1.0,), "components": None}
    higher_is_better = True
    chance = 0.5
    has_probabilities = True
    metrics = LABEL_METRICS
    primary = "auroc"

    @property
    def words(self) -> Words:
        """Parts of sentences."""
        return Words(
            primary="Macro AUROC",
            strata="all labels together",
            loss="log loss of each label",
            dummy="Label frequencies",
            typical="the frequency of each label in training",
            association="the largest Cramer's V of a label, with Bergsma's bias correction",
            association_long="the largest Cram\u00e9r's V of a label, with Bergsma's bias correction",
            pipeline="tabular-classification",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the labels."""
        return self.task.labels

    def unknown(self, n: int) -> np.ndarray:
        """NaN."""
        return np.full((n, self.width), np.nan)

    def encode(self, target: pd.Series) -> np.ndarray:
        """From texts such as `1,0,?`, a character for each label."""
        rows = [str(text).split(",") for text in target]
        bad = next((row for row in rows if len(row) != self.width or not set(row) <= _CODES.keys()), None)
        if bad is not None or not self.width:
            raise UsageError(
                f"a target of {self.task.name} must have 1, 0 or ? for each of {self.width} labels, separated by "
                f"commas, but one is {','.join(bad or [])!r}"
            )
        return np.array([[_CODES[one] for one in row] for row in rows])

    def decode(self, y: np.ndarray) -> np.ndarray:
        """The same texts."""
        return np.array([encoded(row) for row in y], dtype=object)

    def target_columns(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """The text, and a column of 1, 0 or nothing for each label."""
        return {"target": self.decode(y)} | {
            f"target_{name}": _whole(column) for name, column in zip(self.names, y.T, strict=True)
        }

    def strata(self, y: np.ndarray, groups: np.ndarray, n_folds: int) -> np.ndarray:
        """(N, 2 L): whether each label is present, and whether it is absent."""
        return np.hstack([y == 1, y == 0])

    def thinning_strata(self, y: np.ndarray) -> np.ndarray:
        """The rarest label that is present."""
        return rarest_label(y)

    def absent(self, y: np.ndarray) -> str:
        """The first label that is present, or absent, in no row."""
        return next((text for text, missing in _sides(self.names, y) if missing), "")

    def limits(self, y: np.ndarray) -> list[str]:
        """Labels with a single value."""
        single = [name for name, own in zip(self.names, y.T, strict=True) if len(np.unique(_known(own))) < 2]
        if not single:
            return []
        return [
            f"this cohort does not have both values of {listed(single)}: means over labels are undefined; see the "
            "metrics of the other labels"
        ]

    def check_sizes(self, y: np.ndarray, groups: np.ndarray) -> list[str]:
        """Warnings below `FEW_PER_LABEL` subjects with a value and of unknown labels; refused below `MIN_PER_LABEL`."""
        if len(self.names) < 2:
            raise UsageError(
                f"{self.task.name} needs two labels or more, not {len(self.names)}: use a task of classes for one"
            )
        few = []
        for name, column in zip(self.names, y.T, strict=True):
            with_, without = (len(np.unique(groups[column == value])) for value in (1, 0))
            if min(with_, without) < MIN_PER_LABEL:
                raise UsageError(
                    f"the label {name} is present in {with_} subjects and absent in {without}, but a probe needs at "
                    f"least {MIN_PER_LABEL} of both: leave it out"
                )
            if min(with_, without) < FEW_PER_LABEL:
                few.append(f"{name} ({with_} and {without})")
        unknown = {name: int(np.isnan(own).sum()) for name, own in zip(self.names, y.T, strict=True)}
        found = []
        if few:
            found.append(
                f"few subjects with or without a label: {listed(few)}; expect wide intervals of these labels"
            )
        if any(unknown.values()):
            each = listed(f"{name} in {n}" for name, n in unknown.items() if n)
            found.append(
                f"unknown labels are left out: {each} of {len(y)} studies, which count for their other labels"
            )
        return found

    def too_few(self, y: np.ndarray, groups: np.ndarray) -> str:
        """Fewer than `MIN_GROUPS` subjects with or without a label."""
        for name, column in zip(self.names, y.T, strict=True):
            for value, which in ((1, "with"), (0, "without")):
                n = len(np.unique(groups[column == value]))
                if n < MIN_GROUPS:
                    return f"{n} subjects {which} {name}, fewer than {MIN_GROUPS}"
        return ""

    @property
    def width(self) -> int:
        """A column per label."""
        return len(self.task.labels)

    def empty(self, n: int) -> Outcome:
        """No predictions yet, of n studies."""
        unknown = np.full(n, np.nan)
        return Outcome(unknown, self.unknown(n), np.full((n, self.width), -1), unknown.copy())

    def raw(self, estimator: Any, X: np.ndarray, **where: Any) -> np.ndarray:
        """(N, L) probabilities."""
        return np.asarray(estimator.predict_proba(X, **where))

    def steps(self, recipe: Recipe, held_out: np.ndarray, y: np.ndarray) -> Steps:
        """Calibration and threshold of each label, on the studies where it is known."""
        curves: list[tuple[tuple[float, ...], tuple[float, ...]]] = []
        thresholds: list[float] = []
        for share, column in zip(held_out.T, y.T, strict=True):
            known = np.isfinite(column)
            own, truth = _two(share[known]), column[known].astype(np.int64)
            curve = Calibration.fit(recipe.calibration, own, truth)
            curves += curve.curves
            thresholds.append(Decision.fit(curve.apply(own), truth).threshold)
        calibration = Calibration(recipe.calibration, tuple(curves))
        return Steps(calibration=calibration, decision=Decision(thresholds=tuple(thresholds)))

    def fits(self, fitted: Steps) -> bool:
        """A threshold for each label, and a curve if probabilities are calibrated."""
        n_curves = 0 if fitted.calibration.method == "none" else self.width
        return len(fitted.decision.thresholds) == self.width and len(fitted.calibration.curves) == n_curves

    def outcome(self, fitted: Steps, raw: np.ndarray, age: np.ndarray) -> Outcome:
        """Calibrated probabilities and decided labels."""
        calibration = fitted.calibration
        probability = raw
        if calibration.method != "none":
            columns = [
                Calibration(calibration.method, (curve,)).apply(_two(share))[:, 1]
                for share, curve in zip(raw.T, calibration.curves, strict=True)
            ]
            probability = np.column_stack(columns)
        unknown = np.full(len(raw), np.nan)
        return Outcome(unknown, probability, fitted.decision(probability), unknown)

    def of_covariates(self, linear: np.ndarray) -> np.ndarray:
        """Probabilities of logistic regressions."""
        return np.asarray(expit(linear))

    @property
    def coefficient_rows(self) -> int:
        """One per label."""
        return self.width

    def typical(self, y: np.ndarray) -> np.ndarray:
        """(L,) share of studies with each label, of those where it is known."""
        return np.array([_known(column).mean() for column in y.T])

    def constant(self, n: int, typical: np.ndarray) -> Outcome:
        """The frequencies, and the more frequent value."""
        made = self.empty(n)
        made.probability[:], made.label[:] = typical, typical > 0.5
        return made

    def columns(self, outcome: Outcome, age: np.ndarray) -> dict[str, np.ndarray]:
        """The probability of each label, and whether it was decided to be present (1) or absent (0)."""
        shares = {f"probability_{name}": outcome.probability[:, i] for i, name in enumerate(self.names)}
        return shares | {f"predicted_{name}": outcome.label[:, i] for i, name in enumerate(self.names)}

    def scores(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Means over labels, and AUROC and AUPRC of all known labels together."""
        each = []
        for i, rows in self._parts(y):
            truth, own = y[rows, i] == 1, weights[:, rows]
            found = weighted.one_against_rest(truth, outcome.probability[rows, i], own)
            found["balanced_accuracy"] = weighted.balanced_accuracy(
                truth.astype(np.int64), outcome.label[rows, i], own, 2
            )
            each.append(found)
        made = {name: np.mean([one[name] for one in each], axis=0) for name in each[0]}
        row, label = np.nonzero(np.isfinite(y))
        truth, share, own = y[row, label] == 1, outcome.probability[row, label], weights[:, row]
        made["auroc_micro"] = weighted.auroc(truth, share, own)
        made["auprc_micro"] = weighted.average_precision(truth, share, own)
        return {name: made[name] for name in self.metrics}

    def primary_score(self, y: np.ndarray, outcome: Outcome, weights: np.ndarray) -> np.ndarray:
        """(B,) mean AUROC of the labels."""
        areas = [
            weighted.auroc(y[rows, i] == 1, outcome.probability[rows, i], weights[:, rows])
            for i, rows in self._parts(y)
        ]
        return np.asarray(np.mean(areas, axis=0))

    def _parts(self, y: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each label, with the rows where it is known."""
        return ((i, np.flatnonzero(np.isfinite(column))) for i, column in enumerate(y.T))

    def bounded(
        self, found: dict[str, Estimate], y: np.ndarray, repeats: Sequence[Outcome], bootstrap: Bootstrap
    ) -> dict[str, Estimate]:
        """Intervals of means over labels extended near the metrics' ends."""
        shares, decided = zip(*((one.probability, one.label) for one in repeats), strict=True)
        return found | bounds.labels(found, y, shares, decided, bootstrap)

    def bounded_difference(self, found: Estimate, first: Estimate, second: Estimate) -> Estimate:
        """Extended if one of both is near 0 or 1."""
        return bounds.difference(found, first, second)

    def details(self, result: Scored, samples: Samples, recipe: Recipe) -> dict[str, Any]:
        """Results of each label."""
        from prima_features.probes.evaluation.labels import label_results

        return {"labels": label_results(result)}

    def by_site(self, y: np.ndarray, sites: np.ndarray) -> tuple[dict[str, dict[str, float]], float]:
        """Studies with each label; the association is the largest of the labels' Cramer's V."""
        table: dict[str, dict[str, float]] = {}
        for site in np.unique(sites):
            own = y[sites == site]
            present = {name: float((own[:, i] == 1).sum()) for i, name in enumerate(self.names)}
            table[str(site)] = {"n": len(own)} | present
        named = np.unique(sites[sites != ""])
        found = []
        for column in y.T:
            counts = np.array(
                [[((sites == site) & (column == value)).sum() for value in (0, 1)] for site in named]
            ).reshape(-1, 2)
            found.append(cramers_v(counts[counts.sum(axis=1) > 0]))
        return table, float(np.nanmax(found)) if np.isfinite(found).any() else float("nan")

    def confounded(self, y: np.ndarray, sites: np.ndarray) -> str:
        """Two sites or more, each with a single value of a label."""
        for name, column in zip(self.names, y.T, strict=True):
            known = np.isfinite(column) & (sites != "")
            values = {site: np.unique(column[known & (sites == site)]) for site in np.unique(sites[known])}
            if len(values) >= 2 and all(len(own) == 1 for own in values.values()):
                examples = [
                    f"{site} only {'with' if own[0] else 'without'} it"
                    for site, own in list(values.items())[:3]
                ]
                return f"each site has a single value of {name} ({', '.join(examples)})"
        return ""


def _known(column: np.ndarray) -> np.ndarray:
    return np.asarray(column[np.isfinite(column)])


def _two(share: np.ndarray) -> np.ndarray:
    """(n, 2) probabilities of a label's absence and presence."""
    return np.column_stack([1 - share, share])


def _whole(column: np.ndarray) -> np.ndarray:
    """1, 0 and None, so that tables have no decimals."""
    return np.array([None if value != value else int(value) for value in column], dtype=object)


def _sides(names: Sequence[str], y: np.ndarray) -> Iterator[tuple[str, bool]]:
    """What a row can be, and whether no row is."""
    for name, column in zip(names, y.T, strict=True):
        yield f"a subject with {name}", not (column == 1).any()
        yield f"a subject known to be without {name}", not (column == 0).any()
