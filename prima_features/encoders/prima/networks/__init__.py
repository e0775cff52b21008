"""The networks, and the dataclasses that give their sizes.

Sizes come without torch: a name below is looked up in its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prima_features.encoders.prima.networks.config import PrimaConfig as PrimaConfig
    from prima_features.encoders.prima.networks.heads import Head as Head
    from prima_features.encoders.prima.networks.prima import Prima as Prima
    from prima_features.encoders.prima.networks.prima import SeriesOutput as SeriesOutput
    from prima_features.encoders.prima.networks.prima import StudyOutput as StudyOutput
    from prima_features.encoders.prima.networks.text import TextTower as TextTower
    from prima_features.encoders.prima.networks.tokenizer import Tokenizer as Tokenizer

_HOMES = {
    "Head": "heads",
    "Prima": "prima",
    "PrimaConfig": "config",
    "SeriesOutput": "prima",
    "StudyOutput": "prima",
    "TextTower": "text",
    "Tokenizer": "tokenizer",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
