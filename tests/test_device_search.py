"""Searches for a device, which give the same on the CPU, where they are tried here."""

import numpy as np
import pytest
import torch
from conftest import make_clusters
from test_neighbors import unit_rows

from sklearn_hilander._search import _device_search as searches
from sklearn_hilander._search._exact_search import search_exact


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 7, 60, 89])
def test_exact_search_finds_what_that_of_the_cpu_finds(rng, metric, k, monkeypatch):
    X = unit_rows(rng, 90, 6)
    expected = search_exact(X, X, k, metric, skip_self=True)
    for products in (1, 90 * 17, 90 * 90 * 2):
        monkeypatch.setattr(searches, "_PRODUCTS", products)
        closeness, indices = searches.search_exact_on_device(X, X, k, metric, skip_self=True)
        torch.testing.assert_close(closeness, expected[0], atol=1e-6, rtol=0)
        assert torch.equal(indices, expected[1])


def test_queries_of_their_own(rng):
    X, queries = unit_rows(rng, 50, 6), unit_rows(rng, 9, 6)
    for k in (1, 4, 50):
        found = searches.search_exact_on_device(queries, X, k, "cosine", skip_self=False)
        assert torch.equal(found[1], search_exact(queries, X, k, "cosine", skip_self=False)[1])


def clustered(rng, n_clusters, size):
    X, _ = make_clusters(rng, n_clusters=n_clusters, size=size, n_features=24, spread=0.2)
    return torch.nn.functional.normalize(torch.from_numpy(X).float())


def test_cells_find_most(rng, monkeypatch):
    monkeypatch.setattr(searches, "_CELL_ROWS", 40)
    monkeypatch.setattr(searches, "_PROBES_A_DOUBLING", 0.5)
    X = clustered(rng, 100, 20)
    cosines, exact = search_exact(X, X, 12, "cosine", skip_self=True)
    found = []
    for hops, products in ((0, 10**8), (2, 10**8), (2, 5_000)):
        monkeypatch.setattr(searches, "_HOPS", hops)
        monkeypatch.setattr(searches, "_PRODUCTS", products)
        closeness, indices = searches.search_cells_on_device(X, 12)
        assert not (indices == torch.arange(len(X))[:, None]).any()
        assert all(len(set(row)) == 12 for row in indices.tolist())
        expected = torch.einsum("nd,nkd->nk", X, X[indices])
        torch.testing.assert_close(closeness, expected, atol=1e-5, rtol=0)
        assert (closeness <= cosines + 1e-5).all()
        found.append((indices[:, :, None] == exact[:, None, :]).any(dim=1).float().mean().item())
    assert 0.4 < found[0] < found[1] - 0.05
    assert found[1] == found[2] > 0.8


@pytest.mark.parametrize("n", [2, 9, 60])
def test_rows_of_a_small_cell_have_as_many_neighbors(rng, n, monkeypatch):
    monkeypatch.setattr(searches, "_CELL_ROWS", 2)
    monkeypatch.setattr(searches, "_PROBES_A_DOUBLING", 0.1)
    X = unit_rows(rng, n, 4)
    for k in {1, n // 2, n - 1}:
        closeness, indices = searches.search_cells_on_device(X, k)
        assert (closeness.diff(dim=1) <= 0).all()
        assert all(len({*row, i}) == k + 1 for i, row in enumerate(indices.tolist()))
    # All but one are in one place.
    same = torch.zeros(n, 4)
    same[1:, 0] = 1
    same[0, 1] = 1
    _, indices = searches.search_cells_on_device(same, n - 1)
    assert all(sorted([*row, i]) == list(range(n)) for i, row in enumerate(indices.tolist()))


def test_centroids_are_unit_rows_even_of_opposite_ones():
    rows = torch.from_numpy(np.repeat([[1.0, 0.0], [-1.0, 0.0]], 400, axis=0)).float()
    norms = torch.linalg.vector_norm(searches._centroids(rows), dim=1)
    torch.testing.assert_close(norms, torch.ones(2), atol=1e-6, rtol=0)
