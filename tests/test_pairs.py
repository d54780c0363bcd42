import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander._graph import _pairs
from sklearn_hilander._graph._pairs import (
    candidate_pairs,
    in_blocks,
    logit,
    pair_dot,
    pair_max,
    pair_sum,
    row_stochastic,
    sigmoid,
    sparse_pair_dot,
    unit_rows,
)

seeds = st.integers(0, 10**6)


def random_pairs(rng, n, n_pairs):
    keys = np.unique(rng.integers(0, n * n, n_pairs))
    return keys // n, keys % n


@given(seed=seeds, n=st.integers(2, 30), k=st.integers(1, 8), share=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_candidate_pairs_are_the_edges_without_direction(seed, n, k, share):
    rng = np.random.default_rng(seed)
    k = min(k, n - 1)
    indices = np.array([rng.permutation(np.delete(np.arange(n), row))[:k] for row in range(n)])
    is_edge = rng.random((n, k)) < share
    expected = sorted(
        {
            (min(row, int(other)), max(row, int(other)))
            for row in range(n)
            for other, edge in zip(indices[row], is_edge[row], strict=True)
            if edge
        }
    )
    i, j = candidate_pairs(indices, is_edge)
    assert i.dtype == j.dtype == np.int64
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected


def test_candidate_pairs_of_no_neighbors():
    i, j = candidate_pairs(np.zeros((3, 0), dtype=np.int64), np.zeros((3, 0), dtype=bool))
    assert i.shape == j.shape == (0,)


@given(seed=seeds, n=st.integers(1, 20), d=st.integers(1, 5), n_pairs=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_pair_dot(seed, n, d, n_pairs):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n, d)).astype(np.float32)
    i, j = random_pairs(rng, n, n_pairs)
    out = pair_dot(Z, i, j)
    assert out.dtype == np.float32
    expected = [float(Z[a] @ Z[b]) for a, b in zip(i, j, strict=True)]
    np.testing.assert_allclose(out, np.reshape(expected, len(i)), rtol=1e-4, atol=1e-5)


@given(
    seed=seeds,
    n=st.integers(1, 20),
    d=st.integers(1, 8),
    n_pairs=st.integers(0, 30),
    density=st.floats(0, 1),
)
@settings(max_examples=40, deadline=None)
def test_sparse_pair_dot(seed, n, d, n_pairs, density):
    rng = np.random.default_rng(seed)
    A, B = (
        (rng.normal(size=(n, d)) * (rng.random((n, d)) < density)).astype(np.float32)
        for _ in range(2)
    )
    i, j = random_pairs(rng, n, n_pairs)
    out = sparse_pair_dot(sp.csr_array(A), sp.csr_array(B), i, j)
    assert out.dtype == np.float32
    expected = [float(A[a] @ B[b]) for a, b in zip(i, j, strict=True)]
    np.testing.assert_allclose(out, np.reshape(expected, len(i)), rtol=1e-4, atol=1e-5)


def test_many_pairs_are_as_few(rng):
    # More than any block that the sums may be taken in.
    n = 800
    i, j = np.triu_indices(n)
    Z = rng.normal(size=(n, 2)).astype(np.float32)
    np.testing.assert_allclose(pair_dot(Z, i, j), (Z @ Z.T)[i, j], atol=1e-5)
    S = sp.csr_array(Z * (rng.random(Z.shape) < 0.2))
    np.testing.assert_allclose(sparse_pair_dot(S, S, i, j), (S @ S.T).toarray()[i, j], atol=1e-5)


