"""Pairs of nodes, and sums over them."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

_CHUNK_PAIRS = 200_000
# More dimensions than this add cost, not evidence, to averages of many rows.
_MANY_DIMENSIONS, _MAIN_DIMENSIONS = 128, 96


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
    rows = np.repeat(np.arange(n_nodes), k)[is_edge.reshape(-1)]
    columns = indices.reshape(-1)[is_edge.reshape(-1)]
    keys = np.minimum(rows, columns) * n_nodes + np.maximum(rows, columns)
    # Several times quicker than np.unique, which hashes integers.
    keys.sort()
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return keys // n_nodes, keys % n_nodes


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
    if len(i) == 0:
        return np.zeros(0, dtype=np.float32)
    pointers = np.searchsorted(i, np.arange(len(Z) + 1))
    rows = torch.from_numpy(np.ascontiguousarray(Z))
    return dot_at(rows, rows, pointers, j).numpy()


def dot_at(a: Tensor, b: Tensor, pointers: np.ndarray, columns: np.ndarray) -> Tensor:
    """Inner products of rows of `a` with some rows of `b` each.

    Never holds an array of (pairs, features): several times quicker than gathering rows.

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
    # torch says once a process that these are in beta; sampled_addmm has been there since 1.12.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
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
    np.maximum.at(out, i, values)
    np.maximum.at(out, j, values)
    return out


def pair_sum(values: np.ndarray, i: np.ndarray, j: np.ndarray, n_nodes: int) -> np.ndarray:
    """Sum of the values of all pairs that each node is in, (n_nodes,), float64."""
    return np.bincount(i, values, n_nodes) + np.bincount(j, values, n_nodes)


def unit_rows(X: np.ndarray) -> np.ndarray:
    """Rows at unit length, float32; a zero row stays zero."""
    X = np.asarray(X)
    norms = np.sqrt(np.einsum("ij,ij->i", X, X))[:, None]
    return (X / np.maximum(norms, 1e-12)).astype(np.float32, copy=False)


def main_axes(X: np.ndarray) -> np.ndarray:
    """Rows along their main axes alone, where they have more dimensions than averages need."""
    if X.shape[1] <= _MANY_DIMENSIONS:
        return X
    _, vectors = np.linalg.eigh(X.T @ X)
    return X @ vectors[:, -_MAIN_DIMENSIONS:]


def scale_rows(A: sp.csr_array, factors: np.ndarray) -> sp.csr_array:
    """Each row times its factor, float32."""
    A = A.tocsr()
    data = A.data * np.repeat(factors, np.diff(A.indptr))
    return sp.csr_array((data.astype(np.float32), A.indices, A.indptr), shape=A.shape)


def row_stochastic(A: sp.csr_matrix) -> sp.csr_matrix:
    """Rows scaled to sum 1, float32."""
    return scale_rows(A, 1 / (np.asarray(A.sum(axis=1)).reshape(-1) + 1e-9))


def logit(p: np.ndarray, least: float) -> np.ndarray:
    """Log-odds, with p and 1 - p held at `least` or above."""
    return np.log(np.clip(p, least, None) / np.clip(1 - p, least, None))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Inverse of the log-odds, float32."""
    return (1 / (1 + np.exp(-np.clip(x, -60, 60)))).astype(np.float32)


class Columns:
    """Features of pairs, a column at a time: a table that is never held row by row as a whole.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), int64, optional
        The pairs that are kept of each column; by default all.
    """

    def __init__(self, rows: np.ndarray | None = None) -> None:
        self.rows = slice(None) if rows is None else rows
        self.columns: list[np.ndarray] = []

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some pairs, (n_rows, n_features), float32."""
        return np.stack([column[rows] for column in self.columns], axis=1, dtype=np.float32)

    def __add__(self, other: Columns) -> Columns:
        """The columns of both, of the same pairs; none is copied."""
        out = Columns()
        out.columns = [*self.columns, *other.columns]
        return out

    def compact(self) -> Columns:
        """Keep three digits alone, in half of the memory, column by column; returns itself."""
        for at, column in enumerate(self.columns):
            self.columns[at] = column.astype(np.float16)
        return self

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return len(self.columns)

    def add(self, values: np.ndarray) -> None:
        """Add a feature of the pair as a whole."""
        self.columns.append(np.asarray(values[self.rows], dtype=np.float32))

    def both(self, a: np.ndarray, b: np.ndarray) -> None:
        """Add the smaller and the larger of a feature of either end, without their order."""
        self.add(np.minimum(a, b))
        self.add(np.maximum(a, b))

    def stack(self) -> np.ndarray:
        """All pairs, (n_pairs, n_features), float32."""
        return self[:]
