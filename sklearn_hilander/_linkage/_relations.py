"""What two samples are to each other: relations that do not depend on the dimension.

Everything is a function of the neighbour graph, of closeness, or of probabilities on the graph, and
symmetric in the two ends. Closeness is how many times nearer two samples are than two taken at
random, as a logarithm: cosines of different encoders are made comparable by it.
"""

from __future__ import annotations

import numpy as np

from sklearn_hilander._device import in_threads
from sklearn_hilander._flows._flow_relations import flow_relations
from sklearn_hilander._graph._adjacency import one_step
from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pair_table import Columns, PairTable
from sklearn_hilander._graph._pairs import in_blocks, logit, pair_max, pair_sum, unit_rows
from sklearn_hilander._linkage._closeness import closeness, pair_closeness
from sklearn_hilander._memory import give_back_memory

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


def graph_relations(graph: PairGraph, *, compact: bool = False) -> PairTable:
    """Relations of each pair in the neighbour graph, at several scales.

    Closeness; ranks both ways; closeness against the mean of either end's nearest, and that of
    either end's q-th neighbour; shared neighbours; how often either end is a neighbour; similarity
    of walks with locally scaled weights, and closeness of embeddings smoothed by them; how either
    end stands to the other's cluster of a flow (`flow_relations`).

    Parameters
    ----------
    graph : PairGraph
    compact : bool, default=False
        Three digits of each alone.

    Returns
    -------
    PairTable
    """
    i, j, n = graph.i, graph.j, graph.n_nodes
    k, held = graph.n_neighbors, np.float16 if compact else np.float32
    around_mean = closeness(*graph.centred_cosines).astype(held)
    cosine, chance = graph.cosines
    near, near_of_neighbors = closeness(cosine, chance), closeness(graph.similarities, chance)
    scales = scales_of(k, _SHARES)
    totals = np.cumsum(near_of_neighbors, axis=1)[:, [q - 1 for q in scales]]
    mean_of_nearest = totals / np.array(scales)
    of_neighbor = near_of_neighbors[:, [q - 1 for q in scales_of(k, (0.125, 0.375, 1.0))]]
    del near_of_neighbors, totals
    in_degrees = [
        np.log1p(np.bincount(graph.indices[:, :q].reshape(-1), minlength=n))
        for q in scales_of(k, (0.25, 1.0))
    ]
    in_degree = np.stack(in_degrees, axis=1)
    rank_of_j, rank_of_i = graph.ranks
    # What takes much memory for a while comes first, common neighbours, which are kept, at last.
    # A pair that is near both ways counts twice.
    walks_near = [
        graph.times_near(q) * _local_walk(graph, cosine, q) for q in scales_of(k, _FLOW_SHARES)
    ]
    flows = in_threads(lambda walk: flow_relations(i, j, walk, n, compact=compact), walks_near)
    del walks_near
    give_back_memory()
    walks = [_local_walk(graph, cosine, q) for q in scales_of(k, _WALK_SHARES)]
    smoothed = [pair_closeness(_smooth(graph, walk)[1], i, j) for walk in walks]
    give_back_memory()
    most = scales_of(k, _SHARES[1:])
    shared = graph.common.counts_within(graph.entry_ranks, most)
    of_walks = [
        (_walk_similarity(graph, walk, held), smooth_near, _pair_mean(smooth_near, i, j, n))
        for walk, smooth_near in zip(walks, smoothed, strict=True)
    ]
    del walks, smoothed
    graph.forget("adjacency", "ranks", "common", "main_features")

    def block(rows: slice) -> Columns:
        a, b, here = i[rows], j[rows], near[rows]
        out = Columns()
        out.add(here)
        ranks = (ranks[rows].astype(np.float32) for ranks in (rank_of_j, rank_of_i))
        out.both(*map(np.log, ranks))
        out.both(here[:, None] - mean_of_nearest[a], here[:, None] - mean_of_nearest[b])
        out.both(of_neighbor[a], of_neighbor[b])
        for counts, q in zip(shared, most, strict=True):
            out.add(counts[rows].astype(np.float64) / q)
        out.both(in_degree[a], in_degree[b])
        for similarity, smooth_near, mean in of_walks:
            smooth = smooth_near[rows]
            out.add(similarity[rows])
            out.add(smooth)
            out.both(smooth - mean[a], smooth - mean[b])
        out.add(around_mean[rows])
        return out

    return sum(flows, PairTable(len(i), block, compact=compact))


