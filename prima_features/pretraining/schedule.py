"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from prima_features.pretraining.settings import Schedule


def rate_factor(step: int, steps: int, schedule: Schedule) -> float:
    """What the learning rate is multiplied by in a step.

    Args:
        step: from 0.
        steps: of the whole run.

    Returns:
        (step + 1) / warmup during the warm-up, then 1, or half a cosine from 1 towards `floor` after the last step.
    """
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    if schedule.decay == "none":
        return 1.0
    share = (step - schedule.warmup) / max(1, steps - schedule.warmup)
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2
