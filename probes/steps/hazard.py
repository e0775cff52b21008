"""From log risks to survival curves and risk groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RISK_GROUPS = ("low", "middle", "high")
"""Thirds of the training subjects, by log risk."""


@dataclass(frozen=True)
class SurvivalCurve:
    """A baseline hazard and the limits of risk groups, fitted on out-of-fold log risks of training subjects."""

    times: tuple[float, ...] = ()
    """Ascending, in the unit of the task."""
    hazard: tuple[float, ...] = ()
    """Cumulative hazard of log risk 0 at each time (Breslow 1974)."""
    limits: tuple[float, ...] = ()
    """Log risks from which on a subject is in the next group."""

    def __post_init__(self) -> None:
        if len(self.times) != len(self.hazard) or len(self.limits) not in (0, len(RISK_GROUPS) - 1):
            raise ValueError(
                "a survival curve needs a hazard at each time, and limits between the risk groups"
            )

    @classmethod
    def fit(cls, y: np.ndarray, log_risk: np.ndarray, times: np.ndarray) -> SurvivalCurve:
        """Fit the hazard and the limits.

        Args:
            y: (N,) signed times.
            log_risk: (N,) by models that had not seen the subject.
            times: (T,) ascending.
        """
        time, event = np.abs(y), y > 0
        order = np.argsort(time, kind="stable")
        at_risk = np.cumsum(np.exp(log_risk[order])[::-1])[::-1]
        of_events = time[event]
        steps = 1 / at_risk[np.searchsorted(time[order], of_events)]
        hazard = [float(steps[of_events <= one].sum()) for one in times]
        limits = np.quantile(log_risk, np.arange(1, len(RISK_GROUPS)) / len(RISK_GROUPS))
        return cls(tuple(np.asarray(times, dtype=float).tolist()), tuple(hazard), tuple(limits.tolist()))

    def survival(self, log_risk: np.ndarray) -> np.ndarray:
        """(N, T) probabilities of surviving each time without the event."""
        # Far from the training set a log risk can be anything.
        return np.exp(-np.exp(np.clip(log_risk, -50, 50))[:, None] * np.asarray(self.hazard))

    def groups(self, log_risk: np.ndarray) -> np.ndarray:
        """(N,) positions in `RISK_GROUPS`."""
        return np.searchsorted(np.asarray(self.limits), log_risk, side="right").astype(np.int64)
