"""What training makes small: plain functions of tensors, equal to the public Prima code's.

`words`, `truth` and `pairs` are not Prima's.
"""

from prima_features.pretraining.objectives.contrast import clip_loss
from prima_features.pretraining.objectives.pairs import pair_accuracy, pair_loss
from prima_features.pretraining.objectives.patients import patient_accuracy, patient_loss
from prima_features.pretraining.objectives.presence import level_loss, presence_loss
from prima_features.pretraining.objectives.recall import recall, retrieval
from prima_features.pretraining.objectives.reconstruction import reconstruction_loss
from prima_features.pretraining.objectives.truth import Truth, mean_by_study
from prima_features.pretraining.objectives.words import Words, words_loss

__all__ = [
    "Truth",
    "Words",
    "clip_loss",
    "level_loss",
    "mean_by_study",
    "pair_accuracy",
    "pair_loss",
    "patient_accuracy",
    "patient_loss",
    "presence_loss",
    "recall",
    "reconstruction_loss",
    "retrieval",
    "words_loss",
]
