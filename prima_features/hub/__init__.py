"""The Hub of models and probes: its client within bounds, and repositories."""
