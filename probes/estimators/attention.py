"""Gated attention pooling over the series or tokens of a study (Ilse et al. 2018, arXiv 1802.04712).

Each vector of a study is reduced to principal components h. Its weight is the softmax, over the study, of
u . (tanh(V h) * sigmoid(U h)), and the prediction is linear in the weighted mean of the study's h. Training starts at
equal weights and at the ridge or logistic regression on the mean, and moves away from these for a number of steps
that the inner loop chooses: early stopping by subjects that were not in training, at 0 steps if weights do not help.

Gradients are written out: the network is small, and the pass over a ragged set of vectors needs no padding.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import expit, softmax
from sklearn.linear_model import LogisticRegression

from prima_features.errors import UsageError
from prima_features.probes.bags import Bags
from prima_features.probes.estimators.base import Parameters, ProbeClassifier, ProbeRegressor, ascending
from prima_features.probes.linalg.rows import Reduction, Rows

ATTENTION_ALPHAS: tuple[float, ...] = (300.0, 30.0, 3.0)
"""L2 penalties of the weights of the prediction, for targets of deviation 1."""
ATTENTION_STEPS: tuple[int, ...] = (0, 10, 20, 40, 80, 160)
_MOST_COMPONENTS, _MOST_WIDTH, _MOST_STEPS = 64, 32, 5000
_MOST_REDUCED = 4000
"""Vectors that principal components are fitted on."""
_PREDICTED_AT_ONCE = 1 << 14
_DECAY, _SQUARE_DECAY, _SMALL = 0.9, 0.999, 1e-8
"""Of Adam (Kingma and Ba 2015, arXiv 1412.6980)."""
_SORTED_BY = 3
"""Features that vectors are put in order by."""

Slope = Callable[[np.ndarray], np.ndarray]
Network = dict[str, np.ndarray]
"""B networks next to each other: `V` and `U` (C, B, L), `u` (B, L), `W` (C, B, O) and `b` (B, O), for C components, L
gates and O outputs."""


@dataclass(frozen=True)
class Ragged:
    """Components of the vectors of n studies."""

    h: np.ndarray
    """(M, C), study by study."""
    start: np.ndarray
    """(n,) first row of each study."""
    owner: np.ndarray
    """(M,) study of each row."""

    @classmethod
    def of(cls, h: np.ndarray, sizes: np.ndarray) -> Ragged:
        """From the number of rows of each study."""
        return cls(h, np.cumsum(sizes) - sizes, np.repeat(np.arange(len(sizes)), sizes))

    def sum(self, values: np.ndarray) -> np.ndarray:
        """(n, ...) sums over studies of (M, ...) values."""
        return np.add.reduceat(values, self.start, axis=0)


def gates(network: Network, given: Ragged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M, B, L) tanh and sigmoid gates, and the (M, B) attention weights."""
    shape = (len(given.h), *network["u"].shape)
    first, second = (
        (given.h @ network[name].reshape(len(network[name]), -1)).reshape(shape) for name in ("V", "U")
    )
    first, second = np.tanh(first), expit(second)
    logit = np.einsum("mbl,mbl,bl->mb", first, second, network["u"])
    raised = np.exp(logit - np.maximum.reduceat(logit, given.start, axis=0)[given.owner])
    return first, second, raised / given.sum(raised)[given.owner]


