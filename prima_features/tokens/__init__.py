"""From a volume to the subvolumes that the tokenizer encodes."""

from prima_features.tokens.subvolumes import Subvolumes, cut

__all__ = ["Subvolumes", "cut"]
