"""The embeddings file's tables and columns, declared once for writing and reading.

Format version 2. A reader refuses newer versions. A change to what a column means raises the version and adds the
rule for reading older files here.

Version 1 has no columns `slice_axis`, `slice_axis_known_by` and `flags` in /series: `VERSION_1` fills them in.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from prima_features.volumes.volume import PLANES

FORMAT = "prima-embeddings"
FORMAT_VERSION = 2

TEXT = "text"
"""Variable-length UTF-8."""
VECTOR = "vector"
"""As many numbers per row as the model gives, in the file's float type."""
WORDS = "words"
"""UTF-8, words separated by commas; a tuple in records."""

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
"""Columns of /study: attributes of `records.EmbeddedStudy`. `clip` is missing if the encoder gives none."""

SERIES = {
    "embedding": VECTOR,
    "study": "int64",
    "name": TEXT,
    "plane": TEXT,
    "source": TEXT,
    "n_tokens": "int32",
    "shape": "int32",
    "spacing": "float32",
    "slice_axis": "int8",
    "slice_axis_known_by": TEXT,
    "flags": WORDS,
}
"""Columns of /series: attributes of `records.EmbeddedSeries`; `study` is a row of /study."""

VERSION_1: dict[str, Callable[[Any], np.ndarray]] = {
    "slice_axis": lambda planes: np.array([PLANES.index(plane) for plane in planes], np.int8),
    "slice_axis_known_by": lambda planes: np.array([""] * len(planes), object),
    "flags": lambda planes: np.array([""] * len(planes), object),
}
"""Columns of /series that version 1 lacks, from its column `plane`. How an axis was determined was not recorded."""

TOKEN = {"embedding": "float16", "series": "int64", "coord": "int16"}
"""Columns of /token; `series` is a row of /series."""

FAILURE = {"study": TEXT, "series": TEXT, "stage": TEXT, "error": TEXT, "hint": TEXT}
"""Columns of /failure: attributes of `records.Failure`."""

INPUT = {"study": TEXT, "hash": TEXT}
"""Columns of /input: what each study was made of, failed ones too, so that a later run knows which still hold."""
