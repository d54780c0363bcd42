"""How clusters grew, as a description in JSON types and named arrays, and back."""

from __future__ import annotations

import numpy as np

from sklearn_hilander._files._specs import (
    MAX_EXTENT,
    ArraySpec,
    SavedFileError,
    check_float,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._rounds._cluster_pairs import ClusterPairs
from sklearn_hilander._rounds._merge_log import MergeLog
from sklearn_hilander._rounds._nested_rounds import Rounds
from sklearn_hilander._types import Growth, Merges

MAX_LEVELS = 100_000
_MERGES = ("merges", "links", "reviewed")
_OF_PAIRS = ("i", "j", "p", "count", "log_odds", "largest")
_OF_CLUSTERS = ("sizes", "inner_p", "inner_count")
# Of `Links`.
_N_VIEWS = 3
# Mixtures of probabilities may be over 1 by their last bit.
_HIGHEST = 1 + 1e-6


def describe_growth(growth: Growth) -> dict:
    """Everything but the arrays, in JSON types."""
    rounds = None
    if growth.rounds is not None:
        clusters = growth.rounds.clusters
        rounds = {
            "n_pairs": len(clusters.i),
            "widths": [sums.shape[1] for sums in clusters.sums],
            # Sums over pairs are wider than the probabilities of single ones.
            "dtype": clusters.p.dtype.name,
        }
    return {
        "sizes": list(growth.n_clusters),
        "thresholds": [float(threshold) for threshold in growth.thresholds],
        **{f"n_{name}": len(getattr(growth, name)) for name in _MERGES},
        "rounds": rounds,
    }


def growth_arrays(growth: Growth) -> dict[str, np.ndarray]:
    """The arrays, by the names of `plan_growth`."""
    arrays = {
        "levels/labels": growth.labels[0],
        "levels/above": _clusters_above(growth),
        "levels/peaks": np.concatenate(growth.peaks),
        "prominence": growth.prominence,
    }
    for name in _MERGES:
        merges = getattr(growth, name)
        arrays[f"{name}/a"], arrays[f"{name}/b"] = merges.a, merges.b
        arrays[f"{name}/probability"] = merges.probability
    if growth.rounds is not None:
        clusters, log = growth.rounds.clusters, growth.rounds.log
        for name in (*_OF_CLUSTERS, *_OF_PAIRS):
            arrays[f"rounds/{name}"] = getattr(clusters, name)
        arrays |= {f"rounds/sums/{at}": sums for at, sums in enumerate(clusters.sums)}
        arrays["rounds/representative"] = log.representative
        arrays["rounds/carried"] = log.carried
        arrays["rounds/partition"] = growth.rounds.partition
    return arrays


def plan_growth(description: object, n_nodes: int) -> dict[str, ArraySpec]:
    """What arrays a described growth has.

    Raises
    ------
    SavedFileError
        If the description is not one of `describe_growth`.
    """
    keys = {"sizes", "thresholds", *(f"n_{name}" for name in _MERGES), "rounds"}
    given = check_keys(description, keys, "the growth of the clusters")
    sizes = check_list(given["sizes"], "the sizes of the levels")
    thresholds = check_list(given["thresholds"], "the thresholds of the levels")
    if not 1 <= len(sizes) == len(thresholds) <= MAX_LEVELS:
        raise SavedFileError("the hierarchy has no level, too many, or not a threshold for each.")
    for at, size in enumerate(sizes):
        check_int(size, "the size of a level", 1, sizes[at - 1] if at else n_nodes)
    for threshold in thresholds:
        check_float(threshold, "the threshold of a level", 0, 1)
    plan = {
        "levels/labels": ArraySpec((n_nodes,), "int64", 0, sizes[0] - 1),
        "levels/above": ArraySpec((sum(sizes[:-1]),), "int64", 0, sizes[0] - 1),
        "levels/peaks": ArraySpec((sum(sizes),), "int64", 0, n_nodes - 1),
        "prominence": ArraySpec((n_nodes,), "int64", -MAX_EXTENT, MAX_EXTENT),
    }
    for name in _MERGES:
        n = check_int(given[f"n_{name}"], f"the number of {name}")
        plan[f"{name}/a"] = plan[f"{name}/b"] = ArraySpec((n,), "int64", 0, n_nodes - 1)
        plan[f"{name}/probability"] = ArraySpec((n,), "float64", 0, _HIGHEST)
    if given["rounds"] is not None:
        plan |= _plan_rounds(given["rounds"], sizes[-1], n_nodes)
    return plan


def build_growth(description: dict, arrays: dict[str, np.ndarray]) -> Growth:
    """The growth of a description that `plan_growth` accepted.

    Raises
    ------
    SavedFileError
        If the arrays contradict each other.
    """
    sizes = description["sizes"]
    labels = [arrays["levels/labels"]]
    for above in _split(arrays["levels/above"], sizes[:-1]):
        labels.append(above[labels[-1]])
    peaks = _split(arrays["levels/peaks"], sizes)
    for size, of_level, of_clusters in zip(sizes, labels, peaks, strict=True):
        if of_level.max() >= size or (of_level[of_clusters] != np.arange(size)).any():
            raise SavedFileError("a level of the hierarchy contradicts its peaks.")
    prominence = arrays["prominence"]
    if len(np.unique(prominence)) < len(prominence):
        raise SavedFileError("two samples have the same prominence.")
    thresholds = tuple(float(threshold) for threshold in description["thresholds"])
    merges, links, reviewed = (
        Merges(*(arrays[f"{name}/{part}"] for part in ("a", "b", "probability")))
        for name in _MERGES
    )
    rounds = None
    if description["rounds"] is not None:
        rounds = _build_rounds(arrays, labels[-1], merges, thresholds[-1])
    return Growth(
        labels=tuple(labels),
        peaks=tuple(peaks),
        thresholds=thresholds,
        merges=merges,
        links=links,
        reviewed=reviewed,
        prominence=prominence,
        rounds=rounds,
    )


def _clusters_above(growth: Growth) -> np.ndarray:
    """Cluster of the next level that each cluster of a level is in, one level after another."""
    parts = [np.zeros(0, dtype=np.int64)]
    for of_level, of_next, size in zip(
        growth.labels[:-1], growth.labels[1:], growth.n_clusters[:-1], strict=True
    ):
        above = np.zeros(size, dtype=np.int64)
        above[of_level] = of_next
        parts.append(above)
    return np.concatenate(parts)


def _split(array: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
    """Parts of these sizes."""
    return np.split(array, np.cumsum(sizes)[:-1]) if sizes else []


def _plan_rounds(description: object, n_clusters: int, n_nodes: int) -> dict[str, ArraySpec]:
    given = check_keys(description, {"n_pairs", "widths", "dtype"}, "the end of the rounds")
    n_pairs = check_int(given["n_pairs"], "the number of pairs of clusters")
    dtype = given["dtype"]
    if dtype not in ("float32", "float64"):
        raise SavedFileError("the pairs of clusters are of another type.")
    widths = check_list(given["widths"], "the widths of the views")
    if len(widths) != _N_VIEWS:
        raise SavedFileError("the clusters have another number of views.")
    for width in widths:
        check_int(width, "the width of a view", 1)
    tiny = float(np.finfo(np.float32).tiny)
    plan = {
        "sizes": ArraySpec((n_clusters,), low=tiny),
        "inner_p": ArraySpec((n_clusters,), "float64", 0),
        "inner_count": ArraySpec((n_clusters,), "float64", 0),
        "i": ArraySpec((n_pairs,), "int64", 0, n_clusters - 1),
        "j": ArraySpec((n_pairs,), "int64", 0, n_clusters - 1),
        "p": ArraySpec((n_pairs,), dtype, 0),
        "count": ArraySpec((n_pairs,), "float64", 1),
        "log_odds": ArraySpec((n_pairs,), dtype),
        "largest": ArraySpec((n_pairs,), "float32", 0, _HIGHEST),
        "representative": ArraySpec((n_clusters,), "int64", 0, n_nodes - 1),
        "carried": ArraySpec((n_clusters,), "float64", 0, _HIGHEST),
        "partition": ArraySpec((n_nodes,), "int64", 0, n_nodes - 1),
    }
    for at, width in enumerate(widths):
        plan[f"sums/{at}"] = ArraySpec((n_clusters, width))
    return {f"rounds/{name}": spec for name, spec in plan.items()}


def _build_rounds(
    arrays: dict[str, np.ndarray], labels: np.ndarray, merges: Merges, last: float
) -> Rounds:
    parts = {name.removeprefix("rounds/"): array for name, array in arrays.items()}
    i, j, n_clusters = parts["i"], parts["j"], len(parts["sizes"])
    # What is added over the pairs of a cluster looks for them in this order.
    if (i >= j).any() or (np.diff(i * n_clusters + j) <= 0).any():
        raise SavedFileError("the pairs of clusters are not in order.")
    if (labels[parts["representative"]] != np.arange(n_clusters)).any():
        raise SavedFileError("a cluster is represented by a sample of another one.")
    clusters = ClusterPairs(
        labels=labels,
        sums=tuple(parts[f"sums/{at}"] for at in range(_N_VIEWS)),
        **{name: parts[name] for name in (*_OF_CLUSTERS, *_OF_PAIRS)},
    )
    # In which round a merge was made, nothing asks any more.
    log = MergeLog(parts["representative"], parts["carried"], (merges,))
    return Rounds(clusters, log, last, parts["partition"])
