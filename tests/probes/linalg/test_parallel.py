"""Pieces of work next to each other."""

import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from prima_features.probes.linalg.parallel import Parallelism
from prima_features.probes.linalg.rows import CHUNK_BYTES

PLENTY = 1 << 40


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_there_are_no_more_workers_than_threads_pieces_and_memory() -> None:
    with threadpool_limits(4, user_api="blas"):
        assert Parallelism.plan(5, 0, PLENTY) == Parallelism(4, 1)
        assert Parallelism.plan(2, 0, PLENTY) == Parallelism(2, 2)
        assert Parallelism.plan(5, CHUNK_BYTES, 7 * CHUNK_BYTES) == Parallelism(2, 2)
        assert Parallelism.plan(5, PLENTY, CHUNK_BYTES) == Parallelism(1, 4)


def test_who_allows_blas_one_thread_gets_one_worker() -> None:
    with threadpool_limits(1, user_api="blas"):
        assert Parallelism.plan(5, 0, PLENTY) == Parallelism(1, 1)


@pytest.mark.parametrize("workers", [1, 3])
def test_all_pieces_are_done(workers: int) -> None:
    done: list[int] = []
    Parallelism(workers, 1).run(done.append, range(20))
    assert sorted(done) == list(range(20))


def test_workers_work_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=20)
    Parallelism(3, 1).run(lambda _: meeting.wait(), range(3))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_piece_raises_is_raised(workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        Parallelism(workers, 1).run(lambda number: 1 / number, [1, 0])


def test_the_limit_of_threads_ends_with_the_work() -> None:
    with threadpool_limits(2, user_api="blas"):
        with Parallelism(2, 1).limits():
            assert blas_threads() == {1}
        assert blas_threads() == {2}
