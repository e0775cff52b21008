"""Prima (arXiv 2509.18638): preprocessing, networks, weights, and conversion of the published checkpoint.

Nothing heavy is imported: a name below is looked up in its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prima_features.encoders.prima.heads import iter_heads as iter_heads
    from prima_features.encoders.prima.pretrained import PrimaModel as PrimaModel
    from prima_features.encoders.prima.scores import HeadScores as HeadScores
    from prima_features.encoders.prima.scores import score_heads as score_heads
    from prima_features.encoders.prima.text import load_text as load_text

_HOMES = {
    "HeadScores": "scores",
    "PrimaModel": "pretrained",
    "iter_heads": "heads",
    "load_text": "text",
    "score_heads": "scores",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
