"""A small neural network on principal components."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from scipy.special import softmax
from sklearn.neural_network import MLPClassifier, MLPRegressor

from prima_features.probes.estimators.base import (
    Parameters,
    ProbeClassifier,
    ProbeRegressor,
    by_alpha,
)
from prima_features.probes.linalg.rows import Reduction, Rows

MLP_ALPHAS: tuple[float, ...] = (10.0, 1.0, 0.1)
"""L2 penalties of the weights."""

Layers = list[tuple[np.ndarray, np.ndarray]]


class _Network:
    """What the regressor and the classifier share."""

    _kind: ClassVar[type]

    def __init__(
        self,
        alphas: Sequence[float] = MLP_ALPHAS,
        *,
        hidden: Sequence[int] = (32,),
        components: int = 64,
        max_steps: int = 200,
        inner_folds: int = 5,
        adjust: Any = None,
        random_state: int = 0,
    ):
        self.alphas = alphas
        self.hidden = hidden
        self.components = components
        self.max_steps = max_steps
        self.inner_folds = inner_folds
        self.adjust = adjust
        self.random_state = random_state

    def _candidates(self) -> Sequence[Parameters]:
        return by_alpha(self.alphas)

    def _path(self, candidates: Sequence[Parameters], train: Rows, y: np.ndarray, test: Rows) -> np.ndarray:
        reduction = self._reduction()
        Z, Z_test = reduction.fit_transform(train), reduction.transform(test)
        return np.stack(
            [self._read(forward(self._train(Z, y, item["alpha"]), Z_test)) for item in candidates]
        )

    def _fit_best(self, rows: Rows, y: np.ndarray, parameters: Parameters) -> None:
        self.reduction_ = self._reduction()
        self.layers_ = self._train(self.reduction_.fit_transform(rows), y, parameters["alpha"])

    @abstractmethod
    def _read(self, score: np.ndarray) -> np.ndarray:
        """Numbers or probabilities from (n, k) scores of the last layer."""

    def _reduction(self) -> Reduction:
        return Reduction(components=self.components, whiten=True)

    def _train(self, Z: np.ndarray, y: np.ndarray, alpha: float) -> Layers:
        model = self._kind(
            hidden_layer_sizes=tuple(self.hidden),
            alpha=alpha,
            solver="lbfgs",
            max_iter=self.max_steps,
            random_state=self.random_state,
        )
        model.fit(Z, y)
        return list(zip(model.coefs_, model.intercepts_, strict=True))

    def state(self) -> dict[str, np.ndarray]:
        """What was fitted, as arrays."""
        arrays = {f"reduction.{name}": values for name, values in self.reduction_.state().items()}
        for i, (weights, offset) in enumerate(self.layers_):
            arrays |= {f"layer{i}.weights": weights, f"layer{i}.offset": offset}
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> Any:
        """Take back what `state` gave; `classes_` are the probe's."""
        prefix = "reduction."
        inside = {name.removeprefix(prefix): v for name, v in arrays.items() if name.startswith(prefix)}
        self.reduction_ = self._reduction().restore(inside)
        n_layers = sum(name.endswith(".weights") for name in arrays)
        self.layers_ = [(arrays[f"layer{i}.weights"], arrays[f"layer{i}.offset"]) for i in range(n_layers)]
        self.n_features_in_ = len(self.reduction_.mean_)
        return self


class MLPRegressorProbe(_Network, ProbeRegressor):
    """A network with ReLU layers for a number.

    Args:
        alphas: L2 penalties that are tried.
        hidden: widths of the hidden layers.
        components: principal components, whitened, that it reads.
        max_steps: most steps of the solver (L-BFGS).
        inner_folds: folds of the inner loop.
        adjust: `ComBat` or `Residualizer`, or None.
        random_state: seed of the inner folds and of the weights.

    Attributes:
        reduction_: the fitted `Reduction`.
        layers_: weights and offsets of each layer.
    """

    _kind = MLPRegressor

    def _train(self, Z: np.ndarray, y: np.ndarray, alpha: float) -> Layers:
        # The network learns a number of mean 0 and deviation 1; its last layer is then stretched back.
        centre, spread = y.mean(), y.std() or 1.0
        *layers, (weights, offset) = super()._train(Z, (y - centre) / spread, alpha)
        return [*layers, (weights * spread, offset * spread + centre)]

    def _read(self, score: np.ndarray) -> np.ndarray:
        return score[:, 0]

    def _numbers(self, rows: Rows) -> np.ndarray:
        return self._read(forward(self.layers_, self.reduction_.transform(rows)))


class MLPClassifierProbe(_Network, ProbeClassifier):
    """A network with ReLU layers for classes; arguments as `MLPRegressorProbe`."""

    _kind = MLPClassifier

    def _read(self, score: np.ndarray) -> np.ndarray:
        # Of two classes scikit-learn's network scores the second alone.
        return softmax(np.hstack([np.zeros_like(score), score]) if score.shape[1] == 1 else score, axis=1)

    def _probabilities(self, rows: Rows) -> np.ndarray:
        return self._read(forward(self.layers_, self.reduction_.transform(rows)))


def forward(layers: Layers, Z: np.ndarray) -> np.ndarray:
    """(n, k) scores of (n, r) components: ReLU after each layer but the last."""
    *hidden, (weights, offset) = layers
    for hidden_weights, hidden_offset in hidden:
        Z = np.maximum(Z @ hidden_weights + hidden_offset, 0)
    return Z @ weights + offset
