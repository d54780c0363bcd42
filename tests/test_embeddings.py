from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander._device import thread_limit
from sklearn_hilander._rows import _embeddings, _row_hashes
from sklearn_hilander._rows._embeddings import (
    canonical_embeddings,
    in_canonical_order,
    match_rows,
    rescaled,
)
from sklearn_hilander._rows._row_scaler import RowScaler, fit_row_scaler
from sklearn_hilander._search import _cells

COSINE = RowScaler("cosine")


def assert_order_comes_back(embeddings, mixed):
    """Canonical embeddings, in another order, are put in the canonical one again."""
    added = replace(
        embeddings,
        features=embeddings.features[mixed],
        inverse=np.argsort(mixed)[embeddings.inverse],
        counts=embeddings.counts[mixed],
        hashes=embeddings.hashes[mixed],
        first=embeddings.first[mixed],
    )
    for name, value in vars(in_canonical_order(added)).items():
        np.testing.assert_array_equal(value, getattr(embeddings, name))


@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 30), values=st.integers(1, 4), many=st.booleans()
)
@settings(max_examples=100, deadline=None)
def test_distinct_rows_whatever_the_order(seed, n, values, many):
    with pytest.MonkeyPatch.context() as patch:
        if many:
            # Ordered by cells of three rows, as many rows are by larger ones.
            patch.setattr(_embeddings, "_HASH_ORDER_MAX_ROWS", 0)
            patch.setattr(_cells, "CELL_ROWS", 3)
        check_whatever_the_order(seed, n, values)


def check_whatever_the_order(seed, n, values):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, values + 1, size=(n, 3)).astype(float)
    whole = canonical_embeddings(X, COSINE)
    # Every sample is the embedding of itself, and no two distinct rows are equal.
    np.testing.assert_array_equal(whole.features[whole.inverse], COSINE(X))
    assert len(np.unique(whole.features, axis=0)) == len(whole.features)
    assert whole.counts.sum() == n
    np.testing.assert_array_equal(whole.inverse[whole.first], np.arange(len(whole.features)))
    order = rng.permutation(n)
    shuffled = canonical_embeddings(X[order], COSINE)
    np.testing.assert_array_equal(shuffled.features, whole.features)
    np.testing.assert_array_equal(shuffled.inverse, whole.inverse[order])
    mixed = rng.permutation(len(whole.features))
    assert_order_comes_back(whole, mixed)


def test_colliding_hashes_are_told_apart(monkeypatch):
    monkeypatch.setattr(
        _embeddings, "hash_rows", lambda X, scaler: np.zeros(len(X), dtype=np.uint64)
    )
    X = np.array([[1.0, 2], [2, 1], [1, 2], [0, 1], [2, 1]])
    found = canonical_embeddings(X, COSINE)
    assert len(found.features) == 3
    np.testing.assert_array_equal(found.features[found.inverse], COSINE(X))
    np.testing.assert_array_equal(match_rows(found, found, np.arange(3)), np.arange(3))
    mixed = np.array([2, 0, 1])
    assert_order_comes_back(found, mixed)


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_norms_out_of_the_range_of_squares(scale):
    rows = COSINE(np.array([[3.0, 4.0], [-4.0, 3.0]]) * scale)
    np.testing.assert_allclose(rows, [[0.6, 0.8], [-0.8, 0.6]], rtol=1e-6)


def test_zero_rows_stay_zero_and_signs_of_zero_do_not_matter():
    rows = COSINE(np.array([[0.0, -0.0], [0.0, 1.0], [-0.0, 1.0]]))
    np.testing.assert_array_equal(rows, [[0, 0], [0, 1], [0, 1]])
    assert not np.signbit(rows).any()


def test_euclidean_scale_is_that_of_the_neighborhoods(rng):
    X = rng.normal(size=(400, 3)) * 50 + 1000
    scaler = fit_row_scaler(X, "euclidean", 5)
    rows = scaler(X).astype(float)
    distances = np.sort(np.linalg.norm(rows[:, None] - rows, axis=2), axis=1)[:, 5]
    assert np.median(distances) == pytest.approx(1, rel=0.01)
    order = rng.permutation(len(X))
    again = fit_row_scaler(X[order], "euclidean", 5)
    assert again.scale == scaler.scale
    np.testing.assert_array_equal(again.center, scaler.center)


