"""What joined and what was opened, kept: known clusters with new rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._constraints._row_constraints import RowConstraints
from sklearn_hilander._incoming._joining import Assignment
from sklearn_hilander._incoming._kept_rows import add_rows
from sklearn_hilander._rows._embeddings import Embeddings
from sklearn_hilander._search._neighbors import query_neighbors
from sklearn_hilander._types import Growth, Merges, concatenate_merges


def keep_rows(
    known: KnownClusters,
    joined: Assignment,
    judged: Merges | None,
    join_threshold: float,
    settings: ClusterSettings,
    constraints: RowConstraints | None = None,
) -> KnownClusters:
    """Known clusters with the rows of an assignment added; no known row changes its cluster.

    Parameters
    ----------
    known : KnownClusters
    joined : Assignment
    judged : Merges or None
        What the model says of pairs of known clusters: it is kept as reviewed.
    join_threshold : float
        Probability above which rows joined.
    settings : ClusterSettings
    constraints : RowConstraints, optional
        That the rows came with.

    Returns
    -------
    KnownClusters
    """
    rows = add_rows(known, joined.new, joined.copies, joined.on_rows, constraints)
    fresh, node_of = rows.fresh, rows.node_of
    n_parts = len(known.number)
    part_of = joined.part.copy()
    number = known.number
    if joined.growth is not None:
        part_of[joined.opened] = n_parts + joined.growth.labels[-1]
        opened = np.full(int(joined.growth.labels[-1].max()) + 1, -1, dtype=np.int64)
        opened[part_of[joined.opened] - n_parts] = joined.labels[joined.new.first[joined.opened]]
        number = np.concatenate([number, opened])
    partition = np.concatenate([known.partition, part_of[fresh]])
    number = _number_the_grown(number, partition, rows.nodes, known.min_cluster_size)
    graph = _with_neighbors(known, rows.embeddings, settings)
    return replace(
        known,
        embeddings=rows.embeddings,
        graph_indices=graph[0],
        graph_similarities=graph[1],
        nodes=rows.nodes,
        partition=partition,
        number=number,
        n_clusters=int(number.max(initial=-1)) + 1,
        growth=_growth_of_all(
            known, joined, judged, join_threshold, node_of, fresh, partition, rows.constraints
        ),
        constraints=rows.constraints,
        groups=rows.groups,
    )


def _number_the_grown(
    number: np.ndarray, partition: np.ndarray, nodes: np.ndarray, min_cluster_size: int
) -> np.ndarray:
    """Next free labels for parts that have become large enough, in the order of first samples."""
    parts = partition[nodes]
    grown = np.flatnonzero((np.bincount(parts) >= min_cluster_size) & (number < 0))
    if len(grown):
        present, first = np.unique(parts, return_index=True)
        by_first = grown[np.argsort(first[np.searchsorted(present, grown)])]
        number = number.copy()
        number[by_first] = int(number.max(initial=-1)) + 1 + np.arange(len(grown))
    return number


def _with_neighbors(
    known: KnownClusters, embeddings: Embeddings, settings: ClusterSettings
) -> tuple[np.ndarray, np.ndarray]:
    """The graph with new rows, also as neighbours of those that are their neighbours."""
    n_known, n = len(known.graph_indices), len(embeddings.features)
    width = max(known.graph_indices.shape[1], min(settings.n_neighbors, n - 1))
    indices = np.zeros((n, width), dtype=np.int64)
    similarities = np.zeros((n, width), dtype=np.float32)
    indices[:n_known, : known.graph_indices.shape[1]] = known.graph_indices
    similarities[:n_known, : known.graph_indices.shape[1]] = known.graph_similarities
    if n == n_known or width == 0:
        return indices, similarities
    features = torch.from_numpy(embeddings.features).to(settings.device)
    found = query_neighbors(features[n_known:], features, width + 1, metric=settings.metric)
    near, similar = found.indices.cpu().numpy(), found.similarities.cpu().numpy()
    rows = np.repeat(np.arange(n_known, n), near.shape[1])
    ends, weight = near.reshape(-1), similar.reshape(-1)
    other = rows != ends
    back = other & (ends < n_known)
    touched = np.unique(ends[back])
    rows = np.concatenate([rows[other], ends[back], np.repeat(touched, width)])
    ends = np.concatenate(
        [ends[other], np.repeat(np.arange(n_known, n), near.shape[1])[back],
         indices[touched].reshape(-1)]
    )  # fmt: skip
    weight = np.concatenate([weight[other], weight[back], similarities[touched].reshape(-1)])
    order = np.lexsort((ends, -weight, rows))
    rows, ends, weight = rows[order], ends[order], weight[order]
    start = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
    rank = np.arange(len(rows)) - np.repeat(start, np.diff(np.r_[start, len(rows)]))
    kept = rank < width
    indices[rows[kept], rank[kept]] = ends[kept]
    similarities[rows[kept], rank[kept]] = weight[kept]
    return indices, similarities


def _growth_of_all(
    known: KnownClusters,
    joined: Assignment,
    judged: Merges | None,
    join_threshold: float,
    node_of: np.ndarray,
    fresh: np.ndarray,
    partition: np.ndarray,
    constraints: NodeConstraints | None,
) -> Growth:
    """Merges, links and prominence with the new rows; the levels are reduced to the last one."""
    threshold = known.linkage_threshold
    merges, links, reviewed = [known.growth.merges], [known.growth.links], [known.growth.reviewed]
    if judged is not None:
        reviewed.insert(0, judged)
    by_neighbor = np.flatnonzero(joined.neighbor >= 0)
    if len(by_neighbor):
        p = joined.probability[by_neighbor]
        ends = known.nodes[known.embeddings.first[joined.neighbor[by_neighbor]]]
        # On the scale of merges, where above the threshold means joined.
        share = (p - join_threshold) / max(1 - join_threshold, 1e-9)
        merges.append(Merges(ends, node_of[by_neighbor], threshold + (1 - threshold) * share))
        links.append(Merges(ends, node_of[by_neighbor], p))
    if joined.on_rows is not None and len(joined.on_rows.must):
        ends = node_of[joined.on_rows.must]
        merges.append(Merges(ends[:, 0], ends[:, 1], np.ones(len(ends))))
    # Peaks of known clusters stay: what joins ranks under all of them.
    rank = np.full(len(node_of), -1, dtype=np.int64)
    rank[fresh] = -1 - np.arange(len(fresh)) + min(int(known.growth.prominence.min()), 0)
    if joined.growth is not None:
        own = node_of[joined.opened]
        for parts, name in ((merges, "merges"), (links, "links"), (reviewed, "reviewed")):
            found = getattr(joined.growth, name)
            parts.append(Merges(own[found.a], own[found.b], found.probability))
        theirs = known.nodes[known.embeddings.first[joined.bridges.a]]
        links.append(Merges(theirs, own[joined.bridges.b], joined.bridges.probability))
        highest = int(known.growth.prominence.max(initial=0))
        rank[joined.opened] = highest + 1 + joined.growth.prominence
    every = concatenate_merges(merges)
    if constraints is not None:
        under = np.flatnonzero(every.probability <= threshold)
        admitted = constraints.admit(
            partition,
            int(partition.max()) + 1,
            partition[every.a[under]],
            partition[every.b[under]],
            every.probability[under],
        )
        kept = np.delete(np.arange(len(every)), under[~admitted])
        every = Merges(every.a[kept], every.b[kept], every.probability[kept])
    prominence = np.concatenate([known.growth.prominence, rank[fresh]])
    order = np.lexsort((-prominence, partition))
    first = np.r_[True, partition[order][1:] != partition[order][:-1]]
    return Growth(
        labels=(partition,),
        peaks=(order[first],),
        thresholds=(threshold,),
        merges=every,
        links=concatenate_merges(links),
        reviewed=concatenate_merges(reviewed),
        prominence=prominence,
    )
