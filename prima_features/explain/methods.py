"""The methods: how much each token of one series contributes to the target.

lime          masks over groups of neighbouring tokens, complements in pairs, until two halves of the samples agree
lime-public   LIME as the public code runs it
leave-out     each group of tokens removed alone
gradients     gradient times input, one pass
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from prima_features.encoders.prima.networks.transformer import PLACE_DIM
from prima_features.explain.groups import group_tokens
from prima_features.explain.passes import MaskedSeries, Passes, Target
from prima_features.explain.regression import Fit, cosine_weights, public_masks, ridge

Method = Literal["lime", "lime-public", "leave-out", "gradients"]
METHODS: dict[Method, str] = {
    "lime": "ridge regression on masks over groups of neighbouring tokens, drawn until two halves of them agree",
    "lime-public": "LIME as published: one mask per token, ridge regression with uniform weights",
    "leave-out": "each group of neighbouring tokens removed alone",
    "gradients": "gradient of the target times the token's vector, summed",
}
COVERAGE = 0.9
"""Of the interval that the spread gives: coefficient plus or minus spread."""
_Z = 1.6448536
"""Of that interval under a normal distribution."""
_HALVINGS = 25
"""Random halvings of the samples, for agreement and spread."""
_SAMPLES_PER_GROUP = 8
"""Most groups are this many times fewer than the samples."""
_FIRST_SAMPLES = 128


@dataclass(frozen=True)
class Sampling:
    """How many passes a method may take."""

    samples: int = 1000
    """Passes at most; LIME as published takes exactly these."""
    seed: int = 0
    agreement: float = 0.9
    """Correlation of the coefficients from two halves of the samples at which sampling stops."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """What each of N tokens of one series contributes to the target."""

    method: Method
    coefficient: np.ndarray
    """(N,) float64, the change of the target when the token is there. Of a group, each token has an equal share; so
    has each of two tokens at one place."""
    spread: np.ndarray
    """(N,) half-width of the 90% interval of the coefficient over samples; NaN if the method has none."""
    group: np.ndarray
    """(N,) which tokens were switched together."""
    block: tuple[int, int, int] = (1, 1, 1)
    """Tokens of a group along (z, y, x)."""
    n_samples: int = 0
    agreement: float | None = None
    """Mean correlation between the coefficients from two halves of the samples."""
    agreed: bool | None = None
    """Whether that is what was asked for."""
    intercept: float | None = None
    r2: float | None = None
    """Of the regression, on the samples it was fitted to."""

    @property
    def warning(self) -> str:
        """What is wrong with the agreement of the halves; empty if nothing is."""
        if self.agreement is None or self.agreed:
            return ""
        if self.n_groups == 1:
            return "it has one token, which cannot be removed"
        if not np.isfinite(self.agreement):
            return "the target is the same whichever tokens are removed"
        # Rounded down: 0.899 is not shown as 0.90.
        shown = np.floor(100 * self.agreement) / 100
        return f"two halves of the samples correlate at {shown:.2f} only; use more --samples"

    @property
    def n_groups(self) -> int:
        """How many groups were switched."""
        return int(self.group.max()) + 1


def attribute(series: MaskedSeries, method: Method, sampling: Sampling) -> Attribution:
    """What each token of a series contributes to the target, by one of the methods."""
    match method:
        case "lime":
            return lime(series, sampling)
        case "lime-public":
            return lime_public(series, sampling)
        case "leave-out":
            return leave_out(series, sampling)
        case "gradients":
            return gradients(series)


def lime_public(series: MaskedSeries, sampling: Sampling) -> Attribution:
    """LIME as the public code runs it on one series; tokens kept twice are switched separately."""
    n = len(series)
    masks = public_masks(n, sampling.samples, sampling.seed)
    outputs = series.outputs(masks, sampling.samples)
    weights = np.ones(len(masks))
    fit = ridge(masks, outputs, weights)
    spread, agreement = _halves(masks, outputs, weights, np.arange(len(masks)), sampling.seed)
    return Attribution(
        "lime-public",
        fit.coefficient,
        spread,
        np.arange(n),
        n_samples=len(masks),
        agreement=agreement,
        agreed=agreement >= sampling.agreement,
        intercept=fit.intercept,
        r2=fit.r2,
    )


def lime(series: MaskedSeries, sampling: Sampling) -> Attribution:
    """LIME on groups of tokens, with the kernel that the public code was meant to have.

    Masks come in pairs, each with its complement: what groups do in pairs, or any even number together, cancels in
    the coefficients. There are at most an eighth as many groups as samples. Samples are added until the coefficients
    from two halves of them correlate as asked, or `sampling.samples` is reached.
    """
    most = max(2, sampling.samples // _SAMPLES_PER_GROUP)
    group, block = group_tokens(series.coord, series.size, series.spacing, most)
    n_groups = int(group.max()) + 1
    rng = np.random.default_rng(sampling.seed)
    masks = np.ones((1, n_groups), dtype=bool)
    outputs = series.outputs(masks[:, group], sampling.samples)
    wanted = max(_FIRST_SAMPLES, 4 * n_groups)
    while True:
        wanted = min(wanted, sampling.samples)
        drawn = _pairs(rng, n_groups, wanted - len(masks))
        masks = np.concatenate([masks, drawn])
        added = series.outputs(drawn[:, group], sampling.samples, len(outputs))
        outputs = np.concatenate([outputs, added])
        weights = cosine_weights(masks)
        pair = np.concatenate([[-1], np.arange(len(masks) - 1) // 2])
        spread, agreement = _halves(masks, outputs, weights, pair, sampling.seed)
        if agreement >= sampling.agreement or len(masks) + 1 >= sampling.samples:
            break
        wanted = wanted * 3 // 2
    fit = ridge(masks, outputs, weights)
    share = _shares(group)
    return Attribution(
        "lime",
        fit.coefficient[group] * share,
        spread[group] * share,
        group,
        block,
        n_samples=len(masks),
        agreement=agreement,
        agreed=agreement >= sampling.agreement,
        intercept=fit.intercept,
        r2=fit.r2,
    )


def leave_out(series: MaskedSeries, sampling: Sampling) -> Attribution:
    """The fall of the target when one group of tokens is removed; as many groups as there may be passes.

    There is nothing random in it, so it has no spread.
    """
    group, block = group_tokens(series.coord, series.size, series.spacing, max(2, sampling.samples - 1))
    n_groups = int(group.max()) + 1
    removed = np.eye(n_groups, dtype=bool)
    masks = np.concatenate([np.ones((1, n_groups), dtype=bool), ~removed]) if n_groups > 1 else removed
    outputs = series.outputs(masks[:, group], len(masks))
    fall = (outputs[0] - outputs[1:])[group] if n_groups > 1 else np.zeros(len(group))
    nothing = np.full(len(group), np.nan)
    return Attribution("leave-out", fall * _shares(group), nothing, group, block, n_samples=len(masks))


def gradients(series: MaskedSeries) -> Attribution:
    """Gradient times input over each token's latent, not over its place: a quick look without a spread."""
    vectors, gradient = series.passes.gradient(series.index, series.target)
    product = (vectors * gradient)[:, :-PLACE_DIM].sum(axis=1)
    n = len(product)
    return Attribution("gradients", product, np.full(n, np.nan), np.arange(n), n_samples=1)


