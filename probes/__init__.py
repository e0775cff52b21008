"""Probes on embeddings: small models that predict age, a diagnosis or any column, and how well they do.

    from prima_features.probes import Features, Probe, Recipe, features, tasks

Nothing here reads images; scikit-learn and pandas are imported when a probe is fitted.
"""

from prima_features.probes import tasks
from prima_features.probes.feature_matrix import Features, FeatureSource, features
from prima_features.probes.probe import Predictions, Probe
from prima_features.probes.recipe import Recipe

__all__ = ["FeatureSource", "Features", "Predictions", "Probe", "Recipe", "features", "tasks"]
