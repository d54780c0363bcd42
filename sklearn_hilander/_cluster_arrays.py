"""Fitted clusters as a description in JSON types and named arrays, and back."""

from __future__ import annotations

import numpy as np

from sklearn_hilander._clustering import KnownClusters
from sklearn_hilander._embeddings import Embeddings, RowScaler
from sklearn_hilander._persistence import (
    ArraySpec,
    SavedFileError,
    check_float,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._types import Hierarchy

MAX_FEATURES = 2**24
_KEYS = {
    "metric", "scale", "n_samples", "n_distinct", "n_features", "n_neighbors", "n_clusters",
    "level_sizes",
}  # fmt: skip


def describe_clusters(hierarchy: Hierarchy, known: KnownClusters) -> dict:
    """Everything but the arrays, in JSON types."""
    n_distinct, n_features = known.embeddings.features.shape
    return {
        "metric": known.scaler.metric,
        "scale": float(known.scaler.scale),
        "n_samples": len(known.embeddings.inverse),
        "n_distinct": n_distinct,
        "n_features": n_features,
        "n_neighbors": known.graph_indices.shape[1],
        "n_clusters": known.n_clusters,
        "level_sizes": list(hierarchy.n_clusters),
    }


def cluster_arrays(
    labels: np.ndarray, hierarchy: Hierarchy, known: KnownClusters
) -> dict[str, np.ndarray]:
    """The arrays, by the names of `plan_clusters`."""
    embeddings = known.embeddings
    arrays = {
        "labels": labels,
        "hierarchy/labels": np.stack(hierarchy.labels),
        "hierarchy/peaks": np.concatenate(hierarchy.peaks),
        "embeddings/features": embeddings.features,
        "embeddings/inverse": embeddings.inverse,
        "embeddings/counts": embeddings.counts,
        "embeddings/hashes": embeddings.hashes,
        "embeddings/first": embeddings.first,
        "graph/indices": known.graph_indices,
        "graph/similarities": known.graph_similarities,
        "known/labels": known.labels,
    }
    if known.scaler.center is not None:
        arrays["scaler/center"] = known.scaler.center
    return {f"clusters/{name}": array for name, array in arrays.items()}


def plan_clusters(description: object) -> dict[str, ArraySpec]:
    """What arrays described clusters have.

    Raises
    ------
    SavedFileError
        If the description is not one of `describe_clusters`.
    """
    given = check_keys(description, _KEYS, "the clusters")
    if given["metric"] not in ("cosine", "euclidean"):
        raise SavedFileError("the metric of the clusters is not known.")
    check_float(given["scale"], "the scale of the embeddings", np.finfo(np.float64).tiny)
    n_samples = check_int(given["n_samples"], "the number of samples", 1)
    n_distinct = check_int(given["n_distinct"], "the number of distinct rows", 1, n_samples)
    n_features = check_int(given["n_features"], "the number of features", 1, MAX_FEATURES)
    n_neighbors = check_int(given["n_neighbors"], "the number of neighbours", 0, n_distinct - 1)
    n_clusters = check_int(given["n_clusters"], "the number of clusters", 0, n_samples)
    sizes = check_list(given["level_sizes"], "the sizes of the levels")
    if not sizes:
        raise SavedFileError("the hierarchy has no level.")
    for size in sizes:
        check_int(size, "the size of a level", 1, n_samples)
    edges = (n_distinct, n_neighbors)
    plan = {
        "labels": ArraySpec((n_samples,), "int64", -1, n_clusters - 1),
        "hierarchy/labels": ArraySpec((len(sizes), n_samples), "int64", 0, n_samples - 1),
        "hierarchy/peaks": ArraySpec((sum(sizes),), "int64", 0, n_samples - 1),
        "embeddings/features": ArraySpec((n_distinct, n_features)),
        "embeddings/inverse": ArraySpec((n_samples,), "int64", 0, n_distinct - 1),
        "embeddings/counts": ArraySpec((n_distinct,), "float32", 1, n_samples),
        "embeddings/hashes": ArraySpec((n_distinct,), "uint64"),
        "embeddings/first": ArraySpec((n_distinct,), "int64", 0, n_samples - 1),
        "graph/indices": ArraySpec(edges, "int64", 0, n_distinct - 1),
        "graph/similarities": ArraySpec(edges, "float32", 0, 1),
        "known/labels": ArraySpec((n_distinct,), "int64", -1, n_clusters - 1),
    }
    if given["metric"] == "euclidean":
        plan["scaler/center"] = ArraySpec((n_features,), "float64")
    return {f"clusters/{name}": spec for name, spec in plan.items()}


def build_clusters(
    description: dict, arrays: dict[str, np.ndarray]
) -> tuple[np.ndarray, Hierarchy, KnownClusters]:
    """Labels, hierarchy and clusters of a description that `plan_clusters` accepted.

    Raises
    ------
    SavedFileError
        If the arrays contradict each other.
    """
    parts = {name.removeprefix("clusters/"): array for name, array in arrays.items()}
    embeddings = Embeddings(
        features=parts["embeddings/features"],
        inverse=parts["embeddings/inverse"],
        counts=parts["embeddings/counts"],
        hashes=parts["embeddings/hashes"],
        first=parts["embeddings/first"],
    )
    sizes = np.array(description["level_sizes"])
    levels, peaks = parts["hierarchy/labels"], parts["hierarchy/peaks"]
    if (levels.max(axis=1) >= sizes).any():
        raise SavedFileError("a level of the hierarchy has more clusters than it says.")
    if (embeddings.inverse[embeddings.first] != np.arange(len(embeddings.first))).any():
        raise SavedFileError("samples and distinct rows contradict each other.")
    if (embeddings.hashes[1:] < embeddings.hashes[:-1]).any():
        raise SavedFileError("the distinct rows are not in order.")
    hierarchy = Hierarchy(tuple(levels), tuple(np.split(peaks, np.cumsum(sizes)[:-1])))
    known = KnownClusters(
        scaler=RowScaler(
            description["metric"], parts.get("scaler/center"), float(description["scale"])
        ),
        embeddings=embeddings,
        graph_indices=parts["graph/indices"],
        graph_similarities=parts["graph/similarities"],
        labels=parts["known/labels"],
        n_clusters=description["n_clusters"],
    )
    return parts["labels"], hierarchy, known
