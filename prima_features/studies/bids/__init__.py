"""Finding series in a BIDS dataset.

walk ---> image ---> options ---> inherited ---> find
folders   its name   choice,      sidecars,      Study, Series, Failure
                     filters      .bval
"""

from prima_features.studies.bids.filters import BidsFilter, read_filters
from prima_features.studies.bids.find import find_bids
from prima_features.studies.bids.options import BidsOptions

__all__ = ["BidsFilter", "BidsOptions", "find_bids", "read_filters"]