def leave_series_out(passes: Passes, target: Target) -> tuple[np.ndarray, np.ndarray]:
    """The target without each series, and with each alone: both (n,), NaN without other series."""
    n = len(passes.series)
    alone = passes.with_series(np.eye(n, dtype=bool), target)
    if n == 1:
        return np.full(1, np.nan), alone
    return passes.with_series(~np.eye(n, dtype=bool), target), alone


def _pairs(rng: np.random.Generator, n_groups: int, count: int) -> np.ndarray:
    """Random masks (2 (count // 2), n_groups), each followed by its complement; none of them empty."""
    drawn = rng.random((count // 2, n_groups)) < 0.5
    for row in drawn:
        if row.all() or not row.any():
            row[:] = True
            row[rng.integers(n_groups)] = n_groups == 1
    complements = ~drawn if n_groups > 1 else drawn
    return np.stack([drawn, complements], axis=1).reshape(-1, n_groups)


def _halves(
    masks: np.ndarray, outputs: np.ndarray, weights: np.ndarray, unit: np.ndarray, seed: int
) -> tuple[np.ndarray, float]:
    """Spread (N,) of the coefficients, and the mean correlation between those from two halves of the samples.

    Half the difference of two halves estimates the error of the whole: its root mean square over random halvings is
    the standard error, and the spread is that of a 90% interval.

    Args:
        masks: (S, N).
        outputs: (S,).
        weights: (S,).
        unit: (S,) samples with the same number go into the same half.
        seed: of the halvings.
    """
    rng = np.random.default_rng((seed, 1))
    units = np.unique(unit)
    if len(units) < 4:
        return np.full(masks.shape[1], np.nan), float("nan")
    squares, correlations = np.zeros(masks.shape[1]), []
    for _ in range(_HALVINGS):
        first = np.isin(unit, rng.permutation(units)[: len(units) // 2])
        one, other = (_part(masks, outputs, weights, half).coefficient for half in (first, ~first))
        squares += ((one - other) / 2) ** 2
        if one.std() > 0 and other.std() > 0:
            correlations.append(float(np.corrcoef(one, other)[0, 1]))
    agreement = float(np.mean(correlations)) if correlations else float("nan")
    return _Z * np.sqrt(squares / _HALVINGS), agreement


def _part(masks: np.ndarray, outputs: np.ndarray, weights: np.ndarray, chosen: np.ndarray) -> Fit:
    return ridge(masks[chosen], outputs[chosen], weights[chosen])


def _shares(group: np.ndarray) -> np.ndarray:
    """Of each token in its group."""
    shares: np.ndarray = 1.0 / np.bincount(group)[group]
    return shares
