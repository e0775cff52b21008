"""What can make the numbers on these samples misleading: refused, or reported in a sentence with the result.

Among it, how much of the site is in the labels and in the embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from prima_features.errors import UsageError
from prima_features.evaluation.intervals import Estimate
from prima_features.probes.evaluation.scored import cross_validate, scored
from prima_features.probes.evaluation.splits import Scheme, draw
from prima_features.probes.recipe import Recipe
from prima_features.probes.samples import Samples, samples
from prima_features.probes.tasks import Task
from prima_features.wording import count, verb

NOTABLE_ASSOCIATION = 0.3


_MIN_GROUPS = 10
_READER = Recipe("logistic", {"C": (1e-4, 1e-2, 1.0), "components": 128}, inner_folds=3)


@dataclass(frozen=True)
class SiteDecodability:
    """How well the site can be read from the embedding, by logistic regression in grouped cross-validation."""

    balanced_accuracy: Estimate
    """From the features as they are."""
    chance: float
    """1 over the number of sites."""
    sites: tuple[str, ...]
    """With at least 10 subjects; the others are left out."""
    harmonized: Estimate | None = None
    """Balanced accuracy after harmonisation fitted in the same folds; None if the probe does not harmonise."""
    unconverged: tuple[float, ...] = ()
    """Inverse penalties with which a logistic regression did not converge."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "balanced_accuracy": self.balanced_accuracy.to_dict(),
            "chance": self.chance,
            "n_sites": len(self.sites),
            "harmonized": self.harmonized.to_dict() if self.harmonized else None,
        }


def site_decodability(
    given: Samples, n_resamples: int = 1000, seed: int = 0, recipe: Recipe | None = None
) -> SiteDecodability | None:
    """Read the site from the features; None if fewer than two sites have 10 subjects.

    Uses the sites' rows whatever their labels, and five folds grouped by subject. A subject scanned at several
    sites is kept on one side.

    Args:
        given: studies with their sites.
        n_resamples: for the intervals.
        seed: of folds and resamples.
        recipe: the probe's. If it harmonises, the site is also read from features harmonised as in the probe,
            fitted on each training fold alone.
    """
    sites, groups = given.sites, given.groups
    names = [
        str(site)
        for site in np.unique(sites[sites != ""])
        if len(np.unique(groups[sites == site])) >= _MIN_GROUPS
    ]
    if len(names) < 2:
        return None
    rows = np.flatnonzero(np.isin(sites, names))
    task = Task("site", "the site of the scan", tuple(names))
    frame = given.frame.iloc[rows].assign(target=sites[rows])
    if given.task.is_age:  # whose effect the probe's harmonisation does not keep
        frame = frame.assign(age=np.nan)
    asked = samples(given.X[rows], frame.reset_index(drop=True), task)
    splits = draw(asked, Scheme(inner_folds=3, seed=seed))

    unconverged = set[float]()

    def accuracy(reader: Recipe) -> Estimate:
        predicted = cross_validate(asked, reader, splits)
        unconverged.update(predicted.unconverged)
        return scored(asked, predicted, n_resamples, seed).estimates()["balanced_accuracy"]

    harmonizes = recipe is not None and recipe.harmonize != "none"
    as_given = accuracy(_READER)
    harmonized = accuracy(replace(_READER, harmonize=recipe.harmonize)) if recipe and harmonizes else None
    return SiteDecodability(as_given, 1 / len(names), tuple(names), harmonized, tuple(sorted(unconverged)))


@dataclass(frozen=True)
class LabelBySite:
    """The labels at each site."""

    table: dict[str, dict[str, float]]
    """By site, a summary that depends on the kind of target. Unknown sites are under ``."""
    association: float
    """See `Kind.by_site`, less what many small sites show by chance: 0 none, 1 the site determines the label. NaN if
    fewer than two sites are known."""


def label_by_site(given: Samples) -> LabelBySite:
    """Tabulate the labels of eligible rows by site."""
    rows = given.eligible
    table, association = given.kind.by_site(given.y[rows], given.sites[rows])
    return LabelBySite(table, association)


def refuse_confounded(given: Samples) -> None:
    """Refuse labels that the site alone gives.

    Raises:
        UsageError: see `Kind.confounded`.
    """
    if found := given.kind.confounded(given.y[given.eligible], given.sites[given.eligible]):
        raise UsageError(
            f"{found}, so a probe would learn the site and not {given.task.name}: add sites with several classes, or "
            "continue with --allow-confounded"
        )


def check(samples: Samples, scheme: Scheme, *, allow_confounded: bool = False) -> tuple[str, ...]:
    """Check for problems that a reviewer would object to.

    Args:
        samples: what is to be evaluated.
        scheme: how it is evaluated.
        allow_confounded: continue if the site determines the label.

    Returns:
        a sentence per warning.

    Raises:
        UsageError: there are too few subjects, or each site has a single class.
    """
    if not samples.eligible.any():
        raise UsageError(
            "no study is of a control, but this task is fitted on controls: check --control-column"
        )
    eligible = samples.eligible
    sizes = samples.kind.check_sizes(samples.y[eligible], samples.groups[eligible])
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
    """Reasons against ComBat on these samples, a sentence each."""
    if recipe.harmonize == "none":
        return ()
    found = _not_separable(samples, recipe)
    if label_by_site(samples).association >= NOTABLE_ASSOCIATION:
        found.append(
            "label and site are associated, so ComBat can remove or leak signal (Nieto, arXiv 2410.19643): compare "
            "with the result without harmonisation"
        )
    if scheme.kind == "leave-site-out":
        found.append(
            "ComBat cannot harmonise the left-out site: the probe is fitted on harmonised features and tested on "
            "unharmonised ones"
        )
    return tuple(found)


def _not_separable(samples: Samples, recipe: Recipe) -> list[str]:
    """Covariates that ComBat cannot keep because each site has a single value of them."""
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
    return [f"the effect of {what} cannot be separated from that of the site, so ComBat removes both"]


def _controls(samples: Samples) -> list[str]:
    if not samples.task.fit_on_controls:
        return []
    control = samples.frame["control"].to_numpy(dtype=float)
    if np.isnan(control).all():
        return [
            "controls are unknown (see --control-column): the probe is trained on all subjects, including any patients"
        ]
    left_out = int((~samples.eligible).sum())
    if not left_out:
        return []
    return [
        f"{count(left_out, 'study')} {verb(left_out, 'is', 'are')} not of known controls: predicted, but not used for "
        "training or metrics"
    ]


def _repeats(samples: Samples) -> list[str]:
    n_subjects, n_groups = samples.frame["subject"].nunique(), samples.frame["group"].nunique()
    found = []
    if n_subjects < len(samples):
        found.append(
            f"{len(samples)} studies are of {count(n_subjects, 'subject')}: all studies of a subject stay on one side "
            "of every split, and intervals resample subjects"
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
    advice = (
        ""
        if scheme.kind == "leave-site-out"
        else "; see --scheme leave-site-out and the baseline of the site alone"
    )
    return [
        f"label and site are associated ({samples.kind.words.association} {association:.2f}): part of the result can "
        f"come from the site{advice}"
    ]
