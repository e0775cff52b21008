"""Prima (arXiv 2509.18638): preprocessing, networks, weights, and conversion of the published checkpoint.

Nothing heavy is imported: a name below is looked up in its module when it is first asked for.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from prima_features.encoders.prima.heads import HeadScores as HeadScores
    from prima_features.encoders.prima.heads import iter_heads as iter_heads
    from prima_features.encoders.prima.heads import score_heads as score_heads
    from prima_features.encoders.prima.pretrained import PrimaModel as PrimaModel
    from prima_features.encoders.prima.text import load_text as load_text

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "heads": ["HeadScores", "iter_heads", "score_heads"],
        "text": ["load_text"],
        "pretrained": ["PrimaModel"],
    },
)
