"""Model directories: in the package, on disk and on the Hub. What is in them depends on the encoder."""

DEFAULT_MODEL = "prima-synth"
"""The bundled model that is used if none is named."""
