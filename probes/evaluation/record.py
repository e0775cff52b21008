"""The result of an evaluation: everything that the HTML report shows, as plain records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.compare import Comparison, corrected_t_test
from prima_features.evaluation.intervals import Estimate
from prima_features.evaluation.sample_size import SampleSize
from prima_features.probes.change import VisitSummary
from prima_features.probes.evaluation.attention import Attention
from prima_features.probes.evaluation.checks import LabelBySite, SiteDecodability
from prima_features.probes.evaluation.decisions import Decisions
from prima_features.probes.evaluation.dispersion import Dispersion
from prima_features.probes.evaluation.labels import LabelResult
from prima_features.probes.evaluation.leakage import Leakage
from prima_features.probes.evaluation.over_time import GapOverTime
from prima_features.probes.evaluation.permuted import Permutation
from prima_features.probes.evaluation.risk_groups import RiskGroups
from prima_features.probes.evaluation.scored import BrainAgeGap, GroupMetrics, OutOfFold
from prima_features.probes.evaluation.splits import Fold, Splits
from prima_features.probes.evaluation.thresholds import Thresholds
from prima_features.probes.kinds import Kind, kind_of
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples
from prima_features.probes.tasks import Task

if TYPE_CHECKING:
    import pandas as pd


Estimates = dict[str, Estimate]


@dataclass(frozen=True)
class FoldScores:
    """The primary metric of each fold: for comparing probes, not for intervals."""

    metric: str
    values: np.ndarray
    """(J,) NaN if a fold's test rows do not define it."""
    n_train: np.ndarray
    n_test: np.ndarray
    names: tuple[str, ...]
    """The site left out, or empty."""
    parameters: tuple[dict[str, Any], ...] = ()
    """Parameters chosen by the inner loop."""

    def to_dict(self) -> dict[str, Any]:
        """As plain lists, for JSON."""
        arrays = {
            name: values.tolist() for name, values in vars(self).items() if isinstance(values, np.ndarray)
        }
        return {
            "metric": self.metric,
            "names": list(self.names),
            "parameters": list(self.parameters),
        } | arrays


