"""Rows as the user gives them to embeddings: unit length, without duplicates, in canonical order.

Everything after this room sees rows in an order that depends on their content alone, so the
partition cannot depend on the order in which the user gives them. It is that of a hash of their
content; of many rows, that of their cells in space, and within a cell that of the hash.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sklearn_hilander._memory import IN_PARTS, check_memory, embedding_need
from sklearn_hilander._rows._row_hashes import chunk_by_chunk, hash_rows
from sklearn_hilander._rows._row_scaler import FARTHEST, RowScaler, fit_row_scaler
from sklearn_hilander._search._cells import order_by_cells

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
# More rows than this are not all in the processor's cache: neighbours should be near in memory.
_HASH_ORDER_MAX_ROWS = 20_000


@dataclass(frozen=True)
class Embeddings:
    """Distinct rows in canonical order.

    Attributes
    ----------
    features : ndarray of shape (n_distinct, n_features), float32
    inverse : ndarray of shape (n_samples,), int64
        Distinct row of each sample.
    counts : ndarray of shape (n_distinct,), float32
        How many samples are copies of each distinct row.
    hashes : ndarray of shape (n_distinct,), uint64
        Content hash of each distinct row.
    first : ndarray of shape (n_distinct,), int64
        First sample that is a copy of each distinct row.
    """

    features: np.ndarray
    inverse: np.ndarray
    counts: np.ndarray
    hashes: np.ndarray
    first: np.ndarray

    def without_features(self) -> Embeddings:
        """The same with no columns, whose memory can be freed."""
        return replace(self, features=self.features[:, :0].copy())


def canonical_embeddings(X: np.ndarray, scaler: RowScaler, *, by_cells: bool = True) -> Embeddings:
    """Embeddings of `X`, exact copies collapsed, in canonical order.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    scaler : RowScaler
    by_cells : bool, default=True
        Order many rows by their cells in space. It takes longer than it saves where none of them
        are read by the CPU.

    Returns
    -------
    Embeddings

    Raises
    ------
    MemoryError
        If there is clearly too little for them.
    """
    n_samples, n_features = X.shape
    check_memory("Scaling the rows", n_samples, lambda n: embedding_need(n, n_features), IN_PARTS)
    hashes = hash_rows(X, scaler)
    order = np.argsort(hashes, kind="stable")
    position = np.empty(n_samples, dtype=np.int64)
    position[order] = np.arange(n_samples)
    features = _scaled_to(position, X, scaler, n_samples)
    hashes = hashes[order]
    tied = np.flatnonzero(hashes[1:] == hashes[:-1])
    copies = (features[tied] == features[tied + 1]).all(axis=1)
    if not copies.all():
        order, features, hashes, tied = _sort_collisions(order, features, hashes)
        position[order] = np.arange(n_samples)
    is_first = np.ones(n_samples, dtype=bool)
    is_first[tied + 1] = False
    distinct = np.cumsum(is_first) - 1
    if len(tied):
        features, hashes = features[is_first], hashes[is_first]
    embeddings = Embeddings(
        features=features,
        inverse=distinct[position],
        counts=np.bincount(distinct).astype(np.float32),
        hashes=hashes,
        first=order[is_first],
    )
    return _cell_by_cell(embeddings, by_cells)


def scale_again(X: np.ndarray, scaler: RowScaler, embeddings: Embeddings) -> np.ndarray:
    """The features of embeddings from the rows that these were made of, bit by bit.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    scaler : RowScaler
    embeddings : Embeddings
        Of these rows; their features are not read.

    Returns
    -------
    ndarray of shape (n_distinct, n_features), float32
    """
    return _scaled_to(embeddings.inverse, X, scaler, len(embeddings.counts))


def match_rows(new: Embeddings, known: Embeddings, by_hash: np.ndarray) -> np.ndarray:
    """Find exact copies of known rows.

    Parameters
    ----------
    new, known : Embeddings
    by_hash : ndarray of shape (n_distinct_known,), int64
        Known distinct rows in the order of their hashes.

    Returns
    -------
    ndarray of shape (n_distinct_new,), int64
        Distinct row of `known` that is an exact copy, or -1.
    """
    hashes = known.hashes[by_hash]
    found = np.full(len(new.hashes), -1, dtype=np.int64)
    at = np.searchsorted(hashes, new.hashes, side="left")
    pending = np.arange(len(new.hashes))
    # More than one pass only where different rows share a hash.
    while len(pending):
        pending = pending[at[pending] < len(hashes)]
        pending = pending[hashes[at[pending]] == new.hashes[pending]]
        rows = by_hash[at[pending]]
        same = (known.features[rows] == new.features[pending]).all(axis=1)
        found[pending[same]] = rows[same]
        pending = pending[~same]
        at[pending] += 1
    return found


def in_canonical_order(embeddings: Embeddings, *, by_cells: bool = True) -> Embeddings:
    """The same distinct rows as `canonical_embeddings` orders them, wherever they were added."""
    order = np.argsort(embeddings.hashes, kind="stable")
    features, hashes = embeddings.features[order], embeddings.hashes[order]
    if (hashes[1:] == hashes[:-1]).any():
        order, features, hashes, _ = _sort_collisions(order, features, hashes)
    del features, hashes
    return _cell_by_cell(_reordered(embeddings, order), by_cells)


def rescaled(
    embeddings: Embeddings, scaler: RowScaler, n_neighbors: int
) -> tuple[Embeddings, RowScaler]:
    """The same rows in a scale that suits all of them, where theirs was chosen for a few.

    Scales differ by a power of two, so each value has the bits that it would have, had its row been
    scaled so from the start: copies of known rows are still found. The center stays.

    Parameters
    ----------
    embeddings : Embeddings
    scaler : RowScaler
        That made them.
    n_neighbors : int

    Returns
    -------
    embeddings : Embeddings
        Order of the rows as before.
    scaler : RowScaler
        That makes these. Both are the same objects where nothing has to change.
    """
    if scaler.metric != "euclidean":
        return embeddings, scaler
    every = embeddings.features[embeddings.inverse]
    exponent = -round(math.log2(fit_row_scaler(every, scaler.metric, n_neighbors).scale))
    features = np.ldexp(embeddings.features, exponent).astype(np.float32)
    sizes = np.abs(np.stack([embeddings.features, features]))
    smallest = sizes.min(where=sizes > 0, initial=1)
    # Beyond these, digits would be lost.
    if not (exponent and smallest >= _SMALLEST_NORMAL and sizes.max(initial=0) < FARTHEST):
        return embeddings, scaler
    fresh = replace(embeddings, features=features, hashes=hash_rows(features, np.asarray))
    return fresh, replace(scaler, scale=float(np.ldexp(scaler.scale, -exponent)))


def _scaled_to(position: np.ndarray, X: np.ndarray, scaler: RowScaler, n_rows: int) -> np.ndarray:
    """Embeddings of all rows, each at its position, (n_rows, n_features), float32."""
    features = np.empty((n_rows, X.shape[1]), dtype=np.float32)

    def scale(of: slice) -> None:
        features[position[of]] = scaler(X[of])

    chunk_by_chunk(scale, len(X))
    return features


def _cell_by_cell(embeddings: Embeddings, wanted: bool) -> Embeddings:
    """Many rows by their cells; those of a cell stay in the order that they are given in."""
    if not wanted or len(embeddings.features) <= _HASH_ORDER_MAX_ROWS:
        return embeddings
    return _reordered(embeddings, order_by_cells(embeddings.features))


def _reordered(embeddings: Embeddings, order: np.ndarray) -> Embeddings:
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    return Embeddings(
        features=embeddings.features[order],
        inverse=position[embeddings.inverse],
        counts=embeddings.counts[order],
        hashes=embeddings.hashes[order],
        first=embeddings.first[order],
    )


def _sort_collisions(
    order: np.ndarray, features: np.ndarray, hashes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sort rows that share a hash by content, so that copies stand side by side."""
    keys = [column for column in features.T[::-1]]
    resorted = np.lexsort([*keys, hashes])
    order, features, hashes = order[resorted], features[resorted], hashes[resorted]
    same = (hashes[1:] == hashes[:-1]) & (features[1:] == features[:-1]).all(axis=1)
    return order, features, hashes, np.flatnonzero(same)
