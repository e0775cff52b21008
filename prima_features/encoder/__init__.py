"""The networks, and the dataclasses that give their sizes.

Sizes come without torch: a name below is looked up in its module when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prima_features.encoder.config import PrimaConfig as PrimaConfig
    from prima_features.encoder.heads import Head as Head
    from prima_features.encoder.prima import Prima as Prima
    from prima_features.encoder.prima import SeriesOutput as SeriesOutput
    from prima_features.encoder.prima import StudyOutput as StudyOutput
    from prima_features.encoder.ragged import Ragged as Ragged
    from prima_features.encoder.text import TextTower as TextTower
    from prima_features.encoder.tokenizer import Tokenizer as Tokenizer

_HOMES = {
    "Head": "heads",
    "Prima": "prima",
    "PrimaConfig": "config",
    "Ragged": "ragged",
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
