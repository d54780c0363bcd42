"""Constraints as users give them: rows and groups, checked, then carried over to nodes."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._labels import as_given, as_integers, find_none

# How many contradictions an error names.
_NAMED = 3


@dataclass(frozen=True)
class RowConstraints:
    """Constraints on rows.

    Attributes
    ----------
    must, cannot : ndarray of shape (n_pairs, 2), int64
    group_of : ndarray of shape (n_samples,), int64
        Group of each row, or -1.
    group_names : ndarray of shape (n_groups,)
    """

    must: np.ndarray
    cannot: np.ndarray
    group_of: np.ndarray
    group_names: np.ndarray

    def on_nodes(self, nodes: np.ndarray) -> NodeConstraints:
        """The same on nodes; checked for contradictions.

        Parameters
        ----------
        nodes : ndarray of shape (n_samples,), int64
            Node of each row: exact copies share one.

        Returns
        -------
        NodeConstraints

        Raises
        ------
        ValueError
            Naming the rows, if constraints contradict each other or exact copies are kept apart.
        """
        n_nodes = int(nodes.max(initial=-1)) + 1
        must = nodes[self.must]
        graph = sp.coo_array((np.ones(len(must)), (must[:, 0], must[:, 1])), (n_nodes, n_nodes))
        together = connected_components(graph, directed=False)[1][nodes]
        self._check(nodes, together)
        grouped = np.flatnonzero(self.group_of >= 0)
        members = np.stack([nodes[grouped], self.group_of[grouped]], axis=1)
        return NodeConstraints(
            must=np.unique(must[must[:, 0] != must[:, 1]], axis=0).astype(np.int64),
            cannot=np.unique(nodes[self.cannot], axis=0).astype(np.int64),
            members=np.unique(members, axis=0).astype(np.int64),
        )

    def _check(self, nodes: np.ndarray, together: np.ndarray) -> None:
        found = []
        a, b = self.cannot.T
        for one, other in self.cannot[together[a] == together[b]][:_NAMED].tolist():
            found.append(_say(one, other, nodes, "cannot_link"))
        grouped = np.flatnonzero(self.group_of >= 0)
        order = grouped[np.lexsort((grouped, self.group_of[grouped], together[grouped]))]
        same = (together[order][1:] == together[order][:-1]) & (
            self.group_of[order][1:] == self.group_of[order][:-1]
        )
        for at in np.flatnonzero(same)[:_NAMED]:
            group = self.group_names[self.group_of[order[at]]].item()
            found.append(
                _say(int(order[at]), int(order[at + 1]), nodes, f"both are in group {group!r}")
            )
        if found:
            raise ValueError("Contradicting constraints: " + "; ".join(found[:_NAMED]) + ".")


def check_constraints(
    n_samples: int, must_link: object, cannot_link: object, groups: object
) -> RowConstraints | None:
    """Validate the constraints of one call.

    Parameters
    ----------
    n_samples : int
    must_link, cannot_link : array-like of shape (n_pairs, 2) or None
    groups : array-like of shape (n_samples,) or None
        None, NaN and the number -1 are no group.

    Returns
    -------
    RowConstraints or None
        None if nothing is constrained.

    Raises
    ------
    ValueError
        If they do not fit the rows.
    """
    must = _pairs_of_rows("must_link", must_link, n_samples)
    cannot = _pairs_of_rows("cannot_link", cannot_link, n_samples)
    alone = np.flatnonzero(cannot[:, 0] == cannot[:, 1])
    if len(alone):
        raise ValueError(f"cannot_link: row {cannot[alone[0], 0]} is paired with itself.")
    group_of, names = _group_codes(groups, n_samples)
    if len(must) + len(cannot) + len(names) == 0:
        return None
    return RowConstraints(must, cannot, group_of, names)


def check_same_kind(known: np.ndarray, names: np.ndarray) -> None:
    """Refuse group names that would never be those of known groups.

    Parameters
    ----------
    known, names : ndarray of shape (n_groups,)

    Raises
    ------
    ValueError
    """
    if len(known) and len(names) and (known.dtype.kind in "US") != (names.dtype.kind in "US"):
        raise ValueError("groups: numbers here, strings there; use one kind of ids in all calls.")


def _pairs_of_rows(name: str, pairs: object, n_samples: int) -> np.ndarray:
    if pairs is None:
        return np.zeros((0, 2), dtype=np.int64)
    array = np.asarray(pairs)
    if array.size == 0:
        return np.zeros((0, 2), dtype=np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must be pairs of row numbers, integers of shape (n_pairs, 2); got "
            f"{array.dtype} of shape {array.shape}."
        )
    outside = array[((array < 0) | (array >= n_samples)).any(axis=1)]
    if len(outside):
        raise ValueError(
            f"{name} names the pair {tuple(outside[0].tolist())}, but rows are 0 to "
            f"{n_samples - 1}."
        )
    return array.astype(np.int64)


def _group_codes(groups: object, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Group of each row from 0 or -1, and the names of groups."""
    if groups is None:
        return np.full(n_samples, -1), np.zeros(0, dtype=np.int64)
    array = as_given(groups)
    if array.shape != (n_samples,):
        raise ValueError(f"groups must have one id a row: shape ({n_samples},); got {array.shape}.")
    named = ~find_none(array)
    ids = array[named]
    given = ids.tolist()
    try:
        if ids.dtype.kind == "O":
            ids = np.array(given) if len(ids) else np.zeros(0, dtype=np.int64)
        names, codes = np.unique(as_integers(ids), return_inverse=True)
    except (TypeError, ValueError) as error:  # ragged, or of no order
        raise ValueError("groups must hold one number or string a row.") from error
    if ids.ndim != 1:
        raise ValueError("groups must hold one number or string a row.")
    if ids.dtype.kind == "f" and given and all(isinstance(group, Integral) for group in given):
        raise ValueError("groups holds integers that no one type has room for: give them as texts.")
    out = np.full(n_samples, -1, dtype=np.int64)
    out[named] = codes.reshape(-1)
    return out, names


def _say(one: int, other: int, nodes: np.ndarray, why: str) -> str:
    joined = "exact copies" if nodes[one] == nodes[other] else "joined by must_link"
    return f"rows {one} and {other} are {joined}, but {why}" + (
        " keeps them apart" if why == "cannot_link" else ""
    )
