"""What makes numbers on these samples mislead: refused, or said in a sentence beside the result."""

from __future__ import annotations

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.evaluation.sites import label_by_site, refuse_confounded
from prima_features.probes.evaluation.splits import Scheme
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples
from prima_features.wording import count, verb

MIN_PER_CLASS = 5
FEW_PER_CLASS = 20
FEW_SUBJECTS = 50
NOTABLE_ASSOCIATION = 0.3


def check(samples: Samples, scheme: Scheme, *, allow_confounded: bool = False) -> tuple[str, ...]:
    """Look for what a reviewer would object to.

    Args:
        samples: what is to be evaluated.
        scheme: how.
        allow_confounded: go on where the site gives the label.

    Returns:
        a sentence for each thing to know.

    Raises:
        UsageError: fewer than `MIN_PER_CLASS` subjects in a class, or each site holds a single class.
    """
    if not samples.eligible.any():
        raise UsageError(
            "no study is of a control, and the probe is fitted on controls: see the control column"
        )
    sizes = _class_sizes(samples)
    if not allow_confounded:
        refuse_confounded(samples)
    found = [
        *sizes,
        *_controls(samples),
        *_repeats(samples),
        *_sites(samples, scheme),
    ]
    return tuple(found)


def check_harmonization(samples: Samples, recipe: Recipe, scheme: Scheme) -> tuple[str, ...]:
    """What speaks against ComBat on these samples, a sentence each."""
    if recipe.harmonize == "none":
        return ()
    found = _not_separable(samples, recipe)
    if label_by_site(samples).association >= NOTABLE_ASSOCIATION:
        found.append(
            "label and site are associated, and ComBat can then remove signal or leak it (Nieto, arXiv 2410.19643): "
            "compare with the result without harmonisation"
        )
    if scheme.kind == "leave-site-out":
        found.append(
            "ComBat cannot harmonise a site that was left out: its unharmonised features meet a probe that was fitted "
            "on harmonised ones"
        )
    return tuple(found)


def _not_separable(samples: Samples, recipe: Recipe) -> list[str]:
    """Covariates that ComBat cannot keep, as each site has one value of them."""
    from prima_features.probes.steps.adjust import separable

    rows = samples.sites != ""
    names = ("sex",) if samples.task.is_age else ("age", "sex")
    given = samples.covariates(names)[rows]
    known = np.isfinite(given).any(axis=0)
    filled = np.where(np.isfinite(given), given, 0)
    lost = [
        name
        for i, name in enumerate(names)
        if known[i] and np.ptp(filled[:, i]) > 0 and not separable(filled[:, [i]], samples.sites[rows])[0]
    ]
    if not lost:
        return []
    what = " and ".join(lost)
    return [
        f"{what} cannot be separated from the site, so ComBat removes the effect of {what} with that of the site"
    ]


def _class_sizes(samples: Samples) -> list[str]:
    groups, y = samples.groups[samples.eligible], samples.y[samples.eligible]
    if not samples.task.is_classification:
        n = len(np.unique(groups))
        return [f"only {count(n, 'subject')}: expect wide intervals"] if n < FEW_SUBJECTS else []
    counts = [len(np.unique(groups[y == code])) for code in range(len(samples.task.classes))]
    smallest = int(np.argmin(counts))
    name, n = samples.task.classes[smallest], counts[smallest]
    if n < MIN_PER_CLASS:
        raise UsageError(
            f"class {name} has {count(n, 'subject')}, and a probe needs at least {MIN_PER_CLASS} of each class"
        )
    return (
        [f"class {name} has only {count(n, 'subject')}: expect wide intervals"] if n < FEW_PER_CLASS else []
    )


def _controls(samples: Samples) -> list[str]:
    if not samples.task.fit_on_controls:
        return []
    control = samples.frame["control"].to_numpy(dtype=float)
    if np.isnan(control).all():
        return ["it is not known who is a control: all subjects train, patients included if there are any"]
    left_out = int((~samples.eligible).sum())
    if not left_out:
        return []
    return [
        f"{count(left_out, 'study')} {verb(left_out, 'is', 'are')} not of known controls: "
        f"{verb(left_out, 'it is', 'they are')} predicted, but not used for training or metrics"
    ]


def _repeats(samples: Samples) -> list[str]:
    n_subjects, n_groups = samples.frame["subject"].nunique(), samples.frame["group"].nunique()
    found = []
    if n_subjects < len(samples):
        found.append(
            f"{len(samples)} studies are of {count(n_subjects, 'subject')}: the studies of a subject "
            "stay on one side of every split, and intervals resample subjects"
        )
    if n_groups < n_subjects:
        found.append(
            f"{n_subjects} subjects are in {count(n_groups, 'group')}, which stay on one side of every split"
        )
    return found


def _sites(samples: Samples, scheme: Scheme) -> list[str]:
    association = label_by_site(samples).association
    if not association >= NOTABLE_ASSOCIATION:
        return []
    measure = (
        "Cramer's V with Bergsma's bias correction"
        if samples.task.is_classification
        else "epsilon squared, the share of the variance between sites,"
    )
    advice = (
        ""
        if scheme.kind == "leave-site-out"
        else "; see --scheme leave-site-out and the baseline of the site alone"
    )
    return [
        f"label and site are associated ({measure} {association:.2f}): part of the result can come from the site"
        f"{advice}"
    ]
