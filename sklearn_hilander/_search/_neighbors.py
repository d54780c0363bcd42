"""Embeddings to neighbour graph, exact or approximate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sklearn_hilander._ops import drop_self
from sklearn_hilander._search._cell_search import search_by_cells
from sklearn_hilander._search._device_search import search_cells_on_device, search_exact_on_device
from sklearn_hilander._search._exact_search import search_exact
from sklearn_hilander._types import NeighborGraph

# Rows from which approximate searches save so much processor time that what they miss is made up
# for, by cells and by hnsw; figures in docs/speed.rst.
AUTO_BRUTE_MAX_ROWS, AUTO_BRUTE_MAX_EUCLIDEAN = 20_000, 50_000
# The same on a GPU, by cells alone.
AUTO_BRUTE_MAX_ON_DEVICE = 300_000
HNSW_M = 16
HNSW_EF_CONSTRUCTION = 100
HNSW_EF = 64


def build_neighbor_graph(
    features: Tensor,
    n_neighbors: int,
    *,
    metric: str = "cosine",
    algorithm: str = "auto",
    n_threads: int = 1,
) -> NeighborGraph:
    """Neighbour graph of embeddings, self left out.

    Parameters
    ----------
    features : Tensor of shape (n_nodes, n_features), float32
        Unit rows for ``metric="cosine"``; for ``"euclidean"`` rows in units of the length at which
        similarity has fallen to ``exp(-1/2)``.
    n_neighbors : int
        At most ``n_nodes - 1`` are given.
    metric : {"cosine", "euclidean"}, default="cosine"
        Similarity is the cosine clipped to [0, 1], or ``exp(-|x - y|^2 / 2)``.
    algorithm : {"auto", "brute", "ivf", "hnsw"}, default="auto"
        "ivf" is for ``metric="cosine"`` alone.
    n_threads : int, default=1
        Threads that build the index of "hnsw". With more than one its graph differs from run to
        run.

    Returns
    -------
    NeighborGraph
    """
    n_nodes = features.shape[0]
    k = min(n_neighbors, n_nodes - 1)
    if k <= 0:
        empty = features.new_zeros((n_nodes, 0))
        return NeighborGraph(empty.long(), empty)
    algorithm = resolve_algorithm(algorithm, features, metric)
    if algorithm == "ivf" and _is_on_cpu(features):
        near, cosines = search_by_cells(features.numpy(), k)
        indices = torch.from_numpy(near.astype("int64", copy=False))
        return NeighborGraph(indices, torch.from_numpy(cosines))
    if algorithm == "ivf":
        found, indices = search_cells_on_device(features, k)
    elif algorithm == "brute":
        found, indices = _exact_for(features)(features, features, k, metric, skip_self=True)
    else:
        found, indices = _search_hnsw(features, features, k + 1, metric, n_threads)
        own = torch.arange(n_nodes, device=features.device)
        found, indices = drop_self(found, indices, own)
    return NeighborGraph(indices, to_similarity(found, metric))


def query_neighbors(
    queries: Tensor, features: Tensor, n_neighbors: int, *, metric: str = "cosine"
) -> NeighborGraph:
    """Exact nearest rows of `features` for each row of `queries`.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features)
    features : Tensor of shape (n_nodes, n_features)
    n_neighbors : int
        At most ``n_nodes`` are given.
    metric : {"cosine", "euclidean"}, default="cosine"

    Returns
    -------
    NeighborGraph
        Of shape (n_queries, n_neighbors); indices are rows of `features`.
    """
    k = min(n_neighbors, features.shape[0])
    found, indices = _exact_for(features)(queries, features, k, metric, skip_self=False)
    return NeighborGraph(indices, to_similarity(found, metric))


def check_search(algorithm: str, metric: str) -> None:
    """Raise ValueError if the search cannot do with the metric."""
    if algorithm == "ivf" and metric == "euclidean":
        raise ValueError(
            "algorithm='ivf' searches by cosines: with metric='euclidean' take 'auto', 'brute' or "
            "'hnsw'."
        )


def resolve_algorithm(algorithm: str, features: Tensor, metric: str = "cosine") -> str:
    """Which search "auto" means for these rows."""
    check_search(algorithm, metric)
    if algorithm != "auto":
        return algorithm
    cosine = metric == "cosine"
    if not _is_on_cpu(features):
        return "ivf" if cosine and len(features) > AUTO_BRUTE_MAX_ON_DEVICE else "brute"
    most = AUTO_BRUTE_MAX_ROWS if cosine else AUTO_BRUTE_MAX_EUCLIDEAN
    if len(features) <= most:
        return "brute"
    return "ivf" if cosine else "hnsw"


def _is_on_cpu(features: Tensor) -> bool:
    return features.device.type == "cpu"


def _exact_for(features: Tensor) -> Callable[..., tuple[Tensor, Tensor]]:
    return search_exact if _is_on_cpu(features) else search_exact_on_device


def to_similarity(closeness: Tensor, metric: str) -> Tensor:
    """Turn inner products, or negative squared distances, into similarities in [0, 1]."""
    if metric == "euclidean":
        return torch.exp(closeness.clamp(max=0) / 2)
    return closeness.clamp(0, 1)


def _search_hnsw(
    queries: Tensor, features: Tensor, k: int, metric: str, n_threads: int
) -> tuple[Tensor, Tensor]:
    """Approximate search; closeness as in `search_exact`."""
    import hnswlib

    rows = features.cpu().numpy()
    index = hnswlib.Index(space="l2" if metric == "euclidean" else "ip", dim=rows.shape[1])
    index.init_index(len(rows), M=HNSW_M, ef_construction=HNSW_EF_CONSTRUCTION, random_seed=0)
    index.add_items(rows, num_threads=n_threads)
    index.set_ef(max(HNSW_EF, k + 1))
    # Queries do not change the index: any number of threads finds the same neighbours.
    indices, distances = index.knn_query(queries.cpu().numpy(), k=k)
    closeness = torch.from_numpy(distances)
    closeness = -closeness if metric == "euclidean" else 1 - closeness
    device = features.device
    return closeness.to(device), torch.from_numpy(indices.astype("int64")).to(device)
