"""From a volume to the subvolumes that the tokenizer encodes."""

from prima_features.encoders.prima.tokens.subvolumes import Grid, Subvolumes, cut, divide

__all__ = ["Grid", "Subvolumes", "cut", "divide"]
