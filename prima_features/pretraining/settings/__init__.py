"""Settings of a run: frozen dataclasses, read from TOML.

strict   reads a table and refuses what it does not know
common   what all stages share        data   what they are trained on
stages   one dataclass a stage, with the published defaults
"""

from prima_features.pretraining.settings.common import (
    Checkpoint,
    Labels,
    Log,
    NetworkTraining,
    Optimiser,
    ReportedScans,
    Scans,
    Schedule,
    Training,
    Validation,
)
from prima_features.pretraining.settings.stages import (
    STAGES,
    Augmentation,
    ClipTraining,
    HeadsTraining,
    NamesTraining,
    TokenizerTraining,
    read_settings,
)

__all__ = [
    "STAGES",
    "Augmentation",
    "Checkpoint",
    "ClipTraining",
    "HeadsTraining",
    "Labels",
    "Log",
    "NamesTraining",
    "NetworkTraining",
    "Optimiser",
    "ReportedScans",
    "Scans",
    "Schedule",
    "TokenizerTraining",
    "Training",
    "Validation",
    "read_settings",
]
