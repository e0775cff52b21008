"""Small products run on one thread, and the setting is given back."""

from threadpoolctl import threadpool_info

from prima_features.probes.linalg.threads import SMALL, threads_for


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_small_products_run_on_one_thread_and_large_ones_as_before() -> None:
    before = blas_threads()
    assert before
    with threads_for(SMALL - 1):
        assert set(blas_threads()) == {1}
    with threads_for(SMALL):
        assert blas_threads() == before
    assert blas_threads() == before
