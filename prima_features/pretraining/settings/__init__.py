"""What a run can be told: frozen dataclasses, read from TOML.

strict   reads a table and refuses what it does not know
common   what all stages share        data   what they are trained on
stages   one dataclass a stage, with the published defaults
"""

from prima_features.pretraining.settings.common import (
    Checkpoint,
    Log,
    NetworkTraining,
    Optimiser,
    Schedule,
    Training,
    Validation,
)
from prima_features.pretraining.settings.data import Labels, ReportedScans, Scans
from prima_features.pretraining.settings.stages import (
    STAGES,
    Augmentation,
    ClipTraining,
    HeadsTraining,
    NamesTraining,
    TokenizerTraining,
)
from prima_features.pretraining.settings.strict import read_settings

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
