"""What two samples are to each other: relations that do not depend on the dimension.

Everything is a function of the neighbour graph, of closeness, or of probabilities on the graph, and
symmetric in the two ends. Closeness is how many times nearer two samples are than two taken at
random, as a logarithm: cosines of different encoders are made comparable by it.
"""

from __future__ import annotations

import numpy as np

from sklearn_hilander._closeness import closeness, mean_cosine, pair_closeness
from sklearn_hilander._flow_relations import flow_relations
from sklearn_hilander._pair_graph import PairGraph
from sklearn_hilander._pairs import Columns, logit, pair_dot, pair_max, pair_sum, unit_rows

# Scales as shares of the number of neighbours: 1, 5, 10, 20, 40 of 40.
_SHARES = (0.025, 0.125, 0.25, 0.5, 1.0)
_WALK_SHARES = (0.125, 0.25, 0.75)
# Links under this probability are left out of sums over shared neighbours.
_MIN_LINK = 0.02
# Of clusters of a flow: 5 and 10 of 40.
_FLOW_SHARES = (0.125, 0.25)


def scales_of(n_neighbors: int, shares: tuple[float, ...]) -> list[int]:
    """Numbers of neighbours at some shares of all of them, at least 1."""
    return [max(1, round(share * n_neighbors)) for share in shares]


def graph_relations(graph: PairGraph) -> Columns:
    """Relations of each pair in the neighbour graph, at several scales.

    Closeness; ranks both ways; closeness against the mean of either end's nearest, and that of
    either end's q-th neighbour; shared neighbours; how often either end is a neighbour; similarity
    of walks with locally scaled weights, and closeness of embeddings smoothed by them; how either
    end stands to the other's cluster of a flow (`flow_relations`).

    Parameters
    ----------
    graph : PairGraph

    Returns
    -------
    Columns
    """
    i, j, n = graph.i, graph.j, graph.n_nodes
    indices, X = graph.indices, graph.features
    k = indices.shape[1]
    out = Columns()
    cosine, chance = pair_dot(X, i, j), mean_cosine(X)
    near, near_of_neighbors = closeness(cosine, chance), closeness(graph.similarities, chance)
    out.add(near)
    rank_of_j, rank_of_i = graph.ranks
    out.both(np.log(rank_of_j), np.log(rank_of_i))
    mean_of_nearest = np.cumsum(near_of_neighbors, axis=1) / np.arange(1, k + 1)
    for q in scales_of(k, _SHARES):
        out.both(near - mean_of_nearest[i, q - 1], near - mean_of_nearest[j, q - 1])
    for q in scales_of(k, (0.125, 0.375, 1.0)):
        out.both(near_of_neighbors[i, q - 1], near_of_neighbors[j, q - 1])
    for q in scales_of(k, _SHARES[1:]):
        out.add(graph.common.counts_within(q) / q)
    for q in scales_of(k, (0.25, 1.0)):
        in_degree = np.log1p(np.bincount(indices[:, :q].reshape(-1), minlength=n))
        out.both(in_degree[i], in_degree[j])
    for q in scales_of(k, _WALK_SHARES):
        walk = _local_walk(graph, cosine, q)
        out.add(_walk_similarity(graph, walk, graph.common.products(walk)))
        _, smooth = _smooth(graph, walk)
        near = pair_closeness(smooth, i, j)
        mean = _pair_mean(near, i, j, n)
        out.add(near)
        out.both(near - mean[i], near - mean[j])
    out.add(pair_closeness(unit_rows(X - X.mean(axis=0)), i, j))
    for q in scales_of(k, _FLOW_SHARES):
        # A pair that is near both ways counts twice.
        out += flow_relations(i, j, graph.times_near(q) * _local_walk(graph, cosine, q), n)
    return out


