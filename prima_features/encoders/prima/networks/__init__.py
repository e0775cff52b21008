"""The networks, and the dataclasses that give their sizes.

Sizes come without torch: a name below is looked up in its module when it is first asked for.
"""

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from prima_features.encoders.prima.networks.config import PrimaConfig as PrimaConfig
    from prima_features.encoders.prima.networks.heads import Head as Head
    from prima_features.encoders.prima.networks.prima import Prima as Prima
    from prima_features.encoders.prima.networks.prima import SeriesOutput as SeriesOutput
    from prima_features.encoders.prima.networks.prima import StudyOutput as StudyOutput
    from prima_features.encoders.prima.networks.text import TextTower as TextTower
    from prima_features.encoders.prima.networks.tokenizer import Tokenizer as Tokenizer

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "config": ["PrimaConfig"],
        "heads": ["Head"],
        "prima": ["Prima", "SeriesOutput", "StudyOutput"],
        "text": ["TextTower"],
        "tokenizer": ["Tokenizer"],
    },
)
