"""Which nodes must share a cluster and which must not; merges that keep to it.

A merge can break a constraint through a chain: a joins b, b joins c, and a must not be with c. So
merges of one step are admitted together, the most probable first where they cannot all be.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True)
class NodeConstraints:
    """Constraints on the nodes that are clustered.

    Attributes
    ----------
    must : ndarray of shape (n_must, 2), int64
        Nodes that share a cluster.
    cannot : ndarray of shape (n_cannot, 2), int64
        Nodes that never share one.
    members : ndarray of shape (n_members, 2), int64
        (node, group): two nodes of one group never share a cluster. Each row once.
    """

    must: np.ndarray
    cannot: np.ndarray
    members: np.ndarray

    @property
    def is_empty(self) -> bool:
        """Whether nothing is constrained."""
        return len(self.must) == 0 and not self.keeps_apart

    @property
    def keeps_apart(self) -> bool:
        """Whether any nodes may not share a cluster."""
        return len(self.cannot) + len(self.members) > 0

    def units(self, n_nodes: int) -> np.ndarray:
        """Numbers of what must be together, (n_nodes,), int64."""
        a, b = self.must.T
        graph = sp.coo_array((np.ones(len(a)), (a, b)), shape=(n_nodes, n_nodes))
        return connected_components(graph, directed=False)[1].astype(np.int64)

    def renumbered(self, new_of: np.ndarray) -> NodeConstraints:
        """The constraints on nodes that get other numbers; those with a node that gets -1 go.

        Parameters
        ----------
        new_of : ndarray of shape (n_nodes,), int64

        Returns
        -------
        NodeConstraints
        """

        def moved(pairs: np.ndarray) -> np.ndarray:
            pairs = new_of[pairs]
            return pairs[(pairs >= 0).all(axis=1)]

        members = self.members[new_of[self.members[:, 0]] >= 0]
        members = np.stack([new_of[members[:, 0]], members[:, 1]], axis=1)
        return NodeConstraints(moved(self.must), moved(self.cannot), members)

    def conflicting(
        self, labels: np.ndarray, n_clusters: int, i: np.ndarray, j: np.ndarray
    ) -> np.ndarray:
        """Pairs of different clusters that must not become one.

        Parameters
        ----------
        labels : ndarray of shape (n_nodes,), int64
            Cluster of each node.
        n_clusters : int
        i, j : ndarray of shape (n_pairs,), int64
            Clusters.

        Returns
        -------
        ndarray of shape (n_pairs,), bool
        """
        a, b = labels[self.cannot[:, 0]], labels[self.cannot[:, 1]]
        forbidden = np.minimum(a, b) * n_clusters + np.maximum(a, b)
        out = np.isin(np.minimum(i, j) * n_clusters + np.maximum(i, j), forbidden)
        if len(self.members):
            in_group = self._groups_of(labels, n_clusters)
            grouped = np.diff(in_group.indptr) > 0
            both = np.flatnonzero(grouped[i] & grouped[j])
            shared = in_group[i[both]].multiply(in_group[j[both]]).sum(axis=1)
            out[both] |= np.asarray(shared).reshape(-1) > 0
        return out & (i != j)

    def admit(
        self,
        labels: np.ndarray,
        n_clusters: int,
        a: np.ndarray,
        b: np.ndarray,
        priority: np.ndarray,
    ) -> np.ndarray:
        """Merges that can be made together.

        Parameters
        ----------
        labels : ndarray of shape (n_nodes,), int64
            Cluster of each node before the merges.
        n_clusters : int
        a, b : ndarray of shape (n_merges,), int64
            Clusters to merge.
        priority : ndarray of shape (n_merges,)
            Of merges that exclude each other the one of higher priority is made.

        Returns
        -------
        ndarray of shape (n_merges,), bool
        """
        admitted = ~self.conflicting(labels, n_clusters, a, b)
        kept = np.flatnonzero(admitted)
        graph = sp.coo_array((np.ones(len(kept)), (a[kept], b[kept])), shape=(n_clusters,) * 2)
        _, component = connected_components(graph, directed=False)
        broken = self._broken(labels, component)
        if len(broken):
            careful = kept[np.isin(component[a[kept]], broken)]
            careful = careful[np.argsort(-priority[careful], kind="stable")]
            admitted[careful] = self._one_by_one(labels, a[careful], b[careful])
        return admitted

    def _groups_of(self, labels: np.ndarray, n_clusters: int) -> sp.csr_array:
        """Which groups each cluster has a member of, (n_clusters, n_groups)."""
        clusters, groups = labels[self.members[:, 0]], self.members[:, 1]
        shape = (n_clusters, int(groups.max()) + 1)
        return sp.csr_array((np.ones(len(groups), np.float32), (clusters, groups)), shape=shape)

    def _broken(self, labels: np.ndarray, component: np.ndarray) -> np.ndarray:
        """Components of clusters that would break a constraint if each became one."""
        a, b = component[labels[self.cannot.T]] if len(self.cannot) else np.zeros((2, 0), int)
        broken = [a[a == b]]
        if len(self.members):
            pairs = np.stack([labels[self.members[:, 0]], self.members[:, 1]], axis=1)
            pairs = np.unique(pairs, axis=0)
            joint = np.stack([component[pairs[:, 0]], pairs[:, 1]], axis=1)
            seen, counts = np.unique(joint, axis=0, return_counts=True)
            broken.append(seen[counts > 1, 0])
        return np.unique(np.concatenate(broken))

    def _one_by_one(self, labels: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Admit merges in order, each against what the earlier ones made."""
        parent: dict[int, int] = {}
        enemies, groups = defaultdict(set), defaultdict(set)
        for one, other in labels[self.cannot].tolist():
            enemies[one].add(other)
            enemies[other].add(one)
        for node, group in self.members.tolist():
            groups[int(labels[node])].add(group)

        def root(cluster: int) -> int:
            while cluster in parent:
                cluster = parent[cluster]
            return cluster

        admitted = np.zeros(len(a), dtype=bool)
        for at, (one, other) in enumerate(zip(a.tolist(), b.tolist(), strict=True)):
            one, other = root(one), root(other)
            if one == other:
                admitted[at] = True
                continue
            if other in enemies[one] or groups[one] & groups[other]:
                continue
            if len(enemies[one]) + len(groups[one]) < len(enemies[other]) + len(groups[other]):
                one, other = other, one
            parent[other] = one
            groups[one] |= groups.pop(other, set())
            for enemy in enemies.pop(other, set()):
                enemies[enemy].discard(other)
                enemies[enemy].add(one)
                enemies[one].add(enemy)
            admitted[at] = True
        return admitted