def outputs(network: Network, given: Ragged, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M, B, O) outputs of each vector alone, without the intercept, and (n, B, O) of the studies."""
    shape = (len(given.h), *network["W"].shape[1:])
    alone = (given.h @ network["W"].reshape(len(network["W"]), -1)).reshape(shape)
    return alone, given.sum(weights[:, :, None] * alone) + network["b"]


def gradient(
    network: Network, given: Ragged, slope: Slope, alphas: np.ndarray, decay: float
) -> tuple[Network, np.ndarray]:
    """Gradient of the penalised mean loss by every number of the networks.

    Args:
        network: B networks.
        given: n studies.
        slope: function of (n, B, O) outputs that gives the (n, B, O) derivatives of each study's loss.
        alphas: (B,) L2 penalty of `W`, divided by n.
        decay: L2 penalty of `V`, `U` and `u`, divided by n.

    Returns:
        the gradient, and the (n, B, O) outputs.
    """
    n = len(given.start)
    first, second, weights = gates(network, given)
    alone, found = outputs(network, given, weights)
    by_output = slope(found) / n
    of_rows = by_output[given.owner]
    by_weight = weights * (of_rows * alone).sum(axis=2)
    by_logit = by_weight - weights * given.sum(by_weight)[given.owner]
    by_gate = by_logit[:, :, None] * network["u"]
    products = {
        "W": weights[:, :, None] * of_rows,
        "V": by_gate * second * (1 - first**2),
        "U": by_gate * first * second * (1 - second),
    }
    made = {
        name: (given.h.T @ values.reshape(len(values), -1)).reshape(network[name].shape)
        for name, values in products.items()
    }
    made["W"] += alphas[:, None] * network["W"] / n
    made["b"] = by_output.sum(axis=0)
    made["u"] = np.einsum("mb,mbl,mbl->bl", by_logit, first, second)
    for name in ("V", "U", "u"):
        made[name] += decay * network[name] / n
    return made, found


def descend(
    network: Network,
    given: Ragged,
    slope: Slope,
    alphas: np.ndarray,
    decay: float,
    rate: float,
    stops: Sequence[int],
) -> Iterator[Network]:
    """Adam on all studies at once; yields the networks after each number of steps in `stops`, which ascend."""
    mean, square = ({name: np.zeros_like(values) for name, values in network.items()} for _ in range(2))
    for step in range(stops[-1] + 1):
        if step in stops:
            yield network
        if step == stops[-1]:
            return
        by, _ = gradient(network, given, slope, alphas, decay)
        moved = {}
        for name, values in by.items():
            mean[name] = _DECAY * mean[name] + (1 - _DECAY) * values
            square[name] = _SQUARE_DECAY * square[name] + (1 - _SQUARE_DECAY) * values**2
            scale = np.sqrt(square[name] / (1 - _SQUARE_DECAY ** (step + 1))) + _SMALL
            moved[name] = network[name] - rate * mean[name] / (1 - _DECAY ** (step + 1)) / scale
        network = moved


class _Attention:
    """What the regressor and the classifier share."""

    reads_bags: ClassVar[bool] = True

    def __init__(
        self,
        alphas: Sequence[float] = ATTENTION_ALPHAS,
        *,
        steps: Sequence[int] = ATTENTION_STEPS,
        components: int = 64,
        width: int = 16,
        members: int = 1,
        decay: float = 1.0,
        rate: float = 0.02,
        most_vectors: int = 64,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.alphas = alphas
        self.steps = steps
        self.components = components
        self.width = width
        self.members = members
        self.decay = decay
        self.rate = rate
        self.most_vectors = most_vectors
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        for name, most in (("components", _MOST_COMPONENTS), ("width", _MOST_WIDTH), ("members", 32)):
            _whole(name, getattr(self, name), 1, most)
        _whole("most_vectors", self.most_vectors, 1, 1 << 20)
        ascending("decay", [self.decay])
        ascending("rate", [self.rate])
        alphas = ascending("alphas", self.alphas)
        return [{"alpha": alpha, "steps": steps} for alpha in reversed(alphas) for steps in self._stops()]

    def _stops(self) -> list[int]:
        try:
            found = sorted({*self.steps})
        except TypeError:
            found = []
        if not found:
            raise UsageError(
                f"the option steps must be a list of one or more whole numbers, not {self.steps!r}"
            )
        for one in found:
            _whole("steps", one, 0, _MOST_STEPS)
        return found

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        alphas = list(dict.fromkeys(item["alpha"] for item in candidates))
        stops = sorted({item["steps"] for item in candidates})
        reduction, given, order = self._reduced(train)
        held_out = _bags_of(test)
        found = {}
        for steps, network in zip(stops, self._train(given, y[order], alphas, stops), strict=True):
            for alpha, values in zip(
                alphas, self._predicted(reduction, network, held_out, len(alphas)), strict=True
            ):
                found[alpha, steps] = values
        return np.stack([found[item["alpha"], item["steps"]] for item in candidates])

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        self.reduction_, given, order = self._reduced(rows)
        *_, self.network_ = self._train(given, y[order], [parameters["alpha"]], [parameters["steps"]])

    def _reduced(self, rows: Rows) -> tuple[Reduction, Ragged, np.ndarray]:
        """Components of the training vectors, and the (n,) order of the studies in them.

        The order depends on the vectors alone, and so does each number that is fitted.
        """
        bags = _bags_of(rows)
        index, sizes, order = ordered(bags, self.most_vectors, self.random_state)
        values = bags.values[index].astype(np.float64 if bags.values.dtype == np.float64 else np.float32)
        reduction = Reduction(components=self.components, whiten=True)
        every = -(-len(values) // _MOST_REDUCED)
        reduction.fit(Rows(values, np.arange(0, len(values), every)))
        return reduction, Ragged.of(components(reduction, values), sizes), order

    def _train(
        self, given: Ragged, y: np.ndarray, alphas: Sequence[float], stops: Sequence[int]
    ) -> Iterator[Network]:
        """Networks after each number of steps, `members` of each penalty."""
        rng = np.random.default_rng(self.random_state)
        width = given.h.shape[1]
        drawn = rng.normal(size=(2, width, self.members, self.width)) / np.sqrt(width)
        pooled = given.sum(given.h) / np.bincount(given.owner)[:, None]
        heads = [self._head(pooled, y, alpha) for alpha in alphas]
        network = {
            "V": np.tile(drawn[0], (1, len(alphas), 1)),
            "U": np.tile(drawn[1], (1, len(alphas), 1)),
            "u": np.zeros((len(alphas) * self.members, self.width)),
            "W": np.repeat(np.stack([weights for weights, _ in heads], axis=1), self.members, axis=1),
            "b": np.repeat(np.stack([intercept for _, intercept in heads]), self.members, axis=0),
        }
        penalties = np.repeat(np.asarray(alphas, dtype=float), self.members)
        for one in descend(network, given, self._slope(y), penalties, self.decay, self.rate, stops):
            yield self._scaled(one, y)

    @abstractmethod
    def _head(self, pooled: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        """Weights (C, O) and intercepts (O,) of the penalised regression on (n, C) means."""

    @abstractmethod
    def _slope(self, y: np.ndarray) -> Slope:
        """See `gradient`."""

    @abstractmethod
    def _read(self, score: np.ndarray) -> np.ndarray:
        """Numbers or probabilities from (n, O) outputs."""

    def _scaled(self, network: Network, y: np.ndarray) -> Network:
        return network

    def _predicted(
        self, reduction: Reduction, network: Network, bags: Bags, n: int = 1
    ) -> Iterator[np.ndarray]:
        """Predictions of each of `n` penalties: the outputs' mean over members."""
        score = np.empty((len(bags), *network["b"].shape))
        for part, given in _pieces(reduction, bags):
            score[part] = outputs(network, given, gates(network, given)[2])[1]
        for own in np.split(score, n, axis=1):
            yield self._read(own.mean(axis=1))

    def attention(
        self,
        X: np.ndarray,
        *,
        sites: np.ndarray | None = None,
        covariates: np.ndarray | None = None,
        bags: Bags | None = None,
    ) -> np.ndarray:
        """Attention weights of the vectors of N studies, which sum to 1 per study.

        Args:
            X: (N, D) means of the bags.
            sites: as in `fit`.
            covariates: as in `fit`.
            bags: of the N studies.

        Returns:
            (m,) weights of the rows of `bags.index`.
        """
        pooled = _bags_of(self._checked(X, sites, covariates, bags))  # type: ignore[attr-defined]
        parts = [gates(self.network_, given)[2].mean(axis=1) for _, given in _pieces(self.reduction_, pooled)]
        return np.concatenate(parts)

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        arrays = {f"reduction.{name}": values for name, values in self.reduction_.state().items()}
        return arrays | {f"network.{name}": values for name, values in self.network_.items()}

    def restore(self, arrays: dict[str, np.ndarray]) -> Any:
        """Take back what `state` gave; `classes_` are the probe's.

        Raises:
            ValueError: shapes or types do not fit together.
        """
        parts: dict[str, dict[str, np.ndarray]] = {"reduction": {}, "network": {}}
        for name, values in arrays.items():
            where, _, key = name.partition(".")
            parts[where][key] = values
        self.reduction_ = Reduction(components=self.components, whiten=True).restore(parts["reduction"])
        self.network_ = {name: parts["network"][name] for name in ("V", "U", "u", "W", "b")}
        size = (len(self.reduction_.variance_), self.members, self.width)
        shapes = {
            "V": size,
            "U": size,
            "u": size[1:],
            "W": (*size[:2], *self.network_["b"].shape[1:]),
            "b": (self.members, *self.network_["b"].shape[1:]),
        }
        if any(
            self.network_[name].shape != shape or self.network_[name].dtype != np.float64
            for name, shape in shapes.items()
        ):
            raise ValueError("shapes of the network")
        if min(self.reduction_.variance_.min(), self.reduction_.scale_.min()) <= 0:
            raise ValueError("scales of the components")
        self.n_features_in_ = len(self.reduction_.mean_)
        return self


