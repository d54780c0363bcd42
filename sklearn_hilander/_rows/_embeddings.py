"""Rows as the user gives them to embeddings: unit length, without duplicates, in canonical order.

Everything after this room sees rows in an order that depends on their content alone, so the
partition cannot depend on the order in which the user gives them. It is that of a hash of their
content; of many rows, that of their cells in space, and within a cell that of the hash.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sklearn_hilander._device import in_threads
from sklearn_hilander._memory import IN_PARTS, check_memory, embedding_need
from sklearn_hilander._search._cells import order_by_cells

# So few that a chunk stays in the processor's cache: twice as quick.
_CHUNK_ROWS = 1_024
_FARTHEST = float(np.finfo(np.float32).max)
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
# More rows than this are not all in the processor's cache: neighbours should be near in memory.
_HASH_ORDER_MAX_ROWS = 20_000
_MEDIAN_SAMPLE = 2_000
# Rows that all of the sample are compared with at once: 33 MB of distances.
_PROBED_ROWS = 2_048


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


@dataclass(frozen=True)
class RowScaler:
    """How rows of one data set become embeddings.

    Attributes
    ----------
    metric : {"cosine", "euclidean", "precomputed"}
        "precomputed" has no rows to scale.
    center : ndarray of shape (n_features,), float64, or None
        For "euclidean": subtracted from each row.
    scale : float
        For "euclidean": length that becomes 1. For "precomputed": distance of similarity 0.
    """

    metric: str
    center: np.ndarray | None = None
    scale: float = 1.0

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Embeddings of some rows, each from its own values alone; float32."""
        rows = np.array(X, dtype=np.float64, order="C")
        if self.center is not None:
            # New rows may lie as far out as a float64 can say: the farthest float32 will do.
            with np.errstate(over="ignore"):
                rows -= self.center
                rows /= self.scale
            np.clip(rows, -_FARTHEST, _FARTHEST, out=rows)
        else:
            # By the largest value first: the square of 1e200 is not a float64.
            largest = np.abs(rows).max(axis=1, keepdims=True)
            np.divide(rows, largest, out=rows, where=largest > 0)
            norms = np.sqrt(np.add.reduce(rows * rows, axis=1, keepdims=True))
            np.divide(rows, norms, out=rows, where=norms > 0)
        # Adding 0 makes -0.0 and 0.0 the same bits.
        return rows.astype(np.float32) + np.float32(0)


def fit_row_scaler(X: np.ndarray, metric: str, n_neighbors: int) -> RowScaler:
    """Choose how rows become embeddings.

    Cosine needs nothing. For "euclidean" the length that becomes 1 is the median distance to
    the `n_neighbors`-th neighbour, over at most 2,000 rows, evenly spaced in content order.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    metric : {"cosine", "euclidean"}
    n_neighbors : int

    Returns
    -------
    RowScaler
    """
    if metric == "cosine":
        return RowScaler(metric)
    # Midrange and rounding: a mean's last bits would depend on the order of the rows.
    low, high = X.min(axis=0).astype(np.float64), X.max(axis=0).astype(np.float64)
    center = low / 2 + high / 2
    largest = float(np.abs(high - center).max()) or 1.0
    coarse = RowScaler(metric, center, largest)
    order = np.argsort(_hash_all(X, coarse), kind="stable")
    probe = coarse(X[order[:: -(-len(X) // _MEDIAN_SAMPLE)]])
    radii = _kth_distances(probe, coarse, X, n_neighbors)
    positive = radii[radii > 0]
    if len(positive) == 0:
        return coarse
    return RowScaler(metric, center, float(f"{np.median(positive) * largest:.3g}"))


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
    hashes = _hash_all(X, scaler)
    order = np.argsort(hashes, kind="stable")
    position = np.empty(n_samples, dtype=np.int64)
    position[order] = np.arange(n_samples)
    features = np.empty((n_samples, n_features), dtype=np.float32)

    def scale(start: int) -> None:
        features[position[start : start + _CHUNK_ROWS]] = scaler(X[start : start + _CHUNK_ROWS])

    in_threads(scale, _chunks(X))
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
    if not (exponent and smallest >= _SMALLEST_NORMAL and sizes.max(initial=0) < _FARTHEST):
        return embeddings, scaler
    fresh = replace(embeddings, features=features, hashes=_hash_all(features, np.asarray))
    return fresh, replace(scaler, scale=float(np.ldexp(scaler.scale, -exponent)))


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


def _chunks(X: np.ndarray) -> range:
    return range(0, len(X), _CHUNK_ROWS)


def _hash_all(X: np.ndarray, scaler: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multilinear hash of each embedding's bits, shape (n_samples,), uint64."""
    multipliers = np.random.default_rng(0).integers(
        1, 2**64, size=X.shape[1], dtype=np.uint64, endpoint=False
    ) | np.uint64(1)
    hashes = np.empty(len(X), dtype=np.uint64)

    def hash_chunk(start: int) -> None:
        bits = scaler(X[start : start + _CHUNK_ROWS]).view(np.uint32)
        total = (bits.astype(np.uint64) * multipliers).sum(axis=1, dtype=np.uint64)
        # The low bits of a multilinear hash are weak: fold the high ones in.
        total ^= total >> np.uint64(32)
        hashes[start : start + len(bits)] = total * np.uint64(0x9E3779B97F4A7C15)

    in_threads(hash_chunk, _chunks(X))
    return hashes


def _sort_collisions(
    order: np.ndarray, features: np.ndarray, hashes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sort rows that share a hash by content, so that copies stand side by side."""
    keys = [column for column in features.T[::-1]]
    resorted = np.lexsort([*keys, hashes])
    order, features, hashes = order[resorted], features[resorted], hashes[resorted]
    same = (hashes[1:] == hashes[:-1]) & (features[1:] == features[:-1]).all(axis=1)
    return order, features, hashes, np.flatnonzero(same)


def _kth_distances(
    probe: np.ndarray, scaler: RowScaler, X: np.ndarray, n_neighbors: int
) -> np.ndarray:
    """Distance of each probe row to its k-th nearest row of X, in embedding units."""
    k = min(n_neighbors + 1, len(X))
    best = np.full((len(probe), 0), np.inf)
    probe = probe.astype(np.float64)
    own = (probe * probe).sum(axis=1)[:, None]
    for start in range(0, len(X), _PROBED_ROWS):
        rows = scaler(X[start : start + _PROBED_ROWS]).astype(np.float64)
        squared = own + (rows * rows).sum(axis=1) - 2 * probe @ rows.T
        best = np.concatenate([best, squared], axis=1)
        if best.shape[1] > k:
            best.partition(k - 1, axis=1)
            best = best[:, :k].copy()
    return np.sqrt(np.maximum(best.max(axis=1), 0))