def probability_relations(graph: PairGraph, p: np.ndarray, *, compact: bool = False) -> PairTable:
    """Relations of each pair in the graph weighted by linkage probabilities.

    A sample is linked to itself with probability 1.

    Parameters
    ----------
    graph : PairGraph
    p : ndarray of shape (n_pairs,), float32
        Linkage probability of each pair.
    compact : bool, default=False
        Three digits of each alone.

    Returns
    -------
    PairTable
    """
    i, j, n = graph.i, graph.j, graph.n_nodes
    p = p.astype(np.float32, copy=False)
    degree = 1 + graph.adjacency.sum(p)
    squares = 1 + graph.adjacency.sum(p * p)
    strong = _strong_links(p)
    links = graph.adjacency.matrix(strong)
    reached = one_step(links, degree[:, None].astype(np.float32))[:, 0]
    around = np.log(reached / (1 + graph.adjacency.sum(strong)))
    smooth_near = []
    smooth = graph.main_features
    for _ in range(2):
        give_back_memory()
        smooth = unit_rows(one_step(links, smooth), in_place=True)
        near = pair_closeness(smooth, i, j)
        smooth_near.append((near, pair_sum(near * p, i, j, n) / degree))
    # Smoothed rows take the most memory: what is held by the pair comes after them.
    del links, smooth
    products = graph.common.products(strong)
    sums = graph.common.sums(p)
    n_common = graph.common.counts
    best = pair_max(p, i, j, n, 0.0)
    norms = _walk_norms(graph, strong)
    log_degree, concentration = np.log(degree), squares / degree

    def block(rows: slice) -> Columns:
        a, b, of_pair = i[rows], j[rows], p[rows]
        out = Columns()
        out.add(of_pair)
        out.add(logit(of_pair, 1e-4))
        out.both(log_degree[a], log_degree[b])
        out.both(concentration[a], concentration[b])
        # Either end is a common neighbour too: its link to itself times the link of the pair.
        shared = products[rows] + 2 * strong[rows]
        out.add(shared / np.sqrt(squares[a] * squares[b]))
        out.both(shared / degree[a], shared / degree[b])
        mass_i, mass_j = (mass[rows] + 1 + of_pair for mass in sums)
        out.both(
            2 * shared / (mass_i + mass_j), shared / np.clip(np.minimum(mass_i, mass_j), 1e-3, None)
        )
        # How much the two disagree on the candidates that they share.
        out.add((mass_i + mass_j - 2 * shared) / (n_common[rows].astype(np.int64) + 2))
        out.both(mass_i / degree[a], mass_j / degree[b])
        out.both(of_pair - best[a], of_pair - best[b])
        for near, mean in smooth_near:
            out.add(near[rows])
            out.both(near[rows] - mean[a], near[rows] - mean[b])
        out.add(shared / (norms[a] * norms[b]))
        out.both(around[a], around[b])
        return out

    return PairTable(len(i), block, compact=compact)


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
    links = graph.adjacency.matrix(values)
    once = unit_rows(one_step(links, graph.main_features), in_place=True)
    return once, unit_rows(one_step(links, once), in_place=True)


def _local_walk(graph: PairGraph, cosine: np.ndarray, q: int) -> np.ndarray:
    """Locally scaled similarity of each pair where one is among the q nearest of the other."""
    scale = 1 - graph.similarities[:, min(q, graph.n_neighbors) - 1]
    scale = np.clip(scale, 1e-3, None)
    rank_of_j, rank_of_i = graph.ranks
    out = np.zeros(len(cosine), dtype=np.float32)
    near = np.flatnonzero((rank_of_j <= q) | (rank_of_i <= q))
    scales = scale[graph.i[near]] * scale[graph.j[near]]
    out[near] = np.exp((cosine[near].clip(0, 1) - 1) / np.sqrt(scales))
    return out


def _walk_norms(graph: PairGraph, values: np.ndarray) -> np.ndarray:
    return np.sqrt(1 + graph.adjacency.sum(values * values))


def _walk_similarity(graph: PairGraph, values: np.ndarray, held: type) -> np.ndarray:
    """Cosine of where one step along the values, staying with weight 1, leads from either end."""
    norms, products = _walk_norms(graph, values), graph.common.products(values)

    def block(rows: slice) -> np.ndarray:
        of_ends = norms[graph.i[rows]] * norms[graph.j[rows]]
        # By way of float32, as everything that is read from a table.
        return ((products[rows] + 2 * values[rows]) / of_ends).astype(np.float32)

    return in_blocks(len(values), block, held)


def _pair_mean(values: np.ndarray, i: np.ndarray, j: np.ndarray, n_nodes: int) -> np.ndarray:
    counts = np.bincount(i, minlength=n_nodes) + np.bincount(j, minlength=n_nodes)
    return pair_sum(values, i, j, n_nodes) / np.clip(counts, 1, None)
