import numpy as np
import pytest

from sklearn_hilander._search import _cells
from sklearn_hilander._search._cells import cell_centroids, nearest_cells, order_by_cells


def blobs(rng, n_blobs, size, n_features=8):
    """Rows of any length around far-apart directions, in random order; their blobs."""
    directions = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0][:n_blobs]
    y = rng.permutation(np.repeat(np.arange(n_blobs), size))
    rows = directions[y] + 0.05 * rng.normal(size=(len(y), n_features))
    return (rows * rng.uniform(0.01, 100, size=(len(y), 1))).astype(np.float32), y


def test_nearest_cells_are_those_of_the_largest_cosines(rng):
    rows = rng.normal(size=(500, 6)).astype(np.float32)
    centroids = rng.normal(size=(40, 6)).astype(np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    cosines = rows @ centroids.T / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = np.argsort(-cosines, axis=1)
    for n_nearest in (1, 5, 40):
        found = nearest_cells(rows, centroids, n_nearest)
        np.testing.assert_array_equal(found, expected[:, :n_nearest])


def test_many_cells_are_looked_for_in_groups(rng, monkeypatch):
    monkeypatch.setattr(_cells, "_MOST_CELLS", 50)
    rows, _ = blobs(rng, 8, 100)
    centroids, _ = blobs(rng, 8, 9)
    centroids = _cells._directions(centroids[:-3])
    exact = np.argsort(-_cells._directions(rows) @ centroids.T, axis=1)
    found = nearest_cells(rows, centroids, 5)
    assert (np.diff(np.sort(found, axis=1), axis=1) > 0).all()
    assert (found >= 0).all()
    # All groups: nothing is missed. An eighth of them: little is.
    assert np.mean(found[:, 0] == exact[:, 0]) > 0.9
    monkeypatch.setattr(_cells, "_FEWEST_GROUPS", 50)
    np.testing.assert_array_equal(nearest_cells(rows, centroids, 5), exact[:, :5])


def test_rows_of_a_blob_are_together(rng, monkeypatch):
    monkeypatch.setattr(_cells, "CELL_ROWS", 20)
    rows, y = blobs(rng, 6, 60)
    order = order_by_cells(rows)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(rows)))
    # Cells are of one blob each: nearly every row has its like beside it.
    assert np.mean(y[order][1:] == y[order][:-1]) > 0.9
    np.testing.assert_array_equal(order, order_by_cells(3 * rows))


@pytest.mark.parametrize("n_rows", [1, 2, 3, 700])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e38])
def test_equal_rows(n_rows, value):
    rows = np.full((n_rows, 4), value, dtype=np.float32)
    assert np.isfinite(cell_centroids(rows)).all()
    np.testing.assert_array_equal(np.sort(order_by_cells(rows)), np.arange(n_rows))
