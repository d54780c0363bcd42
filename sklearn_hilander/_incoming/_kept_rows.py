"""Known rows and new ones together, before anything is said of the clusters of the new ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sklearn_hilander._clusters._known_clusters import KnownClusters, KnownGroups
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._constraints._row_constraints import RowConstraints, check_same_kind
from sklearn_hilander._rows._embeddings import Embeddings, canonical_embeddings, match_rows


@dataclass(frozen=True)
class KeptRows:
    """All rows that are kept, the new ones last.

    Attributes
    ----------
    embeddings : Embeddings
    nodes : ndarray of shape (n_samples,), int64
        Node of each sample. New distinct rows are nodes behind the known ones.
    constraints : NodeConstraints or None
        Over the nodes.
    groups : KnownGroups or None
    fresh : ndarray of shape (n_fresh,), int64
        Distinct new rows that are no copies of known ones.
    node_of : ndarray of shape (n_distinct_new,), int64
        Node of each distinct new row.
    """

    embeddings: Embeddings
    nodes: np.ndarray
    constraints: NodeConstraints | None
    groups: KnownGroups | None
    fresh: np.ndarray
    node_of: np.ndarray


def known_rows(known: KnownClusters) -> KeptRows:
    """The rows of known clusters, none new."""
    none = np.zeros(0, dtype=np.int64)
    return KeptRows(known.embeddings, known.nodes, known.constraints, known.groups, none, none)


def with_new_rows(
    known: KnownClusters, X: np.ndarray, constraints: RowConstraints | None
) -> KeptRows:
    """The rows of known clusters, and new ones that were looked at in no other way.

    Parameters
    ----------
    known : KnownClusters
    X : ndarray of shape (n_new, n_features)
    constraints : RowConstraints or None
        On the new rows.

    Returns
    -------
    KeptRows

    Raises
    ------
    ValueError
        If constraints of different calls contradict each other. Rows are numbered as `labels_`
        has them.
    """
    new = canonical_embeddings(X, known.scaler)
    copies = match_rows(new, known.embeddings, known.by_hash)
    on_rows = None if constraints is None else constraints.on_nodes(new.inverse)
    rows = add_rows(known, new, copies, on_rows, constraints)
    if rows.constraints is not None and on_rows is not None:
        names = rows.groups.names if rows.groups is not None else np.zeros(0)
        _check_consistent(rows.nodes, rows.constraints, names)
    return rows


def add_rows(
    known: KnownClusters,
    new: Embeddings,
    copies: np.ndarray,
    on_rows: NodeConstraints | None,
    constraints: RowConstraints | None,
) -> KeptRows:
    """The rows of known clusters, and new ones.

    Parameters
    ----------
    known : KnownClusters
    new : Embeddings
    copies : ndarray of shape (n_distinct_new,), int64
        Known distinct row that each is an exact copy of, or -1.
    on_rows : NodeConstraints or None
        Constraints on the distinct new rows.
    constraints : RowConstraints or None
        That the rows came with.

    Returns
    -------
    KeptRows
    """
    n_samples, n_rows, n_nodes = (
        len(known.nodes),
        len(known.embeddings.hashes),
        len(known.partition),
    )
    fresh = np.flatnonzero(copies < 0)
    is_copy = copies >= 0
    row_of = np.where(is_copy, copies, 0)
    row_of[fresh] = n_rows + np.arange(len(fresh))
    node_of = known.nodes[known.embeddings.first][np.where(is_copy, copies, 0)]
    node_of[fresh] = n_nodes + np.arange(len(fresh))
    groups = _groups_of_all(known, on_rows, constraints, node_of)
    return KeptRows(
        embeddings=_with_rows(known.embeddings, new, row_of, fresh, n_samples),
        nodes=np.concatenate([known.nodes, node_of[new.inverse]]),
        constraints=_constraints_of_all(known, on_rows, groups, node_of),
        groups=groups,
        fresh=fresh,
        node_of=node_of,
    )


def _with_rows(
    known: Embeddings, new: Embeddings, row_of: np.ndarray, fresh: np.ndarray, n_samples: int
) -> Embeddings:
    counts = np.concatenate([known.counts, np.zeros(len(fresh), dtype=known.counts.dtype)])
    counts[row_of] += new.counts
    return Embeddings(
        features=np.concatenate([known.features, new.features[fresh]]),
        inverse=np.concatenate([known.inverse, row_of[new.inverse]]),
        counts=counts,
        hashes=np.concatenate([known.hashes, new.hashes[fresh]]),
        first=np.concatenate([known.first, n_samples + new.first[fresh]]),
    )


def _constraints_of_all(
    known: KnownClusters,
    on_rows: NodeConstraints | None,
    groups: KnownGroups | None,
    node_of: np.ndarray,
) -> NodeConstraints | None:
    """Constraints on known and new nodes."""
    if on_rows is None:
        return known.constraints
    none = np.zeros((0, 2), dtype=np.int64)
    before = known.constraints or NodeConstraints(none, none, none)
    return NodeConstraints(
        must=np.concatenate([before.must, node_of[on_rows.must]]),
        cannot=np.concatenate([before.cannot, node_of[on_rows.cannot]]),
        members=none if groups is None else groups.members,
    )


def _groups_of_all(
    known: KnownClusters,
    on_rows: NodeConstraints | None,
    constraints: RowConstraints | None,
    node_of: np.ndarray,
) -> KnownGroups | None:
    if constraints is None or on_rows is None or len(constraints.group_names) == 0:
        return known.groups
    members = np.stack([node_of[on_rows.members[:, 0]], on_rows.members[:, 1]], axis=1)
    if known.groups is None or len(known.groups.names) == 0:
        return KnownGroups(constraints.group_names, members)
    check_same_kind(known.groups.names, constraints.group_names)
    names, code = np.unique(
        np.concatenate([known.groups.names, constraints.group_names]), return_inverse=True
    )
    code = code.reshape(-1)
    old, new = code[: len(known.groups.names)], code[len(known.groups.names) :]
    every = np.concatenate(
        [
            np.stack([known.groups.members[:, 0], old[known.groups.members[:, 1]]], axis=1),
            np.stack([members[:, 0], new[members[:, 1]]], axis=1),
        ]
    )
    return KnownGroups(names, np.unique(every, axis=0))


def _check_consistent(
    nodes: np.ndarray, constraints: NodeConstraints, group_names: np.ndarray
) -> None:
    """Raise if what must be together must not."""
    units = constraints.units(int(nodes.max()) + 1)
    first = np.unique(nodes, return_index=True)[1]

    def refuse(one: int, other: int, why: str) -> None:
        one, other = sorted((int(first[one]), int(first[other])))
        raise ValueError(
            f"Contradicting constraints: of all rows kept, {one} and {other} are joined by "
            f"must_link, but {why}."
        )

    apart = constraints.cannot
    for one, other in apart[units[apart[:, 0]] == units[apart[:, 1]]][:1]:
        refuse(one, other, "cannot_link keeps them apart")
    members = np.unique(constraints.members, axis=0)
    in_unit = np.stack([units[members[:, 0]], members[:, 1]])
    order = np.lexsort(in_unit)
    same = (in_unit[:, order][:, 1:] == in_unit[:, order][:, :-1]).all(axis=0)
    for at in np.flatnonzero(same)[:1]:
        (one, group), (other, _) = members[order[at : at + 2]]
        refuse(one, other, f"both are in group {group_names[group].item()!r}")
