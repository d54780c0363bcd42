"""A judge of single new rows against known clusters, by relations in their neighbourhood.

Each new row is judged by itself, from its known neighbours, their neighbours and the clusters
that these are in: what it costs is the search, and then a constant a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from sklearn_hilander._graph._pair_table import Columns
from sklearn_hilander._graph._pairs import sigmoid
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._search._neighbors import query_neighbors

_SCALE_NEIGHBOR = 9
_CHUNK_ROWS = 2_000


@dataclass(frozen=True)
class Known:
    """Rows in clusters, as this room needs them.

    Attributes
    ----------
    features : ndarray of shape (n_known, n_features), float32
    indices, similarities : ndarray of shape (n_known, n_neighbors)
    part : ndarray of shape (n_known,), int64
        Cluster of each row, from 0.
    metric : {"cosine", "euclidean"}
    """

    features: np.ndarray
    indices: np.ndarray
    similarities: np.ndarray
    part: np.ndarray
    metric: str

    @cached_property
    def clusters(self) -> _Clusters:
        """What is known of whole clusters; the one thing that takes all known rows."""
        return _Clusters(self)


@dataclass(frozen=True)
class RowPairs:
    """New rows and the clusters of their neighbours.

    Attributes
    ----------
    row, part, neighbor : ndarray of shape (n_pairs,), int64
        New row, cluster, and the nearest known row in it.
    relations : ndarray of shape (n_pairs, n_relations), float32
    """

    row: np.ndarray
    part: np.ndarray
    neighbor: np.ndarray
    relations: np.ndarray


@dataclass(frozen=True)
class RowJudge:
    """What is learned of new rows and known clusters.

    Attributes
    ----------
    network : Perceptrons
        One network.
    threshold : float
        Probability above which joining did best on the training rows.
    """

    network: Perceptrons
    threshold: float

    def __call__(self, pairs: RowPairs) -> np.ndarray:
        """Probability of each new row to be of its cluster, (n_pairs,), float64."""
        return sigmoid(self.network.log_odds(pairs.relations)[0]).astype(np.float64)


def row_relations(
    features: np.ndarray, known: Known, n_neighbors: int, device: torch.device
) -> RowPairs:
    """Relations of new rows to the clusters of their known neighbours.

    Parameters
    ----------
    features : ndarray of shape (n_new, n_features), float32
    known : Known
    n_neighbors : int
    device : torch.device
        Of the search.

    Returns
    -------
    RowPairs
    """
    fitted = torch.from_numpy(known.features).to(device)
    parts = []
    for start in range(0, len(features), _CHUNK_ROWS):
        rows = features[start : start + _CHUNK_ROWS]
        found = query_neighbors(
            torch.from_numpy(rows).to(device), fitted, n_neighbors, metric=known.metric
        )
        pairs = _relate(rows, known, found.indices.cpu().numpy(), found.similarities.cpu().numpy())
        parts.append((pairs.row + start, pairs.part, pairs.neighbor, pairs.relations))
    return RowPairs(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class _Clusters:
    """What is known of whole clusters."""

    def __init__(self, known: Known) -> None:
        self.metric = known.metric
        self.n = int(known.part.max()) + 1
        self.sizes = np.bincount(known.part, minlength=self.n).astype(np.float32)
        squares = np.einsum("nd,nd->n", known.features, known.features, dtype=np.float64)
        self.height = float(np.sqrt(squares.mean())) or 1.0
        rows = self.on_sphere(known.features)
        order = np.argsort(known.part, kind="stable")
        start = np.flatnonzero(np.r_[True, np.diff(known.part[order]) > 0])
        self.sums = np.zeros((self.n, rows.shape[1]), dtype=np.float32)
        self.sums[known.part[order][start]] = np.add.reduceat(rows[order], start, axis=0)
        squared = np.einsum("cd,cd->c", self.sums, self.sums)
        many = self.sizes > 1
        own = np.where(
            many, (squared - self.sizes) / np.where(many, self.sizes * (self.sizes - 1), 1), 0
        )
        self.own = np.where(many, own, own[many].mean() if many.any() else 1.0)
        self.norms = np.sqrt(np.maximum(squared, 1e-12))

    def on_sphere(self, features: np.ndarray) -> np.ndarray:
        """Unit rows; for "euclidean", lifted by the root mean square of the known rows first."""
        if self.metric == "cosine":
            return features
        lifted = np.hstack([features, np.full((len(features), 1), self.height, np.float32)])
        return lifted / np.linalg.norm(lifted, axis=1, keepdims=True)


def _relate(
    rows: np.ndarray,
    known: Known,
    indices: np.ndarray,
    similarities: np.ndarray,
) -> RowPairs:
    """Relations of some new rows with these known neighbours."""
    clusters = known.clusters
    m, k = indices.shape
    label = known.part[indices]
    keys = (np.arange(m)[:, None] * clusters.n + label).reshape(-1)
    unique, nearest, position = np.unique(keys, return_index=True, return_inverse=True)
    position = position.reshape(m, k)
    row, part = unique // clusters.n, unique % clusters.n
    n_pairs = len(unique)
    flat = position.reshape(-1)

    def total(values: np.ndarray) -> np.ndarray:
        return np.bincount(flat, np.broadcast_to(values, (m, k)).reshape(-1), n_pairs)

    ranks = np.arange(k)
    counts = total(np.ones(k))
    out = Columns()
    best = similarities.reshape(-1)[nearest]
    size = clusters.sizes[part]
    out.add(best)
    out.add(best - similarities[row, 0])
    out.add(_lead(best, row, m))
    out.add(np.log1p(nearest % k))
    for q in (3, 5, 10, 20, 40):
        within = total(ranks < q)
        out.add(within / min(q, k))
        out.add(within / np.minimum(size, min(q, k)))
    out.add(_lead(counts / k, row, m))
    out.add(np.log(size))
    mean = total(similarities) / counts
    out.add(mean - best)
    out.add(mean - similarities.mean(axis=1)[row])
    # Local scaling, and votes by it.
    distance = np.sqrt(np.clip(1 - similarities, 1e-6, None))
    scale = distance[:, min(_SCALE_NEIGHBOR, k) - 1]
    width = known.similarities.shape[1]
    at = max(min(_SCALE_NEIGHBOR, width) - 1, 0)
    their_scale = np.sqrt(np.clip(1 - known.similarities[:, at], 1e-6, None))[indices]
    weight = np.exp2(-(distance**2) / (scale[:, None] * their_scale))
    # Among near copies of one another everything else is so far that no weight is left.
    vote = total(weight) / np.maximum(weight.sum(axis=1), np.finfo(np.float32).tiny)[row]
    strongest = np.zeros(n_pairs)
    np.maximum.at(strongest, flat, weight.reshape(-1))
    out.add(strongest)
    out.add(vote)
    out.add(_lead(vote, row, m))
    # Where the new row would stand among their neighbours.
    theirs = known.similarities[indices]
    rank_there = np.log1p((theirs > similarities[:, :, None]).sum(axis=2))
    lowest = np.full(n_pairs, 9.0)
    np.minimum.at(lowest, flat, rank_there.reshape(-1))
    out.add(lowest)
    out.add(total(rank_there) / counts)
    closest = indices.reshape(-1)[nearest]
    out.add(best - known.similarities[closest, 0])
    out.add(best - known.similarities[closest, :5].mean(axis=1))
    # How far their own neighbours agree, and a second step from the nearest.
    agree = (known.part[known.indices[indices][:, :, :5]] == label[:, :, None]).mean(axis=2)
    out.add(total(agree) / counts)
    out.add(_second_step(indices, weight, known, clusters.n, unique, row))
    on_sphere = clusters.on_sphere(rows)
    product = np.einsum("pd,pd->p", on_sphere[row], clusters.sums[part])
    to_members = product / size
    out.add(to_members)
    out.add(to_members - clusters.own[part])
    out.add(_lead(to_members, row, m))
    out.add(product / clusters.norms[part])
    out.add(_lead(product / clusters.norms[part], row, m))
    for q in (1, 5, 10, 40):
        out.add(similarities[row, min(q, k) - 1])
    n_parts = np.bincount(row, minlength=m)
    out.add(np.log(n_parts[row]))
    return RowPairs(row, part, closest, out.stack())


def _lead(values: np.ndarray, row: np.ndarray, n_rows: int) -> np.ndarray:
    """Each value against the largest other of its row; against 0 where there is none."""
    order = np.lexsort((-values, row))
    start = np.searchsorted(row[order], np.arange(n_rows))
    stop = np.searchsorted(row[order], np.arange(n_rows), side="right")
    first = values[order][np.minimum(start, len(order) - 1)]
    has_second = stop - start > 1
    second = np.where(has_second, values[order][np.minimum(start + 1, len(order) - 1)], 0.0)
    is_first = np.zeros(len(values), dtype=bool)
    is_first[order[start[stop > start]]] = True
    return values - np.where(is_first, second[row], first[row])


def _second_step(
    indices: np.ndarray,
    weight: np.ndarray,
    known: Known,
    n_clusters: int,
    unique: np.ndarray,
    row: np.ndarray,
    q: int = 10,
) -> np.ndarray:
    """Share of a two-step walk from the new row that ends in each cluster."""
    near = known.indices[indices[:, :q]][:, :, :q]
    m = len(indices)
    keys = np.arange(m)[:, None, None] * n_clusters + known.part[near]
    mass = np.broadcast_to(weight[:, :q, None], near.shape)
    at = np.minimum(np.searchsorted(unique, keys), len(unique) - 1)
    hit = unique[at] == keys
    total = mass.sum(axis=(1, 2))
    return np.bincount(at[hit], mass[hit], len(unique)) / np.maximum(total, 1e-9)[row]
