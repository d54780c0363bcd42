"""New rows of which distances to the fitted rows alone are known."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._clusters._known_clusters import KnownClusters

# A new row joins a known one that it is nearer to than the known one's neighbour of this rank.
_REACH = 3
WAY_OUT = "fit all rows together, or give embeddings with metric='cosine' or 'euclidean'"


def join_by_distances(distances: sp.csr_array, known: KnownClusters) -> np.ndarray:
    r"""Labels of new rows: the cluster of the known row that most probably is of their class.

    .. math:: p_{ij} = 2^{-d_{ij} / \rho_j}

    with :math:`\rho_j` the distance of known row j to its third neighbour; a row joins above 1/2.
    How the other rows lie to each other is not known: each is a cluster of its own, numbered
    from `n_clusters`, or -1 where that is too small a cluster.

    Parameters
    ----------
    distances : csr_array of shape (n_new, n_fitted)
        Of `check_distances`; 0 says that the rows are the same.
    known : KnownClusters

    Returns
    -------
    ndarray of shape (n_new,), int64
    """
    n_new = distances.shape[0]
    new = np.repeat(np.arange(n_new), np.diff(distances.indptr))
    fitted = known.embeddings.inverse[distances.indices]
    reach = _reaches(known)[fitted]
    share = np.divide(distances.data, reach, out=np.full(len(new), np.inf), where=reach > 0)
    share[distances.data == 0] = 0
    # Of equally near ones, the first fitted row.
    order = np.lexsort((known.embeddings.first[fitted], share, new))
    new, fitted, share = new[order], fitted[order], share[order]
    nearest = np.flatnonzero(np.r_[True, new[1:] != new[:-1]][: len(new)])
    nearest = nearest[share[nearest] < 1]
    labels = np.full(n_new, -1, dtype=np.int64)
    labels[new[nearest]] = known.number[known.row_parts[fitted[nearest]]]
    if known.min_cluster_size == 1:
        alone = np.setdiff1d(np.arange(n_new), new[nearest])
        labels[alone] = known.n_clusters + np.arange(len(alone))
    return labels


def refuse_distances(known: KnownClusters, what: str) -> None:
    """Refuse what distances to the fitted rows do not suffice for.

    Raises
    ------
    ValueError
        If the clusters are of distances.
    """
    if known.scaler.metric == "precomputed":
        raise ValueError(
            f"{what} cannot be had with metric='precomputed': it needs to know how new rows lie to "
            f"each other. To do without, {WAY_OUT}."
        )


def _reaches(known: KnownClusters) -> np.ndarray:
    """Distance of each distinct row to its third neighbour, or to its last; (n_distinct,)."""
    similarities = known.graph_similarities[:, :_REACH].astype(np.float64)
    distances = np.where(similarities > 0, 1 - similarities, 0).max(axis=1, initial=0)
    return distances * known.scaler.scale
