"""The embeddings file's tables and columns, declared once for writing and reading.

Format version 1. A reader refuses newer versions; whoever changes what a column means raises the version and
writes the rule that reads the older one here.
"""

FORMAT = "prima-embeddings"
FORMAT_VERSION = 1

TEXT = "text"
"""Variable-length UTF-8."""
VECTOR = "vector"
"""As many numbers a row as the model gives, in the file's float type."""

STUDY = {
    "embedding": VECTOR,
    "clip": VECTOR,
    "id": TEXT,
    "subject": TEXT,
    "session": TEXT,
    "description": TEXT,
    "source": TEXT,
    "n_series": "int32",
}
"""Columns of /study: attributes of `records.EmbeddedStudy`."""

SERIES = {
    "embedding": VECTOR,
    "study": "int64",
    "name": TEXT,
    "plane": TEXT,
    "source": TEXT,
    "n_tokens": "int32",
    "shape": "int32",
    "spacing": "float32",
}
"""Columns of /series: attributes of `records.EmbeddedSeries`; `study` is a row of /study."""

TOKEN = {"embedding": "float16", "series": "int64", "coord": "int16"}
"""Columns of /token; `series` is a row of /series."""

FAILURE = {"study": TEXT, "series": TEXT, "stage": TEXT, "error": TEXT, "hint": TEXT}
"""Columns of /failure: attributes of `records.Failure`."""

INPUT = {"study": TEXT, "hash": TEXT}
"""Columns of /input: what each study was made of, failed ones too, so that a later run knows which still hold."""