@dataclass(frozen=True)
class Evaluation:
    """How well a probe does."""

    task: Task
    recipe: Recipe
    metrics: Estimates
    """By the names in `task.metrics`, with 95% bootstrap intervals over subjects."""
    predictions: pd.DataFrame
    """One row per predicted study, or change between studies: `study subject group site sex age scanner
    field_strength target counts fold` (longitudinal: also `visit_years`, or `interval_years initial_value`), then
    `prediction` (mean over repeats), and for brain age `prediction_corrected gap gap_corrected`, for classes
    `probability_CLASS` of each and `predicted` (the class, by the threshold chosen in training; `prediction` of
    ordered classes is the expected position from 0), for labels `probability_LABEL` and `predicted_LABEL` of each, for
    survival
    `survival_HORIZON` of each horizon and `risk_group`. The target of survival is a signed time, negative if censored,
    and is repeated in the columns `time` and `event`."""
    groups: dict[str, GroupMetrics]
    label_by_site: LabelBySite
    n_studies: int
    """That count in the metrics."""
    n_subjects: int
    baselines: dict[str, Estimates] = field(default_factory=dict)
    """On the same folds."""
    over_baselines: dict[str, Estimates] = field(default_factory=dict)
    """Probe minus baseline of the primary metric, on the same resamples."""
    per_class: dict[str, Estimates] = field(default_factory=dict)
    """Each class against the rest, for more than two."""
    decisions: Decisions | None = None
    """Of classes: calibration in the large, decision curves and the confusion table."""
    risk_groups: RiskGroups | None = None
    """Of survival: Kaplan-Meier estimates by thirds of predicted risk, and the log-rank test."""
    thresholds: Thresholds | None = None
    """Of ordered classes: AUROC and slope by threshold, and the test of proportional odds."""
    dispersion: Dispersion | None = None
    """Of counts: whether they vary more than Poisson counts."""
    visits: VisitSummary | None = None
    """Of changes: what the samples were made of."""
    labels: dict[str, LabelResult] = field(default_factory=dict)
    """Of several labels: counts, metrics, decisions and the test against chance of each."""
    site_decodability: SiteDecodability | None = None
    permutation: Permutation | None = None
    leakage: Leakage | None = None
    sample_size: SampleSize | None = None
    """Of Riley's criteria; None if they do not cover the kind, or a fitted probe was evaluated."""
    gap: BrainAgeGap | None = None
    attention: Attention | None = None
    """Of probes that pool with attention: their weights, and the metrics of the mean."""
    gap_over_time: GapOverTime | None = None
    """Of brain age, if subjects have several visits."""
    splits: Splits | None = None
    """None if a fitted probe was evaluated on another cohort."""
    fold_scores: FoldScores | None = None
    out_of_fold: OutOfFold | None = None
    """Predictions of each repeat, as cross-validated."""
    warnings: tuple[str, ...] = ()
    """Warnings, a sentence each."""
    caveat: str = ""
    """Of the model that made the features, also the first of the warnings; empty for most models."""

    @property
    def noun(self) -> str:
        """What a row is: a study, or a change between studies."""
        return "change" if self.visits else "study"

    @property
    def kind(self) -> Kind:
        """Kind of the target."""
        return kind_of(self.task)

    def with_caveat(self, caveat: str) -> Evaluation:
        """The same with a model's caveat in front of its warnings; unchanged without one."""
        return replace(self, caveat=caveat, warnings=(caveat, *self.warnings)) if caveat else self

    def metrics_json(self) -> dict[str, Any]:
        """The document of metrics.json."""
        return {
            "task": self.task.name,
            "classes": list(self.task.classes),
            "n_studies": self.n_studies,
            "n_subjects": self.n_subjects,
            "scheme": vars(self.splits.scheme) if self.splits else {"kind": "another cohort"},
            "metrics": _plain(self.metrics),
            "baselines": {name: _plain(found) for name, found in self.baselines.items()},
            "over_baselines": {name: _plain(found) for name, found in self.over_baselines.items()},
            "per_class": {name: _plain(found) for name, found in self.per_class.items()},
            "decisions": self.decisions.to_dict() if self.decisions else None,
            "risk_groups": self.risk_groups.to_dict() if self.risk_groups else None,
            "thresholds": self.thresholds.to_dict() if self.thresholds else None,
            "dispersion": self.dispersion.to_dict() if self.dispersion else None,
            "visits": self.visits.to_dict() if self.visits else None,
            "labels": {name: one.to_dict() for name, one in self.labels.items()},
            "site_decodability": self.site_decodability.to_dict() if self.site_decodability else None,
            "label_by_site": _finite(vars(self.label_by_site)),
            "groups": {name: found.to_dict() for name, found in self.groups.items()},
            "permutation": _finite(vars(self.permutation)) if self.permutation else None,
            "leakage": self.leakage.to_dict() if self.leakage else None,
            "sample_size": self.sample_size.to_dict() if self.sample_size else None,
            "gap": self.gap.to_dict() if self.gap else None,
            "attention": _finite(self.attention.to_dict()) if self.attention else None,
            "gap_over_time": self.gap_over_time.to_dict() if self.gap_over_time else None,
            "folds": self._folds(),
            "caveat": self.caveat,
            "warnings": list(self.warnings),
        }

    def _folds(self) -> dict[str, Any] | None:
        """The primary metric of each fold, and a digest that identifies the folds."""
        if self.splits is None or self.fold_scores is None:
            return None
        digest = hashlib.sha256(self.splits.digest.encode())
        digest.update("\n".join(self.predictions["study"]).encode())
        return _finite(self.fold_scores.to_dict() | {"digest": digest.hexdigest()})

    def compare(self, other: Evaluation) -> Comparison:
        """Test whether this probe differs from another that was evaluated on the same folds.

        Raises:
            UsageError: the folds differ, or one of the two was not cross-validated.
        """
        mine, its = self.fold_scores, other.fold_scores
        if self.splits is None or other.splits is None or mine is None or its is None:
            raise UsageError("only cross-validated probes can be compared: evaluate both by cross-validation")
        if self.splits.digest != other.splits.digest or mine.metric != its.metric:
            raise UsageError(
                "the two probes were evaluated on different folds: evaluate the second with the splits of the first"
            )
        if any(list(self.predictions[key]) != list(other.predictions[key]) for key in ("study", "target")):
            raise UsageError(
                "the two probes were evaluated on different studies or labels: evaluate both on the same ones"
            )
        return corrected_t_test(mine.metric, mine.values, its.values, mine.n_train, mine.n_test)


def _plain(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: one.to_dict() for name, one in estimates.items()}


def _finite(value: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


NOTABLE_DIFFERENCE = 0.05


def fold_scores(samples: Samples, predicted: OutOfFold, splits: Splits) -> FoldScores:
    """The primary metric over the rows of each fold that count; NaN if there are none, or none of a class."""
    tested = [fold.test[samples.eligible[fold.test]] for fold in splits.folds]
    return FoldScores(
        samples.task.primary,
        np.array([_score(samples, predicted, *pair) for pair in zip(splits.folds, tested, strict=True)]),
        np.array([len(fold.train) for fold in splits.folds]),
        np.array([len(rows) for rows in tested]),
        tuple(fold.name for fold in splits.folds),
        predicted.parameters,
    )


def check_scale(samples: Samples, found: FoldScores, overall: float) -> tuple[str, ...]:
    """A warning if a measure of ranking differs within folds from that over all rows.

    Scores of different folds are by different probes. Where these are far apart, as with sites left out, pairs of
    rows of different folds are ordered by the probes as well as by the rows.
    """
    defined = np.isfinite(found.values)
    if samples.kind.chance is None or defined.sum() < 2:
        return ()
    within = float(np.average(found.values[defined], weights=found.n_test[defined]))
    if abs(within - overall) <= NOTABLE_DIFFERENCE:
        return ()
    return (
        f"{samples.kind.words.primary} is {within:.2f} within folds and {overall:.2f} over all of them: the folds' "
        f"scores are not on one scale, and the overall {samples.kind.words.primary} is that of a single scale for all",
    )


def _score(samples: Samples, predicted: OutOfFold, fold: Fold, rows: np.ndarray) -> float:
    if not len(rows):
        return float("nan")
    outcome = predicted.repeats[fold.repeat].take(rows)
    return float(samples.kind.primary_score(samples.y[rows], outcome, np.ones((1, len(rows))))[0])
