"""Labels for the studies of an embeddings file, from any table.

`join`        studies with their targets, by a `LabelRequest`
`describe`    studies with their covariates, without labels
`task_of`     the task of a join
`summarize`   a join in numbers
`cohorts`     presets for public cohorts, and which of them share scans
"""

from prima_features.probes.labels import cohorts
from prima_features.probes.labels.join import describe, join, task_of
from prima_features.probes.labels.records import (
    LABEL_TASKS,
    Joined,
    JoinSummary,
    LabelRequest,
    LabelTask,
    summarize,
)

__all__ = [
    "LABEL_TASKS",
    "JoinSummary",
    "Joined",
    "LabelRequest",
    "LabelTask",
    "cohorts",
    "describe",
    "join",
    "summarize",
    "task_of",
]
