"""How results of probes look on the console."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.markup import escape

from prima_features.cli.console import count, err, out, table

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from prima_features.probes.evaluation import Evaluation
    from prima_features.probes.labels import Joined, JoinSummary
    from prima_features.probes.runs import FitPlan

_EXAMPLES = 3


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """What is being done: a line that changes on a terminal, a plain line each otherwise."""
    if not err.is_terminal:
        yield lambda step: err.print(f"{step} ...")
        return
    with err.status("") as status:
        yield lambda step: status.update(f"{escape(step)} ...")


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
    matched = f"{summary.n_matched} of {count(summary.n_studies, 'study')} have a label"
    out.print(f"[bold]{matched}[/], of {summary.n_groups} subjects or families")
    _print_lost("study", summary.study_reasons, joined.unmatched_studies, "study")
    _print_lost("label row", summary.label_reasons, joined.unmatched_labels, "id")
    if summary.classes:
        what = "Studies with each label" if joined.labels else "Classes"
        out.print(f"{what}: {', '.join(f'{escape(name)} {n}' for name, n in summary.classes.items())}")
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
        who = count(n, noun) if noun == "study" else f"{n} {noun}{'s' * (n != 1)}"
        out.print(f"[yellow]{who} not used[/]: {escape(reason)}, such as {escape(examples)}")


def _print_frame(by_site: pd.DataFrame) -> None:
    shown = table("site", *map(str, by_site.columns))
    for site, row in zip(by_site.index, by_site.to_numpy(), strict=True):
        shown.add_row(escape(str(site)), *(f"{value:.4g}" for value in row))
    out.print(shown)