class AttentionRegressorProbe(_Attention, ProbeRegressor):
    """Gated attention pooling for a number.

    Args:
        alphas: L2 penalties of the prediction's weights that are tried.
        steps: numbers of training steps that are tried; 0 is ridge regression on the mean.
        components: principal components of the vectors, at most 64 (see `components`).
        width: gates, at most 32.
        members: networks that are averaged; they differ in the initial gates.
        decay: L2 penalty of the weights of the gates.
        rate: step size.
        most_vectors: vectors per study that are used for training; of more, as many are drawn. Predictions use all.
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None: fitted on the studies' means and applied to each vector.
        random_state: seed of the inner folds, the initial gates and the draw of vectors.

    Attributes:
        reduction_: the fitted `Reduction`.
        network_: the fitted `Network` of `members`.
    """

    def _numbers(self, rows: Rows) -> np.ndarray:
        return next(self._predicted(self.reduction_, self.network_, _bags_of(rows)))

    def _read(self, score: np.ndarray) -> np.ndarray:
        return score[:, 0]

    def _slope(self, y: np.ndarray) -> Slope:
        centred = ((y - y.mean()) / (y.std() or 1.0))[:, None, None]
        return lambda found: found - centred

    def _head(self, pooled: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        centre = pooled.mean(axis=0)
        Z, target = pooled - centre, (y - y.mean()) / (y.std() or 1.0)
        weights = np.linalg.solve(Z.T @ Z + alpha * np.eye(Z.shape[1]), Z.T @ target)[:, None]
        return weights, -centre @ weights

    def _scaled(self, network: Network, y: np.ndarray) -> Network:
        # Trained on a number of mean 0 and deviation 1.
        spread = y.std() or 1.0
        return network | {"W": network["W"] * spread, "b": network["b"] * spread + y.mean()}


class AttentionClassifierProbe(_Attention, ProbeClassifier):
    """Gated attention pooling for classes; arguments as `AttentionRegressorProbe`.

    0 steps is logistic regression on the mean.
    """

    def _probabilities(self, rows: Rows) -> np.ndarray:
        return next(self._predicted(self.reduction_, self.network_, _bags_of(rows)))

    def _read(self, score: np.ndarray) -> np.ndarray:
        # Of two classes the second alone has an output.
        return softmax(np.hstack([np.zeros_like(score), score]) if score.shape[1] == 1 else score, axis=1)

    def _slope(self, y: np.ndarray) -> Slope:
        n_classes = int(y.max()) + 1
        if n_classes == 2:
            return lambda found: np.asarray(expit(found) - y[:, None, None])
        indicator = (y[:, None] == np.arange(n_classes)).astype(float)[:, None]
        return lambda found: np.asarray(softmax(found, axis=2) - indicator)

    def _head(self, pooled: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
        fitted = LogisticRegression(C=1 / alpha, tol=1e-6, max_iter=1000).fit(pooled, y)
        return fitted.coef_.T, fitted.intercept_


def components(reduction: Reduction, values: np.ndarray) -> np.ndarray:
    """(M, C) principal components, of deviations between equal ones and their own.

    The penalty then shrinks weights of small components more, but less than on components as they are.
    """
    variance = reduction.variance_
    return reduction.transform(Rows.all(values)) * (variance / variance.mean()) ** 0.25


def ordered(bags: Bags, most: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors of each study, and studies, in an order that depends on their values alone.

    Args:
        bags: n studies.
        most: vectors kept per study; of more, as many are drawn.
        seed: of the draw.

    Returns:
        (m,) rows of `bags.values`, study by study; (n,) rows of each study; and (n,) studies in that order.
    """
    index = bags.index
    keys = bags.values[index][:, :_SORTED_BY]
    within = index[np.lexsort((*keys.T[::-1], bags.owner))]
    ends = np.cumsum(bags.sizes)
    own = [_drawn(within[end - size : end], most, seed) for end, size in zip(ends, bags.sizes, strict=True)]
    first = bags.values[[rows[0] for rows in own]][:, :_SORTED_BY]
    order = np.lexsort(first.T[::-1])
    kept = [own[i] for i in order]
    return np.concatenate(kept), np.array([len(rows) for rows in kept]), order


def _drawn(rows: np.ndarray, most: int, seed: int) -> np.ndarray:
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])]


def _bags_of(rows: Rows) -> Bags:
    """Of the rows; without any, each row is the only vector of its study."""
    return (Bags.single(rows.X) if rows.bags is None else rows.bags).take(rows.index)


def _pieces(reduction: Reduction, bags: Bags) -> Iterator[tuple[slice, Ragged]]:
    """The components of the vectors, some studies at a time."""
    first = 0
    while first < len(bags):
        total = np.cumsum(bags.sizes[first:])
        last = first + max(1, int(np.searchsorted(total, _PREDICTED_AT_ONCE, side="right")))
        some = bags.take(np.arange(first, min(last, len(bags))))
        values = bags.values[some.index]
        yield slice(first, first + len(some)), Ragged.of(components(reduction, values), some.sizes)
        first += len(some)


def _whole(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise UsageError(f"the option {name} must be a whole number from {least} to {most}, not {value!r}")
