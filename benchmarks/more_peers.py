"""Clusterers that need packages of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from sklearn.preprocessing import normalize

from benchmarks.peers import Peer, best_by_pairwise_f
from sklearn_hilander._search._neighbors import build_neighbor_graph

NEIGHBORS = (5, 10, 20, 40)
# Edges under these quantiles of the similarities are left out.
QUANTILES = (0.0, 0.2, 0.4, 0.6)


def infomap_labels(
    X: np.ndarray, n_neighbors: int = 10, least: float = 0.0, seed: int = 1
) -> np.ndarray:
    """Infomap, two levels, on the neighbour graph weighted by cosines."""
    from infomap import Infomap

    rows = torch.from_numpy(normalize(X).astype(np.float32))
    graph = build_neighbor_graph(rows, n_neighbors, algorithm="brute")
    similarities = graph.similarities.numpy().reshape(-1)
    kept = (similarities > least) & (similarities > 0)
    source = np.repeat(np.arange(len(X)), graph.n_neighbors)[kept]
    target = graph.indices.numpy().reshape(-1)[kept]
    flow = Infomap(two_level=True, silent=True, seed=seed)
    for node in range(len(X)):
        flow.add_node(node)
    flow.add_links(np.column_stack([source, target, similarities[kept]]))
    found = flow.run()
    labels = np.empty(len(X), dtype=np.int64)
    for node, module in found.modules().items():
        labels[node] = module
    return np.unique(labels, return_inverse=True)[1]


def fit_infomap(X: np.ndarray, y: np.ndarray) -> Callable:
    """Choose the number of neighbours and the least similarity of an edge."""
    settings = []
    for n_neighbors in NEIGHBORS:
        rows = torch.from_numpy(normalize(X).astype(np.float32))
        similarities = build_neighbor_graph(rows, n_neighbors, algorithm="brute").similarities
        settings += [(n_neighbors, float(similarities.quantile(q))) for q in QUANTILES]
    chosen = best_by_pairwise_f(y, ((s, infomap_labels(X, *s)) for s in settings))
    return partial(infomap_labels, n_neighbors=chosen[0], least=chosen[1])


def fit_evoc(X: np.ndarray, y: np.ndarray, seed: int | None = None) -> Callable:
    """EVoC with its defaults."""
    import evoc

    return lambda X: np.asarray(evoc.EVoC(random_state=seed).fit_predict(normalize(X)))


MORE_PEERS = (
    Peer("Infomap", "k, threshold", fit_infomap),
    Peer("Infomap, k = 10", "nothing", lambda X, y: infomap_labels),
    Peer("EVoC", "nothing", fit_evoc, is_random=True),
)
PACKAGE_OF = {"Infomap": "infomap", "Infomap, k = 10": "infomap", "EVoC": "evoc"}
