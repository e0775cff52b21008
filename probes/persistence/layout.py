"""The probe directory's files, and the version of its format.

Format version 1. A reader refuses newer versions; whoever changes what a key means raises the version and writes
the rule that reads the older one here.
"""

FORMAT = "prima-probe"
FORMAT_VERSION = 1

DOCUMENT = "probe.json"
"""Everything but arrays. Written last: a directory without it is no probe."""
ARRAYS = "model.safetensors"
"""Weights, and where the training embeddings lie. A file of plain numbers, which cannot hold code."""
TREES = "model.xgboost.json"
"""Boosted trees, in xgboost's own JSON."""
METRICS = "metrics.json"
PREDICTIONS = "predictions.tsv"
CARD = "README.md"

MAX_DOCUMENT_BYTES = 64 << 20
MAX_TREES_BYTES = 1 << 30
MAX_ARRAYS_BYTES = 8 << 30
"""More than any probe of this package has: a larger file is not read."""
