import warnings

import numpy as np
import pytest
import torch
from conftest import make_clusters

from sklearn_hilander._device import thread_limit
from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._rounds import _relational
from sklearn_hilander._rounds._relational import graph_builder
from sklearn_hilander._search import _two_hops
from sklearn_hilander._search._two_hops import search_two_hops


def nearest(X, k):
    """Cosines with all rows, themselves last; and the k nearest."""
    cosines = X @ X.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines, np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def within_two_hops(indices):
    """Sets of candidates: a step to any neighbour, then one to its nearest quarter, either way."""
    n, k = indices.shape
    near, nearest_quarter = np.zeros((2, n, n), dtype=bool)
    rows = np.arange(n)[:, None]
    near[rows, indices] = True
    nearest_quarter[rows, indices[:, : max(1, round(k / 4))]] = True
    near |= near.T
    nearest_quarter |= nearest_quarter.T
    reached = near | (near.astype(int) @ nearest_quarter.astype(int) > 0)
    np.fill_diagonal(reached, False)
    return reached


@pytest.mark.parametrize("k", [1, 4, 9])
@pytest.mark.parametrize(("cells", "rows"), [(4_000_000, 4_096), (1, 4_096), (300, 7)])
def test_nearest_of_the_candidates(rng, monkeypatch, k, cells, rows):
    monkeypatch.setattr(_two_hops, "_BLOCK_CELLS", cells)
    monkeypatch.setattr(_two_hops, "_MOST_ROWS", rows)
    X = unit_rows(rng.normal(size=(70, 6)))
    _, before = nearest(unit_rows(X + 0.3 * rng.normal(size=X.shape)), k)
    indices, similarities = search_two_hops(X, before)
    cosines, _ = nearest(X, k)
    cosines[~within_two_hops(before)] = -np.inf
    np.testing.assert_array_equal(indices, np.argsort(-cosines, axis=1, kind="stable")[:, :k])
    expected = np.clip(np.take_along_axis(cosines, indices, axis=1), 0, 1)
    np.testing.assert_allclose(similarities, expected, atol=1e-6)
    assert indices.dtype == np.int32
    assert similarities.dtype == np.float32


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_what_was_looked_at_need_not_be_looked_at_again(rng, monkeypatch, share):
    looked, nearest_of = [], _two_hops._nearest

    def counted(rows, block, candidates, k):
        looked.append(candidates.nnz)
        return nearest_of(rows, block, candidates, k)

    monkeypatch.setattr(_two_hops, "_nearest", counted)
    X, _ = make_clusters(rng, n_clusters=20, size=20, n_features=8, spread=0.5)
    X = unit_rows(X)
    _, rough = nearest(unit_rows(X + 0.2 * rng.normal(size=X.shape)), 4)
    before, _ = search_two_hops(X, rough, 8, share=share)
    del looked[:]
    found, similarities = search_two_hops(X, before, share=share)
    again, of_again = search_two_hops(X, before, share=share, looked_at=rough)
    assert (found != before).any()
    np.testing.assert_array_equal(again, found)
    np.testing.assert_allclose(of_again, similarities, atol=1e-6)
    whole, rest = looked
    assert rest < whole


def test_rows_that_moved_little_find_their_nearest(rng):
    X, _ = make_clusters(rng, n_clusters=12, size=25, n_features=8, spread=0.3)
    X = unit_rows(X)
    _, before = nearest(X, 12)
    moved = unit_rows(X + 0.05 * rng.normal(size=X.shape))
    found, _ = search_two_hops(moved, before)
    _, exact = nearest(moved, 12)
    hits = [len(np.intersect1d(*rows)) for rows in zip(found, exact, strict=True)]
    assert np.mean(hits) > 0.95 * 12


def test_equal_rows_are_never_their_own_neighbors():
    before = np.stack([np.roll(np.arange(9), -step) for step in (1, 2, 3)], axis=1)
    indices, similarities = search_two_hops(np.full((9, 4), 0.5, np.float32), before)
    assert not (indices == np.arange(9)[:, None]).any()
    assert all(len(set(row)) == 3 for row in indices.tolist())
    np.testing.assert_allclose(similarities, 1, atol=1e-6)


def test_an_exact_search_goes_all_the_way(rng, monkeypatch):
    monkeypatch.setattr(_relational, "_FEW_ROWS", 10)
    X = unit_rows(rng.normal(size=(40, 5)))
    ring = np.stack([np.roll(np.arange(40), -step) for step in (1, 2, 3, 4)], axis=1)
    start = graph_builder(4)(X)
    before = type(start)(X, ring, start.similarities)
    _, exact = nearest(X, 4)
    of_brute = graph_builder(4, algorithm="brute")(X, before)
    np.testing.assert_array_equal(of_brute.indices, exact)
    assert (graph_builder(4)(X, before).indices != exact).any()
    monkeypatch.setattr(_relational, "_FEW_ROWS", 40)
    np.testing.assert_array_equal(graph_builder(4)(X, before).indices, exact)


@pytest.mark.parametrize(
    ("algorithm", "n_rows", "widths"),
    [("ivf", 90, [6, 10]), ("ivf", 8, [7]), ("brute", 90, [10]), ("auto", 90, [10])],
)
def test_few_neighbors_come_first_where_they_are_found_quicker(rng, algorithm, n_rows, widths):
    X = unit_rows(rng.normal(size=(n_rows, 5)).astype(np.float32))
    *narrow, last = graph_builder(10, algorithm=algorithm).widening(lambda: X)
    assert [graph.n_neighbors for graph in (*narrow, last)] == widths
    for graph in (*narrow, last):
        assert graph.indices.dtype == np.int32
        _, exact = nearest(X, graph.n_neighbors)
        found = (graph.indices[:, :, None] == exact[:, None, :]).any(axis=1)
        assert found.mean() > 0.9


def test_threads_find_the_same_and_leave_the_filters_of_warnings_alone(rng, monkeypatch):
    monkeypatch.setattr(_two_hops, "_MOST_ROWS", 7)
    X = unit_rows(rng.normal(size=(200, 6)))
    graph = nearest(X, 8)[1]
    filters, found = list(warnings.filters), []
    for n_threads in (1, 4):
        with thread_limit(n_threads):
            found.append(search_two_hops(X, graph, share=0.5))
        assert list(warnings.filters) == filters
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_a_device_has_no_memory_for_the_cpu_searches(rng, monkeypatch):
    search = _relational.build_neighbor_graph

    def search_or_run_out(rows, *args, **kwargs):
        if rows.device.type != "cpu":
            raise torch.OutOfMemoryError("Tried to allocate 45.00 GiB")
        return search(rows, *args, **kwargs)

    monkeypatch.setattr(_relational, "build_neighbor_graph", search_or_run_out)
    monkeypatch.setattr(_relational, "_FEW_ROWS", 10)
    X = unit_rows(rng.normal(size=(60, 5)))
    here, there = graph_builder(4), graph_builder(4, device=torch.device("meta"))
    with pytest.warns(RuntimeWarning, match="of 60 rows takes more memory than meta has left"):
        (graph,) = there.widening(lambda: X)
    np.testing.assert_array_equal(graph.indices, here(X).indices)
    # From then on as on the CPU, where few steps are looked at.
    with pytest.warns(RuntimeWarning, match="device='cpu'"):
        again = there(X[::-1].copy(), graph)
    np.testing.assert_array_equal(again.indices, here(X[::-1].copy(), graph).indices)