@given(seed=seeds, n=st.integers(1, 12), n_pairs=st.integers(0, 30))
@settings(max_examples=40, deadline=None)
def test_pair_max_and_pair_sum(seed, n, n_pairs):
    rng = np.random.default_rng(seed)
    i, j = random_pairs(rng, n, n_pairs)
    # A pair has two different ends.
    i, j = i[i != j], j[i != j]
    values = rng.normal(size=len(i)).astype(np.float32)
    largest, total = np.full(n, -5.0), np.zeros(n)
    for a, b, value in zip(i, j, values, strict=True):
        for end in (a, b):
            largest[end] = max(largest[end], value)
            total[end] += value
    np.testing.assert_array_equal(pair_max(values, i, j, n, -5.0), largest.astype(np.float32))
    np.testing.assert_allclose(pair_sum(values, i, j, n), total, atol=1e-6)


def test_unit_rows(rng):
    X = rng.normal(size=(6, 3)) * np.array([1e-6, 1, 1e6, 1, 1, 1])[:, None]
    X[4] = 0
    unit = unit_rows(X)
    assert unit.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), [1, 1, 1, 1, 0, 1], atol=1e-6)
    np.testing.assert_allclose(unit[2] * np.linalg.norm(X[2]), X[2], rtol=1e-5)


def test_row_stochastic(rng):
    A = rng.random((6, 6)).astype(np.float32) * (rng.random((6, 6)) < 0.6)
    A[0] = [0, 2, 0, 6, 0, 0]
    A[3] = 0
    P = row_stochastic(sp.csr_array(A))
    assert P.dtype == np.float32
    np.testing.assert_allclose(P.toarray()[0], [0, 0.25, 0, 0.75, 0, 0], atol=1e-6)
    expected = np.where(A.sum(axis=1) > 0, 1, 0)
    np.testing.assert_allclose(P.toarray().sum(axis=1), expected, atol=1e-5)


def test_sigmoid_undoes_logit():
    p = np.linspace(0.001, 0.999, 101)
    np.testing.assert_allclose(sigmoid(logit(p, 1e-6)), p, rtol=1e-5)
    np.testing.assert_allclose(sigmoid(logit(np.array([0.0, 1.0]), 0.01)), [1 / 101, 100 / 101])
    assert sigmoid(p).dtype == np.float32


@pytest.mark.parametrize("p", [np.array([0, 1], "f4"), np.array([0, 1], "f8")])
def test_logit_of_certainty_is_finite_and_odd(p):
    low, high = logit(p, 1e-4)
    assert low == pytest.approx(-high)
    assert high == pytest.approx(np.log(1e4))


def test_sigmoid_of_huge_numbers():
    np.testing.assert_allclose(sigmoid(np.array([-1e9, 0, 1e9])), [0, 0.5, 1], atol=1e-12)


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_pairs_in_blocks_of_any_size(rng, at_once, monkeypatch):
    Z = rng.normal(size=(20, 5)).astype(np.float32)
    i, j = random_pairs(rng, 20, 60)
    indices = np.array([rng.permutation(np.delete(np.arange(20), row))[:6] for row in range(20)])
    is_edge = rng.random(indices.shape) < 0.7
    products, pairs = pair_dot(Z, i, j), candidate_pairs(indices, is_edge)
    monkeypatch.setattr(_pairs, "_CHUNK_PAIRS", at_once)
    monkeypatch.setattr(_pairs, "_BLOCK_ROWS", at_once)
    np.testing.assert_array_equal(pair_dot(Z, i, j), products)
    np.testing.assert_array_equal(candidate_pairs(indices, is_edge), pairs)
    half = in_blocks(len(i), lambda rows: products[rows] / 2, np.float16)
    np.testing.assert_array_equal(half, (products / 2).astype(np.float16))


def test_rows_are_scaled_in_place_where_they_can_be(rng):
    X = rng.normal(size=(4, 3)).astype(np.float32)
    expected = unit_rows(X.copy())
    assert unit_rows(X, in_place=True) is X
    np.testing.assert_array_equal(X, expected)
    whole = np.arange(1, 7).reshape(2, 3)
    np.testing.assert_array_equal(unit_rows(whole, in_place=True), unit_rows(whole))
    assert whole.dtype != np.float32
    assert whole[0, 0] == 1
