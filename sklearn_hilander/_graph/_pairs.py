"""Pairs of nodes, and sums over them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from sklearn_hilander._device import in_threads

_CHUNK_PAIRS = 200_000
# Nodes of a block whose edges are taken at once.
_BLOCK_ROWS = 16_384
# More dimensions than this add cost, not evidence, to averages of many rows.
_MANY_DIMENSIONS, _MAIN_DIMENSIONS = 128, 96


def count_dtype(n: int) -> type[np.int32] | type[np.int64]:
    """The smaller type of integers that counts to `n`."""
    return np.int32 if n < 2**31 else np.int64


def candidate_pairs(indices: np.ndarray, is_edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each pair of neighbours once, in either direction of the graph.

    Parameters
    ----------
    indices : ndarray of shape (n_nodes, n_neighbors), int64
    is_edge : ndarray of shape (n_nodes, n_neighbors), bool

    Returns
    -------
    i, j : ndarray of shape (n_pairs,), int64
        With ``i < j``, sorted.
    """
    n_nodes, k = indices.shape
    keys = np.empty(np.count_nonzero(is_edge), dtype=np.int64)
    at = 0
    for start in range(0, n_nodes, _BLOCK_ROWS):
        edges = is_edge[start : start + _BLOCK_ROWS]
        rows = np.repeat(np.arange(start, start + len(edges)), k)[edges.reshape(-1)]
        columns = indices[start : start + _BLOCK_ROWS][edges]
        part = slice(at, at + len(rows))
        keys[part] = np.minimum(rows, columns) * n_nodes + np.maximum(rows, columns)
        at = part.stop
    # Several times quicker than np.unique, which hashes integers.
    keys.sort()
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    keys = keys[first]
    i = keys // n_nodes
    keys -= i * n_nodes
    return i, keys


