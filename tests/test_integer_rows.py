"""Rows as integers: nearly the cosines, whatever the rows are like, and the same everywhere."""

import numpy as np
import pytest

from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._search import _integer_rows
from sklearn_hilander._search._integer_rows import integer_rows, products_of_all


def rows_of(rng, kind, n_features):
    X = rng.normal(size=(300, n_features))
    if kind == "few large coordinates":
        X *= rng.uniform(size=n_features) ** 20
    if kind == "sparse":
        X[rng.uniform(size=X.shape) > 0.05] = 0
        X[:, 0] += 1e-3
    if kind == "far from the origin":
        X += 3
    return unit_rows(X)


@pytest.mark.parametrize("n_features", [32, 97, 384])
@pytest.mark.parametrize(
    "kind", ["alike", "few large coordinates", "sparse", "far from the origin"]
)
def test_products_are_nearly_in_proportion_to_cosines(rng, kind, n_features):
    X = rows_of(rng, kind, n_features)
    turned = integer_rows(X)
    assert turned.dtype == np.int8
    unit = (127 / 4.5) ** 2 * n_features
    error = products_of_all(turned, turned) / unit - X @ X.T
    # A rounded product is off by some thousandths at most, fewer the more features there are; a
    # row that is cut off, by more.
    assert np.sqrt((error**2).mean()) < 0.02 / np.sqrt(n_features)


def test_a_row_of_zeros_stays_one(rng):
    X = np.concatenate([np.zeros((1, 64), np.float32), unit_rows(rng.normal(size=(3, 64)))])
    assert not integer_rows(X)[0].any()


def test_few_features_stay_as_they_are(rng):
    X = unit_rows(rng.normal(size=(5, 31)))
    assert integer_rows(X) is X
    np.testing.assert_allclose(products_of_all(X[:2], X), X[:2] @ X.T, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (33, 70)])
def test_products_are_the_same_without_the_processor(rng, monkeypatch, shape):
    a, b = (integer_rows(unit_rows(rng.normal(size=(n, 50)))) for n in shape)
    exact = a.astype(np.int64) @ b.astype(np.int64).T
    np.testing.assert_array_equal(products_of_all(a, b), exact)
    monkeypatch.setattr(_integer_rows, "_of_integers", lambda: None)
    np.testing.assert_array_equal(products_of_all(a, b), exact)
