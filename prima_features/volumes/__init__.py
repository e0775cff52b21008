"""From a series on disk to verified voxels with their geometry."""

from prima_features.volumes.read import ReadOptions, read_series
from prima_features.volumes.volume import PLANES, Acquired, Volume

__all__ = ["PLANES", "Acquired", "ReadOptions", "Volume", "read_series"]
