"""Rounds of the judge that come to the decoder's partition, and go on where they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._rounds._cluster_merges import apart_in, merge
from sklearn_hilander._rounds._cluster_pairs import ClusterPairs, cluster_relations
from sklearn_hilander._rounds._judge import run_rounds
from sklearn_hilander._rounds._merge_log import MergeLog
from sklearn_hilander._rounds._relational import RelationalModel
from sklearn_hilander._types import Merges


@dataclass(frozen=True)
class Rounds:
    """How the rounds of the judge ended.

    Attributes
    ----------
    clusters : ClusterPairs
        The clusters that are left.
    log : MergeLog
    threshold : float
        The last one.
    partition : ndarray of shape (n_samples,), int64
        The decoder's, which the rounds come to at the calibrated threshold.
    """

    clusters: ClusterPairs
    log: MergeLog
    threshold: float
    partition: np.ndarray


def rounds_through(
    partition: np.ndarray,
    clusters: ClusterPairs,
    model: RelationalModel,
    lowest: float,
    record: Callable,
    constraints: NodeConstraints | None,
    highest: float = 1.0,
) -> Iterator[tuple[float, ClusterPairs]]:
    """Rounds that have the decoder's partition where they reach the calibrated threshold.

    Above it only samples of one part merge, and at it those of a part that are still apart do,
    constraints kept. So clusters of every threshold are nested, and those of a threshold do not
    depend on where the clustering ends.
    """
    turn = model.linkage_threshold
    if highest > turn:
        rounds = run_rounds(
            clusters,
            model.judge,
            lowest=max(lowest, turn),
            highest=highest,
            on_merge=record,
            constraints=constraints,
            within=partition,
        )
        for threshold, clusters in rounds:
            if threshold <= turn:
                break
            yield threshold, clusters
            highest = threshold
        if lowest > turn:
            return
        a, b = apart_in(partition, clusters)
        q = np.full(len(a), np.nextafter(turn, 1.0))
        if constraints is not None:
            admitted = constraints.admit(clusters.labels, clusters.n_clusters, a, b, q)
            a, b, q = a[admitted], b[admitted], q[admitted]
        if len(a):
            clusters, new_of = merge(clusters, a, b)
            record(a, b, q, highest, new_of)
        yield turn, clusters
        highest = turn
    if lowest < highest:
        yield from run_rounds(
            clusters,
            model.judge,
            lowest=lowest,
            highest=highest,
            on_merge=record,
            constraints=constraints,
        )


def merges_below(
    rounds: Rounds, model: RelationalModel, constraints: NodeConstraints | None = None
) -> tuple[Merges, ...]:
    """Go on with the rounds from where they ended, down to threshold 0."""
    log = replace(rounds.log, merges=())

    def record(*merged: Any) -> None:
        nonlocal log
        log = log.record(*merged)

    for _ in rounds_through(
        rounds.partition,
        rounds.clusters,
        model,
        0.0,
        record,
        constraints,
        highest=rounds.threshold,
    ):
        pass
    return log.merges


def judged_pairs(rounds: Rounds, model: RelationalModel) -> Merges:
    """Pairs of the clusters that are left, by a sample of each, as the judge sees them."""
    clusters, log = rounds.clusters, rounds.log
    if len(clusters.i) == 0:
        return Merges(clusters.i, clusters.j, np.zeros(0))
    q = model.judge(clusters, cluster_relations(clusters)).astype(np.float64)
    return Merges(log.representative[clusters.i], log.representative[clusters.j], q)
