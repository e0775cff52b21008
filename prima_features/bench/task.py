"""One task of a bench, from labels to all of its results."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prima_features.bench.few_shot import FewShotPoint, draw_few, few_shot
from prima_features.bench.inputs import Shared
from prima_features.bench.measure import ProbeResults, Rivals, compare, digest, plain, rivals
from prima_features.bench.metric_names import in_sentence
from prima_features.bench.options import BenchOptions, ProbeKind, TaskRequest
from prima_features.bench.sites import SiteResults, sites
from prima_features.errors import UsageError
from prima_features.evaluation.intervals import Estimate
from prima_features.page.digits import brief, decimals_for
from prima_features.probes.change import contrasts
from prima_features.probes.evaluation.checks import check
from prima_features.probes.evaluation.splits import Splits, draw
from prima_features.probes.feature_matrix import series_names
from prima_features.probes.kinds import kind_of
from prima_features.probes.labels import Joined, LabelRequest, join, task_of
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task
from prima_features.wording import count, listed, verb

_NOT_SHARED = "not in all embeddings files"


@dataclass(frozen=True)
class TaskResult:
    """All encoders on one task."""

    key: str
    """Name of the task, or the column of a custom one."""
    task: Task
    n_studies: int
    """That count in the metrics."""
    n_subjects: int
    probes: dict[str, ProbeResults]
    """By kind of probe, the main one first."""
    rivals: Rivals
    folds: dict[str, Any]
    """Scheme and digest of the folds."""
    sites: SiteResults
    few_shot: dict[str, tuple[FewShotPoint, ...]]
    """By encoder; empty unless the target is classes without order, or if a class has fewer than two subjects."""
    warnings: tuple[str, ...]
    """A sentence each."""

    @property
    def main(self) -> ProbeResults:
        """Results of the main kind of probe."""
        return next(iter(self.probes.values()))

    @property
    def higher_is_better(self) -> bool:
        """Of the primary metric."""
        return kind_of(self.task).higher_is_better

    @property
    def ranked(self) -> list[str]:
        """Encoders from the best to the worst by the primary metric."""
        return self.main.ranked(self.higher_is_better, self.task.primary)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        main, others = self.main.to_dict(), list(self.probes.items())[1:]
        return {
            "task": self.task.name,
            "kind": self.task.kind,
            "classes": list(self.task.classes),
            "labels": list(self.task.labels),
            "unit": self.task.unit,
            "horizons": list(self.task.horizons),
            "primary": self.task.primary,
            "higher_is_better": self.higher_is_better,
            "n_studies": self.n_studies,
            "n_subjects": self.n_subjects,
            **main,
            "baselines": {name: plain(found) for name, found in self.rivals.metrics.items()},
            "over_baselines": {name: plain(found) for name, found in self.rivals.over.items()},
            "probes": {kind: found.to_dict() for kind, found in others},
            **self.sites.to_dict(),
            "few_shot": {name: [vars(point) for point in curve] for name, curve in self.few_shot.items()},
            "folds": self.folds,
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class PreparedTask:
    """A task whose labels have been read and checked."""

    asked: TaskRequest
    joined: Joined
    """Labels of the shared studies."""
    splits: Splits
    n_rows: int
    """Rows that probes are fitted on and evaluated with: studies, or changes between them."""
    probes: tuple[ProbeKind, ...]
    """Those of the options that can predict the target."""
    n_fits: int
    """Evaluated fits of all encoders and probes, without those of inner folds."""
    warnings: tuple[str, ...]


def prepare(shared: Shared, asked: TaskRequest, request: LabelRequest, options: BenchOptions) -> PreparedTask:
    """Read the labels of a task, check them and draw the folds. Nothing is fitted.

    Raises:
        UsageError: see `labels.join`, `checks.check` and `splits.draw`.
    """
    joined = _shared_studies(shared, join(shared.embeddings, asked.labels(request)))
    given, notes = _samples(shared, joined)
    some = next(iter(given.values()))
    found = check(some, options.scheme, allow_confounded=options.allow_confounded)
    splits = draw(some, options.scheme)
    probes = tuple(kind for kind in options.probes if kind == "linear" or kind in some.kind.estimators)
    if not probes:
        raise UsageError(f"{listed(options.probes)} cannot predict {asked.key}: add linear to --probes")
    n_fits = len(given) * len(probes) * len(splits.folds)
    return PreparedTask(
        asked, joined, splits, len(some.frame), probes, n_fits, (*joined.warnings, *notes, *found)
    )


def measure(shared: Shared, prepared: PreparedTask, options: BenchOptions) -> TaskResult:
    """Compare all encoders on one task."""
    given, splits = _samples(shared, prepared.joined)[0], prepared.splits
    some = next(iter(given.values()))
    made: dict[str, ProbeResults] = {kind: compare(given, options, kind, splits) for kind in prepared.probes}
    main = next(iter(made.values()))
    tested = np.unique(np.concatenate([fold.test for fold in splits.folds]))
    counted = tested[some.eligible[tested]]
    result = TaskResult(
        prepared.asked.key,
        some.task,
        len(counted),
        int(some.frame["subject"].iloc[counted].nunique()),
        made,
        rivals(main.results, main.encoders, some, splits),
        {"scheme": vars(splits.scheme), "digest": digest(splits, list(some.frame["study"]))},
        sites(given, main, options),
        _few_shot(given, options),
        prepared.warnings,
    )
    return replace(result, warnings=(*result.warnings, *_within_noise(result), *_below_baselines(result)))


def _shared_studies(shared: Shared, joined: Joined) -> Joined:
    """Without the studies that some embeddings file lacks, which count as unmatched.

    Raises:
        UsageError: no labelled study is left.
    """
    import pandas as pd

    is_shared = joined.frame["row"].isin(shared.studies["row"])
    lost = joined.frame.loc[~is_shared, ["study"]].assign(reason=_NOT_SHARED, detail="")
    if not is_shared.any():
        raise UsageError(
            f"none of the {count(len(joined.frame), 'labelled study')} is in all embeddings files: embed them with "
            "each encoder"
        )
    unmatched = pd.concat([joined.unmatched_studies, lost], ignore_index=True)
    return replace(joined, frame=joined.frame[is_shared].reset_index(drop=True), unmatched_studies=unmatched)


def _few_shot(given: dict[str, Samples], options: BenchOptions) -> dict[str, tuple[FewShotPoint, ...]]:
    some = next(iter(given.values()))
    if some.kind.name != "classes":
        return {}
    return few_shot(given, draw_few(some, options.n_draws, options.scheme.seed))


def _samples(shared: Shared, joined: Joined) -> tuple[dict[str, Samples], tuple[str, ...]]:
    """Labelled studies of each encoder, or changes between them, row by row the same but for the vectors; and
    warnings."""
    task, kept = task_of(joined), joined.frame
    place = {int(row): i for i, row in enumerate(shared.studies["row"])}
    rows = [place[int(row)] for row in kept["row"]]
    if joined.task == "change":
        series = series_names(shared.embeddings, kept["row"])
        made = contrasts(kept, joined.request.change, series)
        changed = made.frame(kept)
        given = {one.name: samples(made.features(one.X[rows]), changed, task) for one in shared.encoders}
        return given, made.warnings
    return {one.name: samples(one.X[rows], kept, task) for one in shared.encoders}, ()


def _within_noise(result: TaskResult) -> tuple[str, ...]:
    """A warning that names the encoders which do not differ from the best one beyond noise."""
    if len(result.ranked) < 2:
        return ()
    best, *others = result.ranked
    noise = {
        ({one.first, one.second} - {best}).pop(): one
        for one in result.main.differences
        if best in (one.first, one.second) and one.within_noise
    }
    near = [name for name in others if name in noise]
    if not near:
        return ()
    metric, one = result.task.primary, noise[near[0]]
    sign = 1 if one.first == best else -1
    gap = one.estimate if sign == 1 else negative(one.estimate)
    decimals = 3 if result.higher_is_better else decimals_for(result.main.encoders[best][metric].value)
    everyone = len(near) == len(others)
    said = (
        f"no encoder differs from the best one, {best}, beyond noise"
        if everyone
        else f"{listed(near)} {verb(len(near), 'does', 'do')} not differ from the best encoder, {best}, beyond noise"
    )
    return (
        f"{said} ({in_sentence(metric)} of {best} minus {near[0]}: {brief(gap, decimals)}, adjusted p = "
        f"{one.p_holm:.2g})",
    )


def negative(one: Estimate) -> Estimate:
    """The estimate of the opposite difference."""
    return Estimate(0.0 - one.value, 0.0 - one.ci_high, 0.0 - one.ci_low)


def _below_baselines(result: TaskResult) -> tuple[str, ...]:
    """A warning for each baseline that the best encoder does not beat."""
    best = result.ranked[0]
    sign = 1 if result.higher_is_better else -1
    lost = [
        name
        for name, one in result.rivals.over[best].items()
        if np.isfinite(one.ci_low) and not sign * (one.ci_low if sign == 1 else one.ci_high) > 0
    ]
    if not lost:
        return ()
    return (f"the best encoder, {best}, does not beat the baseline {listed(lost, 'or')} beyond noise",)
