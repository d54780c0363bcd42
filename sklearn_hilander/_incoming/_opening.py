"""Rows that joined no known cluster, clustered among themselves.

A few rows by themselves are a poor sight: each has the others for neighbours, however far they
are. So they are clustered in the company of the known rows that they are nearest to, which then
leave: known clusters stay what they are.
"""

from __future__ import annotations

import numpy as np
import torch

from sklearn_hilander._clusters._clustering import Grower
from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._clusters._merge_tree import leave_out, spanning_forest
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._levels._level_record import peaks_of
from sklearn_hilander._rows._embeddings import Embeddings
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander._search._neighbors import query_neighbors
from sklearn_hilander._types import Growth, Merges, concatenate_merges

# Nearest known rows of each row that come along.
_COMPANY = 5


def open_clusters(
    new: Embeddings,
    opened: np.ndarray,
    known: KnownClusters,
    model: Grower,
    settings: ClusterSettings,
    on_rows: NodeConstraints | None = None,
) -> tuple[Growth, Merges]:
    """Cluster new rows that joined nothing.

    Parameters
    ----------
    new : Embeddings
    opened : ndarray of shape (n_opened,), int64
        Distinct new rows to cluster, at least one.
    known : KnownClusters
    model : Model
    settings : ClusterSettings
    on_rows : NodeConstraints, optional
        On the distinct new rows.

    Returns
    -------
    growth : Growth
        Of the rows of `opened`, in one level.
    bridges : Merges
        Linkage of distinct known rows, `a`, and rows of `opened`, `b`.
    """
    features, counts, n = new.features[opened], new.counts[opened], len(opened)
    among = None
    if on_rows is not None:
        new_of = np.full(len(new.counts), -1)
        new_of[opened] = np.arange(n)
        among = on_rows.renumbered(new_of)
        among = None if among.is_empty else among
    company = np.zeros(0, dtype=np.int64)
    if n > 1:
        rows = torch.from_numpy(known.embeddings.features).to(settings.device)
        ours = torch.from_numpy(features).to(settings.device)
        near = query_neighbors(ours, rows, min(_COMPANY, len(rows)), metric=settings.metric)
        company = np.unique(near.indices.cpu().numpy())
    growth, _ = model.grow(
        RowSource.of(np.concatenate([features, known.embeddings.features[company]])),
        settings,
        weights=np.concatenate([counts, known.embeddings.counts[company]]),
        constraints=among,
    )
    return _of_first(growth, n), _bridges(growth.links, n, company)


def _of_first(growth: Growth, n: int) -> Growth:
    """A growth without its nodes from `n` on."""
    labels = np.unique(growth.labels[-1][:n], return_inverse=True)[1].reshape(-1).astype(np.int64)
    n_nodes = len(growth.prominence)
    prominence = growth.prominence[:n]
    return Growth(
        labels=(labels,),
        peaks=(peaks_of(labels, prominence),),
        thresholds=growth.thresholds[-1:],
        merges=leave_out(spanning_forest(growth.merges, n_nodes), n, n_nodes),
        links=_inside(growth.links, n),
        reviewed=_inside(growth.reviewed, n),
        prominence=prominence,
    )


def _inside(pairs: Merges, n: int) -> Merges:
    kept = (pairs.a < n) & (pairs.b < n)
    return Merges(pairs.a[kept], pairs.b[kept], pairs.probability[kept])


def _bridges(links: Merges, n: int, company: np.ndarray) -> Merges:
    """Links between the first `n` nodes and the others, by the known rows that those are."""
    parts = []
    for ours, theirs in ((links.a, links.b), (links.b, links.a)):
        across = (ours < n) & (theirs >= n)
        parts.append(Merges(company[theirs[across] - n], ours[across], links.probability[across]))
    return concatenate_merges(parts)
