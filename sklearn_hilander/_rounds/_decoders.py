"""Linkage probabilities to one partition: by the judge, average linkage or a flow.

Which of them serves is chosen on classes held out of meta-training. The rounds of the judge then
go on within the partition, so that there is a hierarchy whichever made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._flows._flow import flow_clusters, move_nodes
from sklearn_hilander._flows._stable_flow import share_kept, stable_flow
from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pairs import pair_dot
from sklearn_hilander._linkage._linkage_model import Links
from sklearn_hilander._rounds._cluster_merges import apart_in, merge
from sklearn_hilander._rounds._cluster_pairs import ClusterPairs
from sklearn_hilander._rounds._judge import Judge, run_rounds

# What meta-training chooses from, and all there are.
CANDIDATES = ("judge", "average", "flow")
DECODERS = (*CANDIDATES, "stable")
# Of a flow: share of the neighbours that it takes.
_SHARE = 0.25
# Where fewer neighbours are linked, classes are small (`_careful`). So they are where the most
# stable flow goes along no more than this share of the neighbours: the threshold is higher, and
# fewer linked neighbours are enough.
_FINE_SHARE, _FINE_THRESHOLD = 0.4, 0.6
_ENOUGH_LINKED, _FINE_ENOUGH = 18, 8
# A flow may divide what is large. What average linkage is as sure of as this is joined again.
_SURE = 0.9
# Learned clusters of which a flow along the embeddings keeps a smaller share of the pairs than this
# hold more than one class each.
_KEPT = 0.75
# Neighbours that are worth linking, by the scale where a flow is most stable, at least so many.
# Fewer rows than this take no time to speak of: all neighbours are linked.
_WORTH, _FEWEST_NEIGHBORS, _FEW_ROWS = 2, 16, 5_000


@dataclass(frozen=True)
class Cut:
    """The most stable flow along the embeddings.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,), int64
    fine : bool
        Whether it goes along few of the neighbours.
    """

    labels: np.ndarray
    fine: bool


@dataclass(frozen=True)
class Decoder:
    """How samples are put into clusters.

    Attributes
    ----------
    kind : {"judge", "average", "flow", "stable"}
        Rounds of the judge or of average linkage, with moves of single samples afterwards; the
        clusters of a flow along the linkage probabilities; or, for data unlike what was learned
        from, rounds of average linkage, cut where a flow along the embeddings is, at the scale
        where it is most stable.
    threshold : float
        Where the rounds end; not used by "flow", and higher for "stable" where classes are small.
    """

    kind: str = "judge"
    threshold: float = 0.5

    def cut(
        self, graphs: Iterable[PairGraph], n_neighbors: int, *, in_doubt: bool = False
    ) -> tuple[Cut | None, PairGraph, PairGraph]:
        """What clusters are cut by, the graph of the samples, and the one to link along.

        It takes much memory, and the graph of the embeddings as given alone: best before there is
        more.

        Parameters
        ----------
        graphs : iterable of PairGraph
            Of ever more neighbours, as for `stable_flow`. Decoders that do not cut take the last.
        n_neighbors : int
            Of the last one.
        in_doubt : bool, default=False
            Whether other decoders than "stable" cut, too, where clusters hold more than a class.

        Returns
        -------
        cut : Cut or None
            None if there is no need of it.
        graph : PairGraph
            The last that was asked for.
        near : PairGraph
            The same; or, of many rows in small clusters, one of as many neighbours as these are
            worth.
        """
        if self.kind != "stable" and not in_doubt:
            *_, graph = graphs
            return None, graph, graph
        labels, scale, graph = stable_flow(graphs, n_neighbors)
        cut = Cut(labels, scale <= _FINE_SHARE * n_neighbors)
        if self.kind != "stable" or graph.n_nodes <= _FEW_ROWS:
            return cut, graph, graph
        return cut, graph, graph.narrowed(max(_FEWEST_NEIGHBORS, round(_WORTH * scale)))

    def __call__(
        self,
        links: Links,
        start: ClusterPairs,
        judge: Judge,
        constraints: NodeConstraints | None = None,
        cut: Cut | None = None,
        on_cut: Callable[[float], None] | None = None,
    ) -> np.ndarray:
        """Partition of the samples, (n_samples,), int64.

        Parameters
        ----------
        links : Links
        start : ClusterPairs
            Single samples, but for those that must be together.
        judge : callable
        constraints : NodeConstraints, optional
            Kept by rounds and moves, not by a flow.
        cut : Cut, optional
            Of the method of that name.
        on_cut : callable, optional
            Called where clusters of another decoder than "stable" are cut, with the share of
            their pairs that are left.
        """
        *_, (_, labels) = partitions(
            self.kind, links, start, judge, self.threshold, constraints, cut=cut, on_cut=on_cut
        )
        return labels


def partitions(
    kind: str,
    links: Links,
    start: ClusterPairs,
    judge: Judge,
    lowest: float,
    constraints: NodeConstraints | None = None,
    *,
    cut: Cut | None = None,
    on_cut: Callable[[float], None] | None = None,
    every: bool = False,
) -> Iterator[tuple[float, np.ndarray]]:
    """Threshold and partition; with `every`, after each threshold down to the lowest one."""
    n_samples = len(start.labels)
    if kind == "flow":
        yield lowest, flow_clusters(links.graph.i, links.graph.j, walk(links), n_samples)
        return
    if kind == "stable":
        if cut is not None and cut.fine:
            lowest = _careful(max(lowest, _FINE_THRESHOLD), links, _FINE_ENOUGH)
        else:
            lowest = _careful(lowest, links, _ENOUGH_LINKED)
    chosen = judge if kind == "judge" else similarity_judge
    rounds = run_rounds(
        start, chosen, lowest=lowest, constraints=constraints, blind=chosen is similarity_judge
    )
    for threshold, clusters in rounds:
        if every or threshold == lowest:
            labels, cut_by = clusters.labels, cut
            if cut is not None and kind != "stable":
                share = share_kept(labels, cut.labels)
                if share >= _KEPT:
                    cut_by = None
                elif on_cut is not None:
                    on_cut(share)
            if cut_by is None:
                labels = move_samples(links, labels, constraints)
            else:
                labels = np.unique(labels * n_samples + cut_by.labels, return_inverse=True)[1]
                labels = _joined_again(labels, start, max(_SURE, threshold), constraints)
            yield threshold, labels


def _joined_again(
    labels: np.ndarray, start: ClusterPairs, lowest: float, constraints: NodeConstraints | None
) -> np.ndarray:
    """Clusters of the samples after rounds of average linkage that begin with these."""
    clusters, _ = merge(start, *apart_in(labels, start))
    *_, (_, clusters) = run_rounds(
        clusters, similarity_judge, lowest=lowest, constraints=constraints, blind=True
    )
    return clusters.labels


def _careful(threshold: float, links: Links, enough: int) -> float:
    """A threshold that rises to 1 as fewer neighbours than enough are linked.

    Averages over the pairs of large clusters are sure even where single probabilities are not.
    Small clusters have few pairs, and each must do for itself.
    """
    n_linked = 2 * float(links.probability.sum()) / links.graph.n_nodes
    enough = min(enough, links.graph.n_neighbors)
    return 1 - (1 - threshold) * min(1.0, n_linked / enough)


def walk(links: Links) -> np.ndarray:
    """Weights of a walk along the strongest pairs: squared probabilities; (n_pairs,)."""
    q = max(1, round(_SHARE * links.graph.n_neighbors))
    return links.graph.times_near(q) * links.probability.astype(np.float64) ** 2


def move_samples(
    links: Links, labels: np.ndarray, constraints: NodeConstraints | None = None
) -> np.ndarray:
    """Move single samples to clusters that a walk which visits them goes to.

    A sample that is alone stays so: whatever little it is linked by, a walk that visits it goes
    there, and whether it should be joined is what the rounds have decided. Samples that a
    constraint names stay where they are, too.
    """
    fixed = np.bincount(labels)[labels] == 1
    if constraints is not None:
        named = (constraints.must, constraints.cannot, constraints.members[:, :1])
        fixed |= np.isin(np.arange(len(labels)), np.concatenate([part.ravel() for part in named]))
    return move_nodes(links.graph.i, links.graph.j, walk(links), labels, fixed)


def similarity_judge(clusters: ClusterPairs, relations: np.ndarray) -> np.ndarray:
    """Average linkage: mean probability and mean similarity in the smoothed view, half each.

    It has no need of relations.
    """
    size = clusters.sizes
    i, j = clusters.i, clusters.j
    probability = (clusters.p / clusters.count).astype(np.float32)
    similarity = pair_dot(clusters.sums[0], i, j) / (size[i] * size[j])
    return 0.5 * probability + 0.5 * np.clip(similarity, 0, 1)
