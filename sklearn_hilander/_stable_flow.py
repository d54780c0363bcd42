"""Clusters of a flow at the scale where they change least.

A walk along few neighbours stays in small clusters, one along many in large ones. Clusters that
the samples are really made of are found over a range of scales; others change with every step.
So no number of neighbours has to be chosen: the clusters that agree best with those of the next
finer and the next coarser scale are taken (Delvenne, Yaliraki, Barahona, "Stability of graph
communities across time scales", PNAS 2010, ask the same of a walk's length).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sklearn_hilander._flow import flow_clusters
from sklearn_hilander._pair_graph import PairGraph
from sklearn_hilander.metrics import bcubed_f_score

# Each about a factor of the square root of 2 above the one before: 4 to 40 of 40 neighbours.
_SHARES = (0.1, 0.15, 0.2, 0.275, 0.4, 0.575, 0.8, 1.0)
# Agreement this close to the best is as good; the coarsest of these scales is taken.
_AS_GOOD = 0.01
# Clusters are about as large as the walk looks far: so many of them are looked for at least.
_FEWEST_CLUSTERS = 4


def stable_flow(graph: PairGraph) -> np.ndarray:
    """Cluster the samples of a neighbour graph, at a scale that is found by itself.

    Parameters
    ----------
    graph : PairGraph

    Returns
    -------
    labels : ndarray of shape (n_nodes,), int64
        Contiguous from 0.
    """
    # A walk that reaches most of a few samples finds them to be one, and that at any scale.
    farthest = max(1, graph.n_nodes // _FEWEST_CLUSTERS)
    reach = (min(round(share * graph.n_neighbors), farthest) for share in _SHARES)
    scales = sorted({max(1, q) for q in reach})
    cosine = graph.cosines[0].clip(0, 1)

    def flow(q: int, *, roughly: bool) -> np.ndarray:
        weights = graph.times_near(q) * cosine
        return flow_clusters(graph.i, graph.j, weights, graph.n_nodes, roughly=roughly)

    # Which scale is stable, rough clusters tell as well.
    stable = scales[most_stable([flow(q, roughly=True) for q in scales])]
    labels = flow(stable, roughly=False)
    graph.forget()
    return labels


def most_stable(clusters: list[np.ndarray]) -> int:
    """Which of several clusterings, from fine to coarse, agrees best with the ones beside it.

    Parameters
    ----------
    clusters : list of ndarray of shape (n_nodes,), int64

    Returns
    -------
    int
        Neither the first nor the last, where there are three or more.
    """
    if len(clusters) < 3:
        return 0
    agreement = np.array([bcubed_f_score(a, b) for a, b in pairwise(clusters)])
    both_sides = (agreement[1:] + agreement[:-1]) / 2
    return 1 + int(np.flatnonzero(both_sides >= both_sides.max() - _AS_GOOD)[-1])
