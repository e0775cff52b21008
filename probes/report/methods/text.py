"""The text for a paper's methods and results, with the software's versions."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from prima_features._version import __version__
from prima_features.page.digits import brief, number, p_value
from prima_features.probes.evaluation import Estimate, Evaluation
from prima_features.probes.report.content import ReportContent
from prima_features.probes.report.methods.design import design, features, left_out, subjects, target
from prima_features.probes.report.methods.fitting import fitting
from prima_features.probes.report.methods.references import Citations
from prima_features.probes.report.methods.statistics import statistics
from prima_features.probes.report.words import (
    IN_UNITS,
    VARIABLES,
    association,
    baseline,
    decimals,
    decodability,
    in_sentence,
    main_result,
)
from prima_features.wording import listed


def versions(content: ReportContent) -> dict[str, str]:
    """By package, of those that took part."""
    recipe = content.evaluation.recipe
    names = ["scikit-learn", "numpy"]
    names += ["xgboost"] if recipe.estimator == "xgboost" else []
    found = {"prima-features": __version__} | {name: _version(name) for name in names}
    return found | {"Python": platform.python_version()}


def software(content: ReportContent, cite: Citations) -> str:
    """A sentence."""
    citations = {"scikit-learn": " " + cite("scikit-learn"), "numpy": " " + cite("numpy")}
    named = [f"{name} {found}{citations.get(name, '')}" for name, found in versions(content).items()]
    return f"Computed with {', '.join(named[:-1])} and {named[-1]}."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed here"


def results(content: ReportContent) -> str:
    """What this run has, in the order of the page."""
    found = content.evaluation
    parts = [
        main_result(content),
        _other_metrics(found),
        _baselines(found),
        _permutation(found),
        _gap(found),
        _groups(found),
        association(found),
        decodability(found),
        _curve(content),
    ]
    return " ".join(text for text in parts if text)


def _other_metrics(found: Evaluation) -> str:
    said = [
        f"{in_sentence(name)} {_said(found, name, one)}"
        for name, one in found.metrics.items()
        if name != found.task.primary
    ]
    return f"Further, with 95% intervals in brackets: {', '.join(said)}."


def _said(found: Evaluation, name: str, one: Estimate) -> str:
    return brief(one, decimals(name, found), found.task.unit if name in IN_UNITS else "")


def _baselines(found: Evaluation) -> str:
    primary = found.task.primary
    said = [
        f"{baseline(name, found.task).lower()} {_said(found, primary, one[primary])}, difference "
        f"{_said(found, primary, found.over_baselines[name][primary])}"
        for name, one in found.baselines.items()
    ]
    return (
        f"The {in_sentence(primary)} of each baseline, and probe minus baseline: {'; '.join(said)}."
        if said
        else ""
    )


def _permutation(found: Evaluation) -> str:
    test = found.permutation
    return (
        f"Permutation test: p = {p_value(test.p_value)} ({test.n_permutations:,} permutations)."
        if test
        else ""
    )


def _gap(found: Evaluation) -> str:
    gap = found.gap
    if gap is None:
        return ""
    text = (
        f"The mean brain-age gap was {brief(gap.raw_mean, 2, 'years')}, and its correlation with age "
        f"{brief(gap.raw_age_correlation, 2)}"
    )
    if gap.method == "none":
        return text + "."
    return (
        f"{text}; after bias correction {brief(gap.corrected_mean, 2, 'years')} and "
        f"{brief(gap.corrected_age_correlation, 2)}."
    )


def _groups(found: Evaluation) -> str:
    primary = found.task.primary
    said = [
        f"{VARIABLES[name].partition(',')[0].lower()} {_said(found, primary, one.gaps[primary])}"
        for name, one in found.groups.items()
        if one.gaps and np.isfinite(one.gaps[primary].ci_low)
    ]
    return (
        f"The largest difference in {in_sentence(primary)} between levels was, by {listed(said)}; an interval that "
        "starts at 0 does not show a difference."
        if said
        else ""
    )


def _curve(content: ReportContent) -> str:
    if len(content.curve) < 2:
        return ""
    found, whole = content.evaluation, "groups" if content.is_grouped else "subjects"
    primary, (first, last) = found.task.primary, (content.curve[0], content.curve[-1])
    digits = decimals(primary, found)
    return (
        f"With {first.n_groups:,.0f} training {whole} the {in_sentence(primary)} was "
        f"{number(first.estimate.value, digits)}, with {last.n_groups:,.0f} it was "
        f"{number(last.estimate.value, digits)}."
    )


def methods_text(content: ReportContent) -> str:
    """What a methods and a results section need, with the references that are cited in it and no others.

    Args:
        content: an evaluation, and what is known beside it.

    Returns:
        paragraphs under the headings Methods, Results and References, separated by empty lines.
    """
    cite = Citations()
    methods = [
        f"{features(content, cite)} {subjects(content)} {left_out(content)} {target(content)}",
        design(content, cite),
        fitting(content, cite),
        statistics(content, cite),
        software(content, cite),
    ]
    paragraphs = ["Methods", *methods, "Results", results(content), "References", "\n".join(cite.listed())]
    return (
        "\n\n".join("\n".join(" ".join(line.split()) for line in one.splitlines()) for one in paragraphs)
        + "\n"
    )
