"""The probe directory's files, and the version of its format.

Format version 2. A reader refuses newer versions; whoever changes what a key means raises the version and writes
the rule that reads the older one here.

Version 2 added `encoder` and `caveat` to the source of the features, and to the arrays the limits of `TrainingRange`
on both sides; probes of version 1 only flag studies that are too far from the training set (`TrainingRange.restore`).
"""

from typing import Any

FORMAT = "prima-probe"
FORMAT_VERSION = 2


def upgraded(document: dict[str, Any]) -> dict[str, Any]:
    """A document of version 1 as one of version 2; others as they are."""
    if document.get("format_version") != 1:
        return document
    from prima_features.probes.feature_matrix import FeatureSource

    training = dict(document.get("training") or {})
    source = dict(training.get("source") or {})
    known = FeatureSource(str(source.get("model", "")), model_sha256=str(source.get("model_sha256", "")))
    source |= {"encoder": "prima" if source.get("model") else "", "caveat": known.caveat}
    return document | {"format_version": FORMAT_VERSION, "training": training | {"source": source}}


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

MAX_DOCUMENT_BYTES = 16 << 20
MAX_TREES_BYTES = 256 << 20
MAX_TREES_VALUES = 32 << 20
MAX_ARRAYS_BYTES = 8 << 30
"""More than any probe of this package has: a larger file is not read."""
