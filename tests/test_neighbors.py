import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from sklearn_hilander._search import _exact_search, _neighbors
from sklearn_hilander._search._neighbors import (
    build_neighbor_graph,
    query_neighbors,
    resolve_algorithm,
)


def unit_rows(rng, n, d):
    rows = rng.normal(size=(n, d)).astype(np.float32)
    return torch.from_numpy(rows / np.linalg.norm(rows, axis=1, keepdims=True))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_brute_equals_scikit_learn(rng, metric, monkeypatch):
    monkeypatch.setattr(_exact_search, "_BLOCK_ROWS", 20)
    monkeypatch.setattr(_exact_search, "_PANEL_COLUMNS", 30)
    X = unit_rows(rng, 103, 7)
    graph = build_neighbor_graph(X, 5, metric=metric, algorithm="brute")
    distances, indices = NearestNeighbors(n_neighbors=5, metric=metric).fit(X).kneighbors()
    np.testing.assert_array_equal(graph.indices, indices)
    expected = np.clip(1 - distances, 0, 1) if metric == "cosine" else np.exp(-(distances**2) / 2)
    np.testing.assert_allclose(graph.similarities, expected, atol=1e-5)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_hnsw_finds_what_brute_finds(rng, metric):
    X = unit_rows(rng, 2000, 12)
    exact = build_neighbor_graph(X, 10, metric=metric, algorithm="brute")
    approximate = build_neighbor_graph(X, 10, metric=metric, algorithm="hnsw")
    hits = [
        len(np.intersect1d(a, b)) for a, b in zip(exact.indices, approximate.indices, strict=True)
    ]
    assert np.mean(hits) > 9.5
    np.testing.assert_allclose(approximate.similarities[:, 0], exact.similarities[:, 0], atol=1e-3)
    again = build_neighbor_graph(X, 10, metric=metric, algorithm="hnsw")
    assert torch.equal(again.indices, approximate.indices)


@pytest.mark.parametrize("algorithm", ["brute", "ivf", "hnsw"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_rows_than_neighbors(rng, algorithm, n):
    graph = build_neighbor_graph(unit_rows(rng, n, 4), 8, algorithm=algorithm)
    assert graph.indices.shape == (n, n - 1)
    for i, row in enumerate(graph.indices.tolist()):
        assert sorted([*row, i]) == list(range(n))


@pytest.mark.parametrize("algorithm", ["brute", "ivf", "hnsw"])
def test_never_itself_even_among_equal_rows(algorithm):
    X = torch.ones(30, 4) / 2
    graph = build_neighbor_graph(X, 6, algorithm=algorithm)
    assert not (graph.indices == torch.arange(30)[:, None]).any()
    assert (graph.similarities <= 1).all()


def test_similarity_is_clipped():
    X = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    graph = build_neighbor_graph(X, 2)
    assert (graph.similarities == 0).all()


def test_query_neighbors(rng):
    X, Q = unit_rows(rng, 50, 6), unit_rows(rng, 9, 6)
    found = query_neighbors(Q, X, 4)
    expected = torch.topk(Q @ X.T, 4, dim=1)
    assert torch.equal(found.indices, expected.indices)
    assert query_neighbors(Q, X[:2], 4).indices.shape == (9, 2)


def test_auto_switches_with_size():
    most = _neighbors.AUTO_BRUTE_MAX_ROWS
    assert resolve_algorithm("auto", torch.empty(most, 1)) == "brute"
    assert resolve_algorithm("auto", torch.empty(most + 1, 1)) == "ivf"
    most = _neighbors.AUTO_BRUTE_MAX_EUCLIDEAN
    assert resolve_algorithm("auto", torch.empty(most, 1), "euclidean") == "brute"
    assert resolve_algorithm("auto", torch.empty(most + 1, 1), "euclidean") == "hnsw"
    assert resolve_algorithm("brute", torch.empty(10**6, 1)) == "brute"


def test_cells_are_for_cosines_alone(rng):
    X = unit_rows(rng, 60, 4)
    graph = build_neighbor_graph(X, 6, algorithm="ivf")
    assert torch.equal(graph.indices, build_neighbor_graph(X, 6, algorithm="brute").indices)
    with pytest.raises(ValueError, match="algorithm='ivf' searches by cosines"):
        build_neighbor_graph(X, 6, metric="euclidean", algorithm="ivf")


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 7, 60, 89])
def test_exact_search_does_not_depend_on_blocks(rng, metric, k, monkeypatch):
    # Small integers: products are exact, and many are equal.
    X = torch.from_numpy(rng.integers(-2, 3, size=(90, 6)).astype(np.float32))
    whole = _exact_search.search_exact(X, X, k, metric, skip_self=True)
    every = X @ X.T if metric == "cosine" else -(torch.cdist(X, X) ** 2).round()
    every.fill_diagonal_(-torch.inf)
    expected = torch.sort(every, dim=1, descending=True).values[:, :k]
    for rows, columns in ((90, 90), (1, 90), (17, 90), (17, 13), (90, 1)):
        monkeypatch.setattr(_exact_search, "_BLOCK_ROWS", rows)
        monkeypatch.setattr(_exact_search, "_PANEL_COLUMNS", columns)
        closeness, indices = _exact_search.search_exact(X, X, k, metric, skip_self=True)
        assert torch.equal(closeness, expected)
        assert torch.equal(every.gather(1, indices), expected)
        assert all(len(set(row)) == k for row in indices.tolist())
        if columns == 90:
            assert torch.equal(indices, whole[1])
        # Equal ones in the order of their numbers.
        tied = closeness[:, 1:] == closeness[:, :-1]
        assert (indices.diff(dim=1)[tied] > 0).all()
