"""Work in several processes: ordered results, bounded submission, and one sentence for a death."""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from prima_features.errors import OutputError
from prima_features.processes import in_processes, interrupts_held


def test_results_are_in_the_order_of_the_items_which_are_asked_for_one_by_one() -> None:
    asked: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            asked.append(number)
            yield number

    results = in_processes(math.sqrt, items(), 2, "died")
    for number in range(5):
        assert next(results) == math.sqrt(number)
        assert len(asked) <= number + 1 + 2 * 2
    results.close()  # type: ignore[attr-defined]
    assert len(asked) < 20


def test_a_run_that_stops_finishes_what_is_in_progress() -> None:
    results: list[float] = []
    for result in in_processes(math.sqrt, range(100), 1, "died", stopping=lambda: len(results) >= 3):
        results.append(result)
    assert 3 <= len(results) <= 5


def test_a_worker_that_dies_is_one_sentence_and_other_errors_are_raised_as_they_are() -> None:
    with pytest.raises(OutputError, match=r"^a worker died: free some memory$"):
        list(in_processes(os._exit, [3], 1, "a worker died: free some memory"))
    with pytest.raises(ValueError, match="invalid literal"):
        list(in_processes(int, ["1", "x", "3"], 1, "died"))


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks on this system")
def test_a_worker_that_is_starting_does_not_receive_an_interrupt() -> None:
    command = [sys.executable, "-c", "import signal; print(signal.pthread_sigmask(signal.SIG_BLOCK, []))"]
    with interrupts_held():
        blocked = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "SIGINT" in blocked and "SIGINT" not in after
