"""The sentences that a methods and a results section need, filled in with a run's numbers."""

from prima_features.probes.report.methods.text import methods_text

__all__ = ["methods_text"]
