"""A graph of distances to unit rows that have them: embeddings where none were given.

The relational architecture compares rows that no edge joins: it averages, whitens and smooths
embeddings. So rows are found whose cosines are the similarities along the edges, and who are else
as far apart as rows at random are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.csgraph import connected_components, dijkstra

from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pairs import dot_at, sparse_quietly, unit_rows
from sklearn_hilander._rows._distances import DistanceGraph, nearest_of
from sklearn_hilander._search._two_hops import search_two_hops

N_FEATURES = 128
# Of the fit: steps, their length, and how much of the last one goes on.
_STEPS, _RATE, _MOMENTUM = 30, 1.0, 0.8
# Rows that shortest paths start from, fewer where they would visit more edges than these.
_SOURCES, _VISITED = 32, 3e7
# Distance at random, of the length of a path: paths take detours.
_STRAIGHT = 0.75
# Nearest neighbours whose distance is the scale of a row.
_SCALE_NEIGHBORS = 9


@dataclass(frozen=True)
class EmbeddedGraph:
    """A graph of distances with embeddings made for it.

    Attributes
    ----------
    features : ndarray of shape (n_nodes, N_FEATURES), float32
        Unit rows.
    far : float
        Distance at random, in the unit of the graph; that of similarity 0.
    indices : ndarray of shape (n_nodes, n_neighbors), int64
        Nearest neighbours by the distances given; the row itself where there is no further one.
    similarities : ndarray of shape (n_nodes, n_neighbors), float32
        ``1 - distance / far``, clipped to [0, 1]; 0 where there is no further one.
    components : ndarray of shape (n_nodes,), int64
        Component of the graph: no path leads from one to another.
    places : csr_array of shape (n_nodes, n_nodes), float32
        Similarities, symmetric.
    """

    features: np.ndarray
    far: float
    indices: np.ndarray
    similarities: np.ndarray
    components: np.ndarray
    places: sp.csr_array


@dataclass(frozen=True)
class GraphBuilderWithin:
    """Embeddings -> PairGraph that has no pair further apart than a graph leads in few steps.

    As `GraphBuilder`, whose place it takes: rows in different components are never compared.

    Attributes
    ----------
    embedded : EmbeddedGraph
    n_neighbors : int
    """

    embedded: EmbeddedGraph
    n_neighbors: int

    def __call__(self, features: np.ndarray, before: PairGraph | None = None) -> PairGraph:
        """Neighbours within two steps along the edges, or along those of the graph before."""
        if before is not None:
            return PairGraph(features, *search_two_hops(features, before.indices))
        k = min(self.n_neighbors, len(features) - 1)
        return PairGraph(features, *search_two_hops(features, self.embedded.places, k))

    def widening(self, source: Callable[[], np.ndarray]) -> Iterator[PairGraph]:
        """The graph of all neighbours: one of fewer is found no quicker."""
        yield self(source())


def embed_graph(graph: DistanceGraph, n_neighbors: int) -> EmbeddedGraph:
    """Unit rows whose cosines are the similarities along the edges.

    Rows start as one step of a random walk makes them of random ones, so that those with no path
    between them are almost orthogonal, and go down the gradient of the mean squared error of the
    cosines along each row's edges.

    Parameters
    ----------
    graph : DistanceGraph
    n_neighbors : int
        Of `EmbeddedGraph.indices`.

    Returns
    -------
    EmbeddedGraph
    """
    distances = graph.distances
    n = distances.shape[0]
    k = max(0, min(n_neighbors, n - 1))
    indices, nearest = nearest_of(distances, k)
    far = _distance_at_random(distances)
    similarities = np.clip(1 - nearest / far, 0, 1).astype(np.float32)
    indices = np.where(np.isfinite(nearest), indices, np.arange(n)[:, None])
    places = distances.copy()
    places.data = np.clip(1 - distances.data / np.float32(far), 0, 1).astype(np.float32)
    _, components = connected_components(distances, directed=False)
    features = _fit(places, _walk_from_random(distances, nearest))
    return EmbeddedGraph(features, far, indices, similarities, components.astype(np.int64), places)


def _distance_at_random(distances: sp.csr_array) -> float:
    """About how far two rows taken at random are apart.

    The median over pairs: distances where they are given, else a share of the shortest path, and
    never less than the row's farthest neighbour.
    """
    n = distances.shape[0]
    n_sources = int(np.clip(_VISITED / max(1, distances.nnz), 3, _SOURCES))
    # Rows stand in an order without a meaning: evenly spaced ones are as good as drawn ones.
    sources = np.unique(np.linspace(0, n - 1, n_sources).astype(int))
    steps = distances
    if distances.nnz < 2**31:
        # The oldest supported scipy finds paths along indices of this width alone.
        places = (distances.indices.astype(np.int32), distances.indptr.astype(np.int32))
        steps = sp.csr_array((distances.data, *places), shape=distances.shape)
    far = []
    for source in sources.tolist():
        path = dijkstra(steps, directed=False, indices=source)
        own = slice(distances.indptr[source], distances.indptr[source + 1])
        apart = np.maximum(_STRAIGHT * path, distances.data[own].max(initial=0))
        apart[distances.indices[own]] = distances.data[own]
        far.append(apart[np.isfinite(path) & (path > 0)])
    every = np.concatenate(far)
    if len(every) == 0:
        # These rows have no neighbours.
        return 2 * float(np.median(distances.data)) if distances.nnz else 1.0
    return float(np.median(every))


def _walk_from_random(distances: sp.csr_array, nearest: np.ndarray) -> np.ndarray:
    """Random rows after one step along locally scaled similarities; unit rows."""
    n = distances.shape[0]
    start = np.random.default_rng(0).standard_normal((n, N_FEATURES)).astype(np.float32)
    if distances.nnz == 0:
        return unit_rows(start)
    near = np.where(np.isfinite(nearest[:, :_SCALE_NEIGHBORS]), nearest[:, :_SCALE_NEIGHBORS], 0)
    scale = np.maximum(near.max(axis=1), np.finfo(np.float32).tiny)
    rows = np.repeat(np.arange(n), np.diff(distances.indptr))
    walk = distances.copy()
    widths = np.sqrt(scale[rows] * scale[distances.indices])
    walk.data = np.exp2(-distances.data / widths).astype(np.float32)
    degree = 1 + np.asarray(walk.sum(axis=1)).ravel()
    start /= np.sqrt(degree).astype(np.float32)[:, None]
    return unit_rows(start + walk @ start)


def _fit(places: sp.csr_array, start: np.ndarray) -> np.ndarray:
    """Unit rows with these cosines along the edges, by descent from a start."""
    if places.nnz == 0:
        return start
    X = start
    moved = np.zeros_like(X)
    rate = (_RATE / np.maximum(np.diff(places.indptr), 1)).astype(np.float32)[:, None]
    error = places.copy()
    for _ in range(_STEPS):
        rows = torch.from_numpy(X)
        with sparse_quietly():
            error.data = dot_at(rows, rows, places.indptr, places.indices).numpy() - places.data
        moved *= _MOMENTUM
        moved -= rate * (error @ X)
        X = unit_rows(X + moved)
    return X
