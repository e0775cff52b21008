"""From a series on disk to a volume in LPS orientation, 256 x 256 in plane."""

from prima_features.preprocessing import PLANES
from prima_features.volumes.read import ReadOptions, read_volume
from prima_features.volumes.volume import Volume

__all__ = ["PLANES", "ReadOptions", "Volume", "read_volume"]