@pytest.mark.parametrize("X", [np.ones((4, 2)), np.zeros((3, 1)), np.full((2, 2), 1e308)])
def test_euclidean_without_any_distance(X):
    rows = fit_row_scaler(X, "euclidean", 3)(X)
    assert np.isfinite(rows).all()
    assert (rows == rows[0]).all()


def test_match_rows_whatever_the_order_of_the_known_ones(rng):
    X = rng.normal(size=(20, 4))
    known = canonical_embeddings(X, COSINE)
    mixed = rng.permutation(20)
    known = replace(known, features=known.features[mixed], hashes=known.hashes[mixed])
    new = canonical_embeddings(np.vstack([X[[3, 7]], rng.normal(size=(2, 4))]), COSINE)
    found = match_rows(new, known, np.argsort(known.hashes))
    assert (found >= 0).sum() == 2
    hit = found >= 0
    np.testing.assert_array_equal(known.features[found[hit]], new.features[hit])


@given(seed=st.integers(0, 10**6), exponent=st.integers(-60, 60), n_first=st.integers(1, 9))
@settings(max_examples=40, deadline=None)
def test_rescaled_as_if_scaled_so_from_the_start(seed, exponent, n_first):
    X = np.ldexp(np.random.default_rng(seed).normal(size=(40, 3)), exponent) + seed % 3
    before = fit_row_scaler(X[:n_first], "euclidean", 4)
    embeddings, scaler = rescaled(canonical_embeddings(X, before), before, 4)
    direct = canonical_embeddings(X, scaler)
    order = np.argsort(embeddings.hashes, kind="stable")
    np.testing.assert_array_equal(embeddings.features[order], direct.features)
    np.testing.assert_array_equal(embeddings.hashes[order], direct.hashes)
    wanted = fit_row_scaler(X, "euclidean", 4).scale
    assert 1 / 1.42 < scaler.scale / wanted < 1.42
    np.testing.assert_array_equal(scaler.center, before.center)
    # What suits is not touched, and cosine has no scale.
    again, same = rescaled(embeddings, scaler, 4)
    assert again is embeddings and same is scaler
    cosine = fit_row_scaler(X, "cosine", 4)
    embeddings = canonical_embeddings(X, cosine)
    assert rescaled(embeddings, cosine, 4) == (embeddings, cosine)


def test_rows_that_a_device_reads_stay_in_the_order_of_their_hashes(monkeypatch):
    monkeypatch.setattr(_embeddings, "_HASH_ORDER_MAX_ROWS", 0)
    monkeypatch.setattr(_cells, "CELL_ROWS", 3)
    X = np.random.default_rng(0).normal(size=(60, 3))
    by_cells, by_hash = (canonical_embeddings(X, COSINE, by_cells=way) for way in (True, False))
    assert (np.diff(by_hash.hashes.astype(object)) > 0).all()
    assert not (np.diff(by_cells.hashes.astype(object)) > 0).all()
    np.testing.assert_array_equal(by_hash.features[by_hash.inverse], COSINE(X))
    again = in_canonical_order(by_cells, by_cells=False)
    np.testing.assert_array_equal(again.features, by_hash.features)
    np.testing.assert_array_equal(again.inverse, by_hash.inverse)


def test_chunks_are_put_in_their_place_on_any_number_of_threads(monkeypatch):
    monkeypatch.setattr(_row_hashes, "_CHUNK_ROWS", 7)
    X = np.random.default_rng(0).normal(size=(60, 3))
    found = []
    for n_threads in (1, 3):
        with thread_limit(n_threads):
            found.append(canonical_embeddings(X, COSINE))
    for embeddings in found:
        np.testing.assert_array_equal(embeddings.features[embeddings.inverse], COSINE(X))
    np.testing.assert_array_equal(found[0].hashes, found[1].hashes)
