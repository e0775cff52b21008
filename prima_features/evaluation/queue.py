"""A reading room as a queue: waits under first-come order and under an order by priority."""

from __future__ import annotations

import heapq

import numpy as np


def arrivals_and_services(n: int, load: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Poisson arrivals and exponential reading times of mean 1, for one reader busy a share `load` of the time (M/M/1).

    Returns:
        (n,) arrival times, rising, and (n,) reading times, in units of the mean reading time.
    """
    return np.cumsum(rng.exponential(1 / load, n)), rng.exponential(1.0, n)


def first_come(arrival: np.ndarray, service: np.ndarray) -> np.ndarray:
    """(n,) waits until reading starts, in the order of arrival (Lindley's recursion, as a running minimum)."""
    steps = np.concatenate([[0.0], service[:-1] - np.diff(arrival)])
    walk = np.cumsum(steps)
    return np.asarray(walk - np.minimum(np.minimum.accumulate(walk), 0.0))


def by_priority(arrival: np.ndarray, service: np.ndarray, priority: np.ndarray) -> np.ndarray:
    """(n,) waits if the most urgent waiting study is read next; a reading that has begun is finished.

    Args:
        arrival: (n,) rising times.
        service: (n,) reading times.
        priority: (n,) higher is read first; ties in the order of arrival.
    """
    wait = np.empty(len(arrival))
    times, durations, urgency = arrival.tolist(), service.tolist(), (-priority).tolist()
    waiting: list[tuple[float, int]] = []
    now, coming, n = 0.0, 0, len(times)
    for _ in range(n):
        if not waiting:
            now = max(now, times[coming])
        while coming < n and times[coming] <= now:
            heapq.heappush(waiting, (urgency[coming], coming))
            coming += 1
        _, study = heapq.heappop(waiting)
        wait[study] = now - times[study]
        now += durations[study]
    return wait


def mean_wait(load: float) -> float:
    """Mean wait in an M/M/1 queue in units of the mean reading time: load / (1 - load)."""
    return load / (1 - load)