def probability_relations(graph: PairGraph, p: np.ndarray) -> Columns:
    """Relations of each pair in the graph weighted by linkage probabilities.

    A sample is linked to itself with probability 1.

    Parameters
    ----------
    graph : PairGraph
    p : ndarray of shape (n_pairs,), float32
        Linkage probability of each pair.

    Returns
    -------
    Columns
    """
    i, j, n = graph.i, graph.j, graph.n_nodes
    p = p.astype(np.float32)
    out = Columns()
    out.add(p)
    out.add(logit(p, 1e-4))
    degree = 1 + graph.adjacency.sum(p)
    squares = 1 + graph.adjacency.sum(p * p)
    out.both(np.log(degree)[i], np.log(degree)[j])
    out.both((squares / degree)[i], (squares / degree)[j])
    strong = _strong_links(p)
    products = graph.common.products(strong)
    # Either end is a common neighbour too: its link to itself times the link of the pair.
    shared = products + 2 * strong
    out.add(shared / np.sqrt(squares[i] * squares[j]))
    out.both(shared / degree[i], shared / degree[j])
    mass_i, mass_j = (mass + 1 + p for mass in graph.common.sums(p))
    out.both(
        2 * shared / (mass_i + mass_j), shared / np.clip(np.minimum(mass_i, mass_j), 1e-3, None)
    )
    # How much the two disagree on the candidates that they share.
    out.add((mass_i + mass_j - 2 * shared) / (graph.common.counts + 2))
    out.both(mass_i / degree[i], mass_j / degree[j])
    best = pair_max(p, i, j, n, 0.0)
    out.both(p - best[i], p - best[j])
    once, twice = _smooth(graph, strong)
    for smooth in (once, twice):
        near = pair_closeness(smooth, i, j)
        mean = pair_sum(near * p, i, j, n) / degree
        out.add(near)
        out.both(near - mean[i], near - mean[j])
    out.add(_walk_similarity(graph, strong, products))
    reached = graph.adjacency.weighted_sum(strong, degree[:, None].astype(np.float32))[:, 0]
    around = np.log(reached / (1 + graph.adjacency.sum(strong)))
    out.both(around[i], around[j])
    return out


def smooth_by_links(graph: PairGraph, p: np.ndarray) -> np.ndarray:
    """Embeddings smoothed by two steps along the probabilities.

    Parameters
    ----------
    graph : PairGraph
    p : ndarray of shape (n_pairs,), float32

    Returns
    -------
    ndarray of shape (n_nodes, n_main), float32
        Unit rows, along the main axes.
    """
    return _smooth(graph, _strong_links(p.astype(np.float32)))[1]


def _strong_links(p: np.ndarray) -> np.ndarray:
    return np.where(p < _MIN_LINK, np.float32(0), p)


def _smooth(graph: PairGraph, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows after one step along the values and after two."""
    once = unit_rows(graph.adjacency.weighted_sum(values, graph.main_features))
    return once, unit_rows(graph.adjacency.weighted_sum(values, once))


def _local_walk(graph: PairGraph, cosine: np.ndarray, q: int) -> np.ndarray:
    """Locally scaled similarity of each pair where one is among the q nearest of the other."""
    scale = 1 - graph.similarities[:, min(q, graph.similarities.shape[1]) - 1]
    scale = np.clip(scale, 1e-3, None)
    weights = np.exp((cosine.clip(0, 1) - 1) / np.sqrt(scale[graph.i] * scale[graph.j]))
    return np.where(np.minimum(*graph.ranks) <= q, weights, 0).astype(np.float32)


def _walk_similarity(graph: PairGraph, values: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Cosine of where one step along the values, staying with weight 1, leads from either end."""
    norms = np.sqrt(1 + graph.adjacency.sum(values * values))
    return (products + 2 * values) / (norms[graph.i] * norms[graph.j])


def _pair_mean(values: np.ndarray, i: np.ndarray, j: np.ndarray, n_nodes: int) -> np.ndarray:
    counts = np.bincount(i, minlength=n_nodes) + np.bincount(j, minlength=n_nodes)
    return pair_sum(values, i, j, n_nodes) / np.clip(counts, 1, None)
