"""What is measured on held-out studies: retrieval and reconstructions."""

from prima_features.pretraining.validation.recall import recall, retrieval
from prima_features.pretraining.validation.reconstructions import reconstruction_picture

__all__ = ["recall", "reconstruction_picture", "retrieval"]
