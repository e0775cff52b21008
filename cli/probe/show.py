"""How results of probes look on the console."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

from prima_features.cli.console import count, err, out, table
from prima_features.wording import verb

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from prima_features.probes.evaluation import Evaluation
    from prima_features.probes.evaluation.over_time import GapOverTime
    from prima_features.probes.labels import Joined, JoinSummary
    from prima_features.probes.runs import FitPlan

_EXAMPLES = 3


class _Progress(logging.Handler):
    """Shows the steps of a run, and after a step what the evaluation logs: its folds and permutations."""

    def __init__(self, show: Callable[[str], None], seconds: float) -> None:
        super().__init__(logging.INFO)
        self._show, self._seconds = show, seconds
        self._step, self._shown = "", time.monotonic()

    def step(self, text: str) -> None:
        """Show the next step."""
        self._step, self._shown = text, time.monotonic()
        self._show(text)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message unless another was shown within the last `seconds`."""
        now = time.monotonic()
        if record.levelno == logging.INFO and now - self._shown >= self._seconds:
            self._shown = now
            self._show(f"{self._step}: {record.getMessage()}")


@contextmanager
def steps(seconds: float = 30.0) -> Iterator[Callable[[str], None]]:
    """What is being done: a line that changes on a terminal, a plain line each otherwise.

    Args:
        seconds: least time between two plain lines of one step, so that a long one shows how far it is.
    """
    logger = logging.getLogger("prima_features.probes.evaluation")
    before = logger.level
    with ExitStack() as stack:
        if err.is_terminal:
            status = stack.enter_context(err.status(""))
            progress = _Progress(lambda text: status.update(f"{escape(text)} ..."), 0.0)
        else:
            progress = _Progress(lambda text: err.print(f"{escape(text)} ..."), seconds)
        logger.addHandler(progress)
        logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
        try:
            yield progress.step
        finally:
            logger.removeHandler(progress)
            logger.setLevel(before)


def print_warnings(warnings: Iterable[str]) -> None:
    """A line each, on stderr."""
    for warning in warnings:
        err.print(f"[yellow]Warning:[/] {escape(warning)}")


def print_evaluation(evaluation: Evaluation) -> None:
    """The metrics with their intervals, next to those of the baselines."""
    studies = f"{count(evaluation.n_studies, evaluation.noun)} of {evaluation.n_subjects} subjects"
    scheme = evaluation.splits.scheme.kind if evaluation.splits else "another cohort"
    out.print(f"[bold]{escape(evaluation.task.name)}[/], {scheme}: {studies}; 95% intervals over subjects")
    shown = table("", "probe", *evaluation.baselines)
    columns = [evaluation.metrics, *evaluation.baselines.values()]
    for name in evaluation.task.metrics:
        shown.add_row(name, *(str(found[name]) for found in columns))
    out.print(shown)
    if (attention := evaluation.attention) is not None and attention.over_mean is not None:
        primary = evaluation.task.primary
        out.print(
            f"Mean pooling in the same folds: {primary} {attention.mean[primary]}; attention minus mean "
            f"{attention.over_mean}"
        )
    if evaluation.labels:
        shown = table("label", "present", "absent", "unknown", "auroc", "auprc", "p (Holm)")
        for name, own in evaluation.labels.items():
            counts = (own.n_positive, own.n - own.n_positive, own.n_unknown)
            metrics = (str(own.metrics[metric]) for metric in ("auroc", "auprc"))
            shown.add_row(escape(name), *map(str, counts), *metrics, f"{own.p_holm:.3g}")
        out.print(shown)
    if (site := evaluation.site_decodability) is not None:
        after = "" if site.harmonized is None else f" before harmonisation and {site.harmonized} after it"
        out.print(
            f"Site decodability: balanced accuracy {site.balanced_accuracy}{after}; chance is {site.chance:.3g}"
        )
    if (permutation := evaluation.permutation) is not None:
        out.print(
            f"Permutation test: p = {permutation.p_value:.3g} with {permutation.n_permutations} permutations"
        )
    if (leakage := evaluation.leakage) is not None:
        for within, one in leakage.shuffled.items():
            out.print(
                f"Labels permuted within each {within}: {one.metric} {one.mean:.3g} ({one.low:.3g} to {one.high:.3g}), "
                f"with the true labels {one.observed:.3g}; p = {one.p_value:.2g}"
            )
        for within, reason in leakage.not_possible.items():
            out.print(f"Labels were not permuted within each {within}: {reason}")
        if leakage.n_twins is None:
            out.print("Too many studies to look for one scan under two names")
        else:
            out.print(
                f"{count(leakage.n_twins, 'pair')} of studies of different subjects with nearly the same features"
            )
    if (gap := evaluation.gap) is not None:
        out.print(f"The gap's correlation with age: {gap.raw_age_correlation}", end="")
        corrected = f"; after correction ({gap.method}) {gap.corrected_age_correlation}"
        out.print(corrected if gap.method != "none" else "")
    _print_over_time(evaluation.gap_over_time)


