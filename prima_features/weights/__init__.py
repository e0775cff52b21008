"""Models on disk, in the package and on the Hub, and conversion of the published checkpoint.

Nothing heavy is imported: a name below is looked up in its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prima_features.weights.heads import iter_heads as iter_heads
    from prima_features.weights.pretrained import PrimaModel as PrimaModel
    from prima_features.weights.scores import HeadScores as HeadScores
    from prima_features.weights.scores import score_heads as score_heads
    from prima_features.weights.text import load_text as load_text

DEFAULT_MODEL = "prima-synth"
"""The bundled model that is used where none is named."""

_HOMES = {
    "HeadScores": "scores",
    "PrimaModel": "pretrained",
    "iter_heads": "heads",
    "load_text": "text",
    "score_heads": "scores",
}

__all__ = ["DEFAULT_MODEL", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
