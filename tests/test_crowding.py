"""A copy of labelled rows whose classes stand nearer to each other."""

import numpy as np
import pytest
from conftest import make_clusters

from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._linkage import _crowding
from sklearn_hilander._linkage._crowding import crowd


@pytest.fixture
def labelled(rng):
    X, y = make_clusters(rng, n_clusters=12, size=9, n_features=16, spread=0.2)
    return unit_rows(X), y * 3


def nearest_is_of_the_class(X, y):
    cosines = X @ X.T
    np.fill_diagonal(cosines, -np.inf)
    return (y[cosines.argmax(axis=1)] == y).mean()


def test_classes_stand_nearer_to_each_other(labelled, monkeypatch):
    X, y = labelled
    rows, moved = crowd(X, y, 0)
    np.testing.assert_array_equal(rows, np.arange(len(X)))
    assert moved.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=1e-5)
    same = y[:, None] == y
    assert (moved @ moved.T)[~same].mean() > (X @ X.T)[~same].mean() + 0.02
    monkeypatch.setattr(_crowding, "_SHARE", 0.95)
    _, mixed = crowd(X, y, 0)
    assert nearest_is_of_the_class(mixed, y) < nearest_is_of_the_class(X, y)


def test_rows_keep_how_they_stand_to_the_mean_of_their_class(labelled, monkeypatch):
    X, y = labelled
    monkeypatch.setattr(_crowding, "unit_rows", lambda rows, in_place: rows)
    _, moved = crowd(X, y, 0)
    middle = X.mean(axis=0)
    for label in np.unique(y):
        own = y == label
        mean, after = X[own].mean(axis=0), moved[own].mean(axis=0)
        np.testing.assert_allclose(moved[own] - after, X[own] - mean, atol=1e-5)
        np.testing.assert_allclose(mean - after, 0.4 * (mean - middle), atol=1e-5)


def test_of_many_rows_some_whole_classes(labelled, monkeypatch):
    X, y = labelled
    monkeypatch.setattr(_crowding, "_MOST_ROWS", 50)
    rows, moved = crowd(X, y, 0)
    assert len(rows) == len(moved) == 45
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(y, y[rows])))
    np.testing.assert_array_equal(crowd(X, y, 0)[1], moved)
    assert (crowd(X, y, 1)[0] != rows).any()
    monkeypatch.setattr(_crowding, "_MOST_ROWS", 5)
    assert len(crowd(X, y, 0)[0]) == 9


def test_one_class_stays_where_it_is(rng):
    X = unit_rows(rng.normal(size=(7, 4)).astype(np.float32))
    rows, moved = crowd(X, np.full(7, 5), 0)
    np.testing.assert_array_equal(rows, np.arange(7))
    np.testing.assert_allclose(moved, X, atol=1e-6)
