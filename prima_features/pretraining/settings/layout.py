"""The folders of a run, in its output."""

TRAINING = "training"
"""All but the model, which lies in the output itself."""
CHECKPOINTS = "checkpoints"
CACHE = "cache"
VOCABULARY = "text"
"""A new text tower's vocabulary."""
