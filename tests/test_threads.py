"""As many threads as were asked for, and no more in the workers of others."""

import os
import threading

import numpy as np
import pytest
import torch
from joblib import Parallel, delayed
from sklearn.model_selection import GridSearchCV, KFold
from threadpoolctl import threadpool_info

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._device import in_threads, thread_limit
from sklearn_hilander._search import _exact_search
from sklearn_hilander._search._exact_search import search_exact


def numbers():
    """Threads of torch, and the most of any of numpy's linear algebra."""
    blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return torch.get_num_threads(), max(blas, default=1)


def inside(n_jobs, repeatable=False):
    with thread_limit(n_jobs, repeatable=repeatable):
        return numbers()


class Watched(HiLanderClustering):
    """Says as its score how many threads its clustering might use."""

    def score(self, X, y):
        with self._threads():
            return float(max(numbers()))


def test_numbers_are_those_asked_for():
    assert inside(3) == (3, 3)
    assert inside(1) == (1, 1)
    assert inside(3, repeatable=True) == (3, 1)


@pytest.fixture
def without_limits(monkeypatch):
    """As in a process that nobody has told how many threads to take."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("n_jobs", [None, -1])
def test_workers_of_joblib_share_the_cores(without_limits, n_jobs):
    share = max(1, (os.cpu_count() or 1) // 2)
    for used in Parallel(n_jobs=2)(delayed(inside)(n_jobs) for _ in range(4)):
        assert max(used) <= share


def test_workers_of_a_search_share_the_cores(without_limits, rng):
    X, y = rng.normal(size=(24, 4)), np.repeat(np.arange(6), 4)
    search = GridSearchCV(
        Watched(pretrained=None, architecture="untrained"),
        {"n_neighbors": [3, 4]},
        cv=KFold(2),
        n_jobs=2,
        error_score="raise",
    ).fit(X, y)
    share = max(1, (os.cpu_count() or 1) // 2)
    assert np.max(search.cv_results_["mean_test_score"]) <= share


def test_the_search_takes_the_threads_of_torch_and_one_each_for_products(rng, monkeypatch):
    rows = torch.from_numpy(rng.normal(size=(90, 5)).astype(np.float32))
    plain = search_exact(rows, rows, 4, "cosine", skip_self=True)
    monkeypatch.setattr(_exact_search, "_BLOCK_ROWS", 10)
    seen, real = [], _exact_search._nearest_in_panel
    barrier = threading.Barrier(3, timeout=60)

    def watched(*args):
        if len(seen) < 3:
            seen.append((threading.get_ident(), numbers()[1]))
            barrier.wait()
        return real(*args)

    monkeypatch.setattr(_exact_search, "_nearest_in_panel", watched)
    with thread_limit(3):
        found = search_exact(rows, rows, 4, "cosine", skip_self=True)
    assert len({thread for thread, _ in seen}) == 3
    assert {blas for _, blas in seen} == {1}
    assert torch.equal(found[1], plain[1])


def test_blocks_are_computed_at_once_by_one_thread_each():
    barrier = threading.Barrier(3, timeout=60)

    def compute(block):
        barrier.wait()
        return block, numbers(), in_threads(lambda inner: numbers(), range(2))

    with thread_limit(3):
        found = in_threads(compute, "abc")
        assert numbers() == (3, 3)
    assert found == [(block, (1, 1), [(1, 1)] * 2) for block in "abc"]


def test_numbers_are_as_before_where_a_block_fails():
    def compute(block):
        raise RuntimeError(block)

    with thread_limit(2):
        with pytest.raises(RuntimeError, match="0"):
            in_threads(compute, range(4))
        assert numbers() == (2, 2)


def test_one_thread_computes_where_it_is():
    with thread_limit(1):
        where = in_threads(lambda block: threading.get_ident(), range(3))
    assert where == [threading.get_ident()] * 3
    assert in_threads(lambda block: block, []) == []
