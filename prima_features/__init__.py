"""Features from brain MRI studies with Prima (arXiv 2509.18638). Research use only: not a medical device.

    from prima_features import PrimaModel, embed, read_embeddings

    embed("/data/ds001", "out.h5", model=PrimaModel.from_pretrained("prima-untrained"))
    file = read_embeddings("out.h5")    # file.studies, file.series: DataFrames; file.study_embedding: (N, D)

Names are looked up in their modules when they are first asked for, so that importing the package is quick.
"""

from prima_features.import_path import is_command, safe_path

if is_command():
    # First of all: Python may look in the current folder before any other, and a folder of scans may contain a json.py.
    import sys

    sys.path[:] = safe_path()

from typing import TYPE_CHECKING

import lazy_loader

from prima_features._version import __version__

if TYPE_CHECKING:
    from prima_features.embedding.file.read import read_embeddings as read_embeddings
    from prima_features.embedding.run import embed as embed
    from prima_features.encoders.prima.pretrained import PrimaModel as PrimaModel

__getattr__, _, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "embedding.file.read": ["read_embeddings"],
        "embedding.run": ["embed"],
        "encoders.prima.pretrained": ["PrimaModel"],
    },
)

__all__ = ["PrimaModel", "__version__", "embed", "read_embeddings"]


def __dir__() -> list[str]:
    return sorted(__all__)
