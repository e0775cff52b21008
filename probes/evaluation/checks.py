"""What makes numbers on these samples mislead: refused, or said in a sentence beside the result."""

from __future__ import annotations

import numpy as np

from prima_features.errors import UsageError
from prima_features.probes.evaluation.sites import label_by_site, refuse_confounded
from prima_features.probes.evaluation.splits import Scheme
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples

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
    found = []
    if label_by_site(samples).association >= NOTABLE_ASSOCIATION:
        found.append(
            "label and site go together, and ComBat then takes out signal or leaks it (Nieto, arXiv 2410.19643): "
            "compare with the result without it"
        )
    if scheme.kind == "leave-site-out":
        found.append(
            "ComBat knows nothing of a site that is left out: its features are tested as they are, on a probe of "
            "harmonised ones"
        )
    return tuple(found)


def _class_sizes(samples: Samples) -> list[str]:
    groups, y = samples.groups[samples.eligible], samples.y[samples.eligible]
    if not samples.task.is_classification:
        n = len(np.unique(groups))
        return [f"only {n} subjects: expect wide intervals"] if n < FEW_SUBJECTS else []
    counts = [len(np.unique(groups[y == code])) for code in range(len(samples.task.classes))]
    smallest = int(np.argmin(counts))
    name, n = samples.task.classes[smallest], counts[smallest]
    if n < MIN_PER_CLASS:
        raise UsageError(
            f"class {name} has {n} subjects, and a probe needs {MIN_PER_CLASS} of each class at least"
        )
    return [f"class {name} has only {n} subjects: expect wide intervals"] if n < FEW_PER_CLASS else []


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
        f"{left_out} studies are not of known controls: they are predicted, but neither train nor count in the metrics"
    ]


def _repeats(samples: Samples) -> list[str]:
    n_subjects, n_groups = samples.frame["subject"].nunique(), samples.frame["group"].nunique()
    found = []
    if n_subjects < len(samples):
        found.append(
            f"{len(samples)} studies are of {n_subjects} subjects: one's studies stay on one side of every split, "
            "and intervals resample subjects"
        )
    if n_groups < n_subjects:
        found.append(f"{n_subjects} subjects are in {n_groups} groups, which stay on one side of every split")
    return found


def _sites(samples: Samples, scheme: Scheme) -> list[str]:
    association = label_by_site(samples).association
    if not association >= NOTABLE_ASSOCIATION:
        return []
    measure = "Cramer's V" if samples.task.is_classification else "the part of the variance between sites is"
    advice = (
        ""
        if scheme.kind == "leave-site-out"
        else "; look at leave-site-out and at the baseline of the site alone"
    )
    return [
        f"label and site go together ({measure} {association:.2f}): part of the result can be the site's{advice}"
    ]
