"""The probe directory's files, and the version of its format.

Format version 1. A reader refuses newer versions; whoever changes what a key means raises the version and writes
the rule that reads the older one here.
"""

FORMAT = "prima-probe"
FORMAT_VERSION = 1

DOCUMENT = "probe.json"
"""Everything but arrays, with the checksums of the files that hold those."""
ARRAYS = "model.safetensors"
"""Weights, and where the training embeddings lie. A file of plain numbers, which cannot hold code."""
TREES = "model.xgboost.json"
"""Boosted trees, in xgboost's own JSON."""
METRICS = "metrics.json"
REPORT = "report.html"
CARD = "README.md"
PREDICTIONS = "predictions.tsv"
SUBJECTS = "training_subjects.txt"
"""Short hashes of the training subjects' ids, a line each."""

MODEL_FILES = (ARRAYS, TREES)
SHARED = (DOCUMENT, *MODEL_FILES, METRICS, REPORT, CARD)
"""What may be published. Not `PREDICTIONS` and `SUBJECTS`: they tell of single persons."""

MAX_DOCUMENT_BYTES = 64 << 20
MAX_TREES_BYTES = 256 << 20
MAX_ARRAYS_BYTES = 8 << 30
"""More than any probe of this package has: a larger file is not read."""
