"""The anatomy that all synthetic brains are warped from."""

from prima_features.synthetic.atlas.labels import Region
from prima_features.synthetic.atlas.load import Atlas, load_atlas

__all__ = ["Atlas", "Region", "load_atlas"]
