"""New rows to known clusters, and what is left to clusters of its own."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sklearn_hilander._clusters._clustering import Grower
from sklearn_hilander._clusters._growth import ClusterSettings
from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._clusters._merge_tree import first_come
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._constraints._row_constraints import RowConstraints, check_same_kind
from sklearn_hilander._incoming._opening import open_clusters
from sklearn_hilander._rows._embeddings import Embeddings, canonical_embeddings, match_rows
from sklearn_hilander._types import Growth, Merges, concatenate_merges


class KnownClustersError(ValueError):
    """Constraints on new rows that known clusters contradict, but other clusters might not."""


@dataclass(frozen=True)
class Candidates:
    """Parts that new rows may join.

    Attributes
    ----------
    row : ndarray of shape (n_candidates,), int64
        New row.
    part : ndarray of shape (n_candidates,), int64
        Part of the known clusters; at most once a row.
    probability : ndarray of shape (n_candidates,), float64
        That the row belongs there.
    neighbor : ndarray of shape (n_candidates,), int64
        Distinct known row of the part that speaks most for it.
    """

    row: np.ndarray
    part: np.ndarray
    probability: np.ndarray
    neighbor: np.ndarray


class Joiner(Grower, Protocol):
    """A model, as this room needs it."""

    def candidates(
        self, features: np.ndarray, known: KnownClusters, settings: ClusterSettings
    ) -> Candidates:
        """Parts that new rows may join, each row judged by itself."""

    def join_threshold(self, linkage_threshold: float) -> float:
        """Probability above which a row joins."""


@dataclass(frozen=True)
class Assignment:
    """Where new rows went.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), int64
    new : Embeddings
        Of the new rows.
    copies : ndarray of shape (n_distinct_new,), int64
        Distinct known row that is an exact copy, or -1.
    part : ndarray of shape (n_distinct_new,), int64
        Known part that each distinct new row joined, or -1.
    probability : ndarray of shape (n_distinct_new,), float64
        Of joining; 0 where it did not.
    neighbor : ndarray of shape (n_distinct_new,), int64
        Distinct known row that it joined by, or -1.
    opened : ndarray of shape (n_opened,), int64
        Distinct new rows that were clustered among themselves.
    growth : Growth or None
        Of those.
    bridges : Merges
        Linkage of distinct known rows, `a`, and rows of `opened`, `b`.
    on_rows : NodeConstraints or None
        Constraints on the distinct new rows.
    """

    labels: np.ndarray
    new: Embeddings
    copies: np.ndarray
    part: np.ndarray
    probability: np.ndarray
    neighbor: np.ndarray
    opened: np.ndarray
    growth: Growth | None
    bridges: Merges
    on_rows: NodeConstraints | None


def assign_rows(
    X: np.ndarray,
    known: KnownClusters,
    model: Joiner,
    settings: ClusterSettings,
    constraints: RowConstraints | None = None,
) -> Assignment:
    """Join rows to known clusters, or open new ones.

    An exact copy of a known row is in its cluster. A row joins the cluster that it most probably
    belongs to, if that is probable enough. All other rows are clustered among themselves, in the
    company of their known neighbours, and get the next free labels.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    known : KnownClusters
    model : Model
    settings : ClusterSettings
    constraints : RowConstraints, optional
        On the new rows; groups hold across known and new rows.

    Returns
    -------
    Assignment
    """
    new = canonical_embeddings(X, known.scaler)
    copies = match_rows(new, known.embeddings, known.by_hash)
    part = np.where(copies >= 0, known.row_parts[copies], -1)
    probability, neighbor = np.zeros(len(part)), np.full(len(part), -1)
    units = on_rows = None
    if constraints is not None:
        on_rows = constraints.on_nodes(new.inverse)
        units = _Units(known, new, copies, part, constraints, on_rows)
    pending = np.flatnonzero(copies < 0)
    if len(pending):
        found = model.candidates(new.features[pending], known, settings)
        enough = found.probability > model.join_threshold(known.linkage_threshold)
        row = pending[found.row[enough]]
        offered = Candidates(
            row, found.part[enough], found.probability[enough], found.neighbor[enough]
        )
        best = _best_of_rows(offered) if units is None else units.choose(offered)
        chosen = offered.row[best]
        part[chosen] = offered.part[best]
        probability[chosen] = offered.probability[best]
        neighbor[chosen] = offered.neighbor[best]
        if units is not None:
            part = units.spread(part)
    opened = np.flatnonzero(part < 0)
    labels = np.where(part >= 0, known.number[part], -1)[new.inverse]
    growth, bridges = None, concatenate_merges([])
    if len(opened):
        growth, bridges = open_clusters(new, opened, known, model, settings, on_rows)
        rows = np.full(len(part), -1)
        rows[opened] = growth.labels[-1]
        over_samples = rows[new.inverse]
        is_new = over_samples >= 0
        large = np.bincount(over_samples[is_new]) >= known.min_cluster_size
        numbers = first_come(over_samples[is_new], large)
        labels[is_new] = np.where(numbers >= 0, numbers + known.n_clusters, -1)
    return Assignment(
        labels, new, copies, part, probability, neighbor, opened, growth, bridges, on_rows
    )


def best_by_part(
    row: np.ndarray, part: np.ndarray, probability: np.ndarray, neighbor: np.ndarray
) -> Candidates:
    """Candidates with each part once a row: the most probable, the first of equals."""
    order = np.lexsort((neighbor, -probability, part, row))
    row, part = row[order], part[order]
    first = np.r_[True, (row[1:] != row[:-1]) | (part[1:] != part[:-1])][: len(row)]
    kept = order[first]
    return Candidates(row[first], part[first], probability[kept], neighbor[kept])


def _best_of_rows(offered: Candidates) -> np.ndarray:
    """Most probable candidate of each row that has one; of equals the lowest part."""
    order = np.lexsort((offered.part, -offered.probability, offered.row))
    first = np.r_[True, offered.row[order][1:] != offered.row[order][:-1]][: len(order)]
    return order[first]


class _Units:
    """Distinct new rows that must stay together, and where they must not go."""

    def __init__(
        self,
        known: KnownClusters,
        new: Embeddings,
        copies: np.ndarray,
        part: np.ndarray,
        constraints: RowConstraints,
        on_rows: NodeConstraints,
    ) -> None:
        self.number = known.number
        self.unit = on_rows.units(len(part))
        self.new = new
        self.part_of: dict[int, int] = {}
        self.enemies: dict[int, set[int]] = defaultdict(set)
        self.groups: dict[int, set[int]] = defaultdict(set)
        for one, other in self.unit[on_rows.cannot].tolist():
            self.enemies[one].add(other)
            self.enemies[other].add(one)
        for row, group in on_rows.members.tolist():
            self.groups[int(self.unit[row])].add(group)
        # (part, group) -> distinct known rows of that group in that part.
        self.taken = _taken(known, constraints.group_names)
        self.taken_by_unit: dict[tuple[int, int], int] = {}
        fixed = np.flatnonzero(copies >= 0)
        for row in fixed.tolist():
            self._fix(row, int(part[row]), int(copies[row]))

    def choose(self, offered: Candidates) -> np.ndarray:
        """Candidates to take, the most probable first, none that breaks a constraint."""
        order = np.lexsort((offered.part, offered.row, -offered.probability))
        chosen = []
        for at in order.tolist():
            unit, part = int(self.unit[offered.row[at]]), int(offered.part[at])
            if unit in self.part_of or not self._fits(unit, part):
                continue
            self._take(unit, part)
            chosen.append(at)
        return np.array(chosen, dtype=np.int64)

    def spread(self, part: np.ndarray) -> np.ndarray:
        """Part of each row: that of its unit."""
        return np.array([self.part_of.get(unit, -1) for unit in self.unit.tolist()], dtype=np.int64)

    def _fits(self, unit: int, part: int) -> bool:
        if any(self.part_of.get(enemy) == part for enemy in self.enemies[unit]):
            return False
        return not any(
            (part, group) in self.taken or (part, group) in self.taken_by_unit
            for group in self.groups[unit]
        )

    def _take(self, unit: int, part: int) -> None:
        self.part_of[unit] = part
        for group in self.groups[unit]:
            self.taken_by_unit[part, group] = unit

    def _fix(self, row: int, part: int, copy: int) -> None:
        """Take the part of a row that is a copy of a known one; contradictions raise."""
        unit = int(self.unit[row])
        said = f"row {self.new.first[row]} is an exact copy of one in cluster {self.number[part]}"
        if self.part_of.get(unit, part) != part:
            raise KnownClustersError(
                f"Contradicting constraints: {said}, but must_link joins it to one of another "
                "cluster, and known clusters never merge."
            )
        if any(self.part_of.get(enemy) == part for enemy in self.enemies[unit]):
            raise KnownClustersError(
                f"Contradicting constraints: {said}, where a row is that cannot_link keeps apart "
                "from it."
            )
        for group in self.groups[unit]:
            if self.taken.get((part, group), set()) - {copy} or (
                self.taken_by_unit.get((part, group), unit) != unit
            ):
                raise KnownClustersError(
                    f"Contradicting constraints: {said}, which has another row of its group."
                )
        self._take(unit, part)


def _taken(known: KnownClusters, names: np.ndarray) -> dict[tuple[int, int], set[int]]:
    """(part, new group) -> known distinct rows of that group in that part."""
    out: dict[tuple[int, int], set[int]] = defaultdict(set)
    if known.groups is None or len(names) == 0 or len(known.groups.names) == 0:
        return out
    check_same_kind(known.groups.names, names)
    code = {name: at for at, name in enumerate(names.tolist())}
    new_of = np.array([code.get(name, -1) for name in known.groups.names.tolist()])
    rows = known.embeddings.inverse[known.first]
    for node, group in known.groups.members.tolist():
        if new_of[group] >= 0:
            out[int(known.partition[node]), int(new_of[group])].add(int(rows[node]))
    return out