def _print_over_time(found: GapOverTime | None) -> None:
    if found is not None and (retest := found.retest) is not None:
        out.print(
            f"Test-retest reliability of the gap (ICC(2,1), {count(retest.n_subjects, 'subject')} within "
            f"{retest.max_days:g} days): {retest.icc}"
        )
    if found is not None and found.model is not None:
        effects = found.model.effects
        more = (
            f"; patients minus controls {effects['years_patient'].estimate}" if "patient" in effects else ""
        )
        whose = " of controls" if "patient" in effects else ""
        out.print(
            f"Change of the gap{whose} in years per year (mixed model): {effects['years'].estimate}{more}"
        )


def print_plan(plan: FitPlan) -> None:
    """What `--dry-run` shows: who trains, who is only predicted, who is left out and why, and the labels by site."""
    from prima_features.probes.evaluation.sizes import size_sentence

    frame, trains = plan.data.frame, plan.trains
    print_join(plan.data.joined, plan.data.join)
    classes = plan.data.task.classes
    shown = ", ".join(f"{name} {int((frame['target'][trains] == name).sum())}" for name in classes)
    subjects = count(frame["subject"][trains].nunique(), "subject")
    rows = count(int(trains.sum()), plan.data.noun)
    out.print(
        f"[bold]{rows} of {subjects} would be used for training[/] and in the metrics"
        + (f": {escape(shown)}" if shown else "")
    )
    if (~trains).any():
        out.print(
            f"{count(int((~trains).sum()), 'study')} would only be predicted: not known to be of controls"
        )
    if plan.sample_size is not None:
        out.print(size_sentence(plan.sample_size))
    out.print("All checks of the fit have passed; nothing was written.")


def print_join(joined: Joined, summary: JoinSummary) -> None:
    """What matched, what did not and why, and the labels by site."""
    have = verb(summary.n_matched, "has", "have")
    matched = f"{summary.n_matched:,} of {count(summary.n_studies, 'study')} {have} a label"
    subjects = count(summary.n_groups, "subject or family", "subjects or families")
    out.print(f"[bold]{matched}[/], of {subjects}")
    _print_lost("study", summary.study_reasons, joined.unmatched_studies, "study")
    _print_lost("label row", summary.label_reasons, joined.unmatched_labels, "id")
    if summary.classes:
        what = "Studies with each label" if joined.labels else "Classes"
        out.print(f"{what}: {', '.join(f'{escape(name)} {n:,}' for name, n in summary.classes.items())}")
    elif summary.target_range:
        low, mean, high = summary.target_range
        out.print(f"Target: {low:.4g} to {high:.4g}, mean {mean:.4g}")
    _print_frame(summary.by_site)


def _print_lost(noun: str, reasons: Mapping[str, int], lost: pd.DataFrame, key: str) -> None:
    for reason, n in reasons.items():
        own = lost[lost["reason"] == reason].head(_EXAMPLES)
        examples = ", ".join(
            f"{name} ({detail})" if detail else str(name)
            for name, detail in zip(own[key], own["detail"], strict=True)
        )
        out.print(f"[yellow]{count(n, noun)} not used[/]: {escape(reason)}, such as {escape(examples)}")


def _print_frame(by_site: pd.DataFrame) -> None:
    shown = table("site", *map(str, by_site.columns))
    for site, row in zip(by_site.index, by_site.to_numpy(), strict=True):
        shown.add_row(escape(str(site)), *(f"{value:.4g}" for value in row))
    out.print(shown)