def pair_dot(Z: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Inner product of the rows of each pair.

    Parameters
    ----------
    Z : ndarray of shape (n_nodes, n_features), float32
    i, j : ndarray of shape (n_pairs,), int64
        Each pair once, `i` ascending.

    Returns
    -------
    ndarray of shape (n_pairs,), float32
    """
    out = np.empty(len(i), dtype=np.float32)
    rows = torch.from_numpy(np.ascontiguousarray(Z))

    def block(part: slice) -> None:
        of_part = i[part]
        first, after = of_part[0], of_part[-1] + 1
        pointers = np.searchsorted(of_part, np.arange(first, after + 1))
        out[part] = dot_at(rows[first:after], rows, pointers, j[part]).numpy()

    with sparse_quietly():
        in_threads(block, _whole_rows(i))
    return out


def _whole_rows(i: np.ndarray) -> Iterator[slice]:
    """Slices of ascending numbers, of about so many each, no number in two of them."""
    start = 0
    while start < len(i):
        last = i[min(start + _CHUNK_PAIRS, len(i)) - 1]
        stop = start + int(np.searchsorted(i[start:], last, side="right"))
        yield slice(start, stop)
        start = stop


@contextmanager
def sparse_quietly() -> Iterator[None]:
    """Hold back what torch says of sparse matrices; around threads, never in one of several.

    It says once a process that they are in beta; sampled_addmm has been there since 1.12. Some
    releases also say that what is not to be checked is not checked.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", "Sparse invariant checks are implicitly disabled")
        yield


def dot_at(a: Tensor, b: Tensor, pointers: np.ndarray, columns: np.ndarray) -> Tensor:
    """Inner products of rows of `a` with some rows of `b` each.

    Never holds an array of (pairs, features): several times quicker than gathering rows. To be
    called within `sparse_quietly`.

    Parameters
    ----------
    a : Tensor of shape (n_rows, n_features)
    b : Tensor of shape (n_nodes, n_features)
    pointers : ndarray of shape (n_rows + 1,)
        Row r of `a` is paired with the rows ``columns[pointers[r]:pointers[r + 1]]`` of `b`.
    columns : ndarray of shape (n_pairs,)

    Returns
    -------
    Tensor of shape (n_pairs,)
    """
    places = torch.sparse_csr_tensor(
        torch.from_numpy(pointers.astype(np.int64, copy=False)),
        torch.from_numpy(columns.astype(np.int64, copy=False)),
        torch.zeros(len(columns)),
        size=(len(a), len(b)),
        check_invariants=False,
    )
    return torch.sparse.sampled_addmm(places, a, b.T, beta=0.0).values()


def sparse_pair_dot(A: sp.csr_matrix, B: sp.csr_matrix, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Inner product of row i of `A` and row j of `B`, for each pair; (n_pairs,), float32."""
    out = np.empty(len(i), dtype=np.float32)
    for start in range(0, len(i), _CHUNK_PAIRS):
        part = slice(start, start + _CHUNK_PAIRS)
        out[part] = np.asarray(A[i[part]].multiply(B[j[part]]).sum(axis=1)).reshape(-1)
    return out


def pair_max(
    values: np.ndarray, i: np.ndarray, j: np.ndarray, n_nodes: int, least: float
) -> np.ndarray:
    """Largest value of any pair that each node is in, (n_nodes,); `least` where there is none."""
    out = np.full(n_nodes, least, dtype=np.float32)
    # Of one type: many times quicker than where each value has to be converted.
    values = values.astype(np.float32, copy=False)
    np.maximum.at(out, i, values)
    np.maximum.at(out, j, values)
    return out


def pair_sum(values: np.ndarray, i: np.ndarray, j: np.ndarray, n_nodes: int) -> np.ndarray:
    """Sum of the values of all pairs that each node is in, (n_nodes,), float64."""
    return np.bincount(i, values, n_nodes) + np.bincount(j, values, n_nodes)


def unit_rows(X: np.ndarray, *, in_place: bool = False) -> np.ndarray:
    """Rows at unit length, float32; a zero row stays zero.

    With `in_place` rows that are float32 already are overwritten.
    """
    X = np.asarray(X)
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]
    if in_place and X.dtype == np.float32:
        return np.divide(X, np.maximum(norms, 1e-12), out=X)
    return (X / np.maximum(norms, 1e-12)).astype(np.float32, copy=False)


def mean_cosine(X: np.ndarray) -> float:
    """Mean cosine of two unit rows taken at random."""
    mean = X.mean(axis=0, dtype=np.float64)
    return float(mean @ mean)


def main_axes(X: np.ndarray, *, centred: bool = False) -> np.ndarray:
    """Rows along their main axes alone, where they have more dimensions than averages need.

    With `centred`, of the rows as seen from the mean of all.
    """
    mean = X.mean(axis=0) if centred else None
    if X.shape[1] <= _MANY_DIMENSIONS:
        return X if mean is None else X - mean
    squares = X.T @ X
    if mean is not None:
        squares -= len(X) * np.outer(mean, mean)
    axes = np.linalg.eigh(squares)[1][:, -_MAIN_DIMENSIONS:]
    along = X @ axes
    if mean is not None:
        along -= mean @ axes
    return along


def scale_rows(A: sp.csr_array, factors: np.ndarray) -> sp.csr_array:
    """Each row times its factor, float32."""
    A = A.tocsr()
    data = A.data * np.repeat(factors, np.diff(A.indptr))
    return sp.csr_array((data.astype(np.float32), A.indices, A.indptr), shape=A.shape)


def row_stochastic(A: sp.csr_matrix) -> sp.csr_matrix:
    """Rows scaled to sum 1, float32."""
    return scale_rows(A, 1 / (np.asarray(A.sum(axis=1)).reshape(-1) + 1e-9))


def in_blocks(
    n_pairs: int,
    of_block: Callable[[slice], np.ndarray],
    dtype: type = np.float32,
    *,
    at_once: int | None = None,
) -> np.ndarray:
    """What a function gives for all pairs, (n_pairs,), asked for some of them at a time."""
    out: np.ndarray = np.empty(n_pairs, dtype=dtype)
    step = at_once or _CHUNK_PAIRS
    for start in range(0, n_pairs, step):
        part = slice(start, min(start + step, n_pairs))
        out[part] = of_block(part)
    return out


def logit(p: np.ndarray, least: float) -> np.ndarray:
    """Log-odds, with p and 1 - p held at `least` or above."""
    return np.log(np.clip(p, least, None) / np.clip(1 - p, least, None))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Inverse of the log-odds, float32."""
    return (1 / (1 + np.exp(-np.clip(x, -60, 60)))).astype(np.float32)
