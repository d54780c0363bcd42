"""All rows kept so far clustered afresh, with labels that go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sklearn_hilander._clusters._clustering import Grower, cluster_embeddings
from sklearn_hilander._clusters._growth import ClusterSettings, OnLevel, OnStage
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._incoming._kept_rows import KeptRows
from sklearn_hilander._rows._embeddings import in_canonical_order, rescaled
from sklearn_hilander.metrics import match_labels


def recluster(
    known: KnownClusters,
    rows: KeptRows,
    model: Grower,
    settings: ClusterSettings,
    on_level: OnLevel | None = None,
    on_stage: OnStage | None = None,
) -> KnownClusters:
    """Cluster all rows together, those that came later included.

    Threshold, minimum size and constraints stay what they were; so does the scale of "euclidean",
    but for powers of two.

    Parameters
    ----------
    known : KnownClusters
        Of some of the rows, or of all.
    rows : KeptRows
    model : Model
    settings : ClusterSettings
    on_level, on_stage : callable, optional

    Returns
    -------
    KnownClusters
        Labelled from 0, so that as many samples as possible keep their label.
    """
    embeddings, scaler = rescaled(rows.embeddings, known.scaler, settings.n_neighbors)
    by_cells = model.reads_rows_on_cpu(settings.device)
    embeddings = in_canonical_order(embeddings, by_cells=by_cells)
    nodes = np.arange(len(rows.nodes)) if settings.faithful else embeddings.inverse
    constraints = rows.constraints
    if constraints is not None:
        first = np.unique(rows.nodes, return_index=True)[1]
        constraints = constraints.renumbered(nodes[first])
        if settings.faithful:
            constraints = _on_copies(constraints, first[rows.nodes])
    fresh = cluster_embeddings(
        embeddings,
        scaler,
        nodes,
        model,
        replace(
            settings,
            linkage_threshold=known.linkage_threshold,
            min_cluster_size=known.min_cluster_size,
        ),
        on_level=on_level,
        on_stage=on_stage,
        constraints=constraints,
        group_names=None if rows.groups is None else rows.groups.names,
    )
    return _numbered_as_before(fresh, known.labels)


def _on_copies(constraints: NodeConstraints, copy_of: np.ndarray) -> NodeConstraints:
    """The constraints of samples that were one node hold for each: they stay together.

    Parameters
    ----------
    constraints : NodeConstraints
        On the first sample of each of those nodes.
    copy_of : ndarray of shape (n_samples,), int64
        That sample, of each.

    Returns
    -------
    NodeConstraints
    """
    is_named = np.zeros(len(copy_of), dtype=bool)
    is_named[constraints.must] = is_named[constraints.cannot] = True
    is_named[constraints.members[:, 0]] = True
    copies = np.flatnonzero(is_named[copy_of] & (copy_of != np.arange(len(copy_of))))
    together = np.stack([copies, copy_of[copies]], axis=1)
    return replace(constraints, must=np.concatenate([constraints.must, together]))


def _numbered_as_before(fresh: KnownClusters, before: np.ndarray) -> KnownClusters:
    """The same clusters, labelled from 0 so that most samples keep their label."""
    n = fresh.n_clusters
    # A label that so few clusters cannot reach is as good as none.
    matched = match_labels(np.where(before < n, before, -1), fresh.labels)
    label = np.full(n, -1, dtype=np.int64)
    inside = fresh.labels >= 0
    label[fresh.labels[inside]] = matched[inside]
    beyond = np.flatnonzero(label >= n)
    label[beyond] = np.setdiff1d(np.arange(n), label)
    number = fresh.number.copy()
    number[number >= 0] = label[number[number >= 0]]
    return replace(fresh, number=number)
