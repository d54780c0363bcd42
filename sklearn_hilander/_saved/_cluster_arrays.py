"""Fitted clusters as a description in JSON types and named arrays, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from sklearn_hilander._clusters._known_clusters import KnownClusters
from sklearn_hilander._files._specs import (
    ArraySpec,
    SavedFileError,
    check_float,
    check_int,
    check_keys,
)
from sklearn_hilander._rows._embeddings import Embeddings
from sklearn_hilander._rows._row_scaler import RowScaler
from sklearn_hilander._saved._constraint_arrays import (
    build_constraints,
    constraint_arrays,
    describe_constraints,
    plan_constraints,
)
from sklearn_hilander._saved._growth_arrays import (
    build_growth,
    describe_growth,
    growth_arrays,
    plan_growth,
)

MAX_FEATURES = 2**24
_KEYS = {
    "metric", "scale", "n_samples", "n_distinct", "n_nodes", "n_features", "n_neighbors", "n_parts",
    "n_clusters", "linkage_threshold", "min_cluster_size", "n_clustered", "growth",
    "constraints",
}  # fmt: skip
_EMBEDDINGS = ("features", "inverse", "counts", "hashes", "first")


def describe_clusters(known: KnownClusters) -> dict:
    """Everything but the arrays, in JSON types.

    Raises
    ------
    SavedFileError
        If the ids of groups are neither integers nor strings.
    """
    n_distinct, n_features = known.embeddings.features.shape
    return {
        "metric": known.scaler.metric,
        "scale": float(known.scaler.scale),
        "n_samples": len(known.nodes),
        "n_distinct": n_distinct,
        "n_nodes": len(known.partition),
        "n_features": n_features,
        "n_neighbors": known.graph_indices.shape[1],
        "n_parts": len(known.number),
        "n_clusters": int(known.n_clusters),
        "linkage_threshold": float(known.linkage_threshold),
        "min_cluster_size": int(known.min_cluster_size),
        "n_clustered": int(known.n_clustered),
        "growth": describe_growth(known.growth),
        "constraints": describe_constraints(known.constraints, known.groups),
    }


def cluster_arrays(known: KnownClusters) -> dict[str, np.ndarray]:
    """The arrays, by the names of `plan_clusters`."""
    arrays = {f"embeddings/{name}": getattr(known.embeddings, name) for name in _EMBEDDINGS}
    arrays |= {
        "graph/indices": known.graph_indices,
        "graph/similarities": known.graph_similarities,
        "nodes": known.nodes,
        "partition": known.partition,
        "number": known.number,
    }
    if known.scaler.center is not None:
        arrays["scaler/center"] = known.scaler.center
    arrays |= growth_arrays(known.growth)
    arrays |= constraint_arrays(known.constraints, known.groups)
    return {f"clusters/{name}": array for name, array in arrays.items()}


def plan_clusters(description: object) -> dict[str, ArraySpec]:
    """What arrays described clusters have.

    Raises
    ------
    SavedFileError
        If the description is not one of `describe_clusters`.
    """
    given = check_keys(_completed(description), _KEYS, "the clusters")
    if given["metric"] not in ("cosine", "euclidean", "precomputed"):
        raise SavedFileError("the metric of the clusters is not known.")
    check_float(given["scale"], "the scale of the embeddings", np.finfo(np.float64).tiny)
    check_float(given["linkage_threshold"], "the linkage threshold", 0, 1)
    check_int(given["min_cluster_size"], "the minimum size of a cluster", 1)
    n_samples = check_int(given["n_samples"], "the number of samples", 1)
    check_int(given["n_clustered"], "the number of samples clustered together", 1, n_samples)
    n_distinct = check_int(given["n_distinct"], "the number of distinct rows", 1, n_samples)
    n_nodes = check_int(given["n_nodes"], "the number of nodes", n_distinct, n_samples)
    n_features = check_int(given["n_features"], "the number of features", 1, MAX_FEATURES)
    n_neighbors = check_int(given["n_neighbors"], "the number of neighbours", 0, n_distinct - 1)
    n_parts = check_int(given["n_parts"], "the number of parts", 1, n_nodes)
    n_clusters = check_int(given["n_clusters"], "the number of clusters", 0, n_parts)
    edges = (n_distinct, n_neighbors)
    plan = {
        "embeddings/features": ArraySpec((n_distinct, n_features)),
        "embeddings/inverse": ArraySpec((n_samples,), "int64", 0, n_distinct - 1),
        "embeddings/counts": ArraySpec((n_distinct,), "float32", 1, n_samples),
        "embeddings/hashes": ArraySpec((n_distinct,), "uint64"),
        "embeddings/first": ArraySpec((n_distinct,), "int64", 0, n_samples - 1),
        "graph/indices": ArraySpec(edges, "int64", 0, n_distinct - 1),
        "graph/similarities": ArraySpec(edges, "float32", 0, 1),
        "nodes": ArraySpec((n_samples,), "int64", 0, n_nodes - 1),
        "partition": ArraySpec((n_nodes,), "int64", 0, n_parts - 1),
        "number": ArraySpec((n_parts,), "int64", -1, n_clusters - 1),
    }
    if given["metric"] == "euclidean":
        plan["scaler/center"] = ArraySpec((n_features,), "float64")
    plan |= plan_growth(given["growth"], n_nodes)
    plan |= plan_constraints(given["constraints"], n_nodes)
    return {f"clusters/{name}": spec for name, spec in plan.items()}


def build_clusters(description: dict, arrays: dict[str, np.ndarray]) -> KnownClusters:
    """Clusters of a description that `plan_clusters` accepted.

    Raises
    ------
    SavedFileError
        If the arrays contradict each other.
    """
    description = _completed(description)
    parts = {
        name.removeprefix("clusters/"): array
        for name, array in arrays.items()
        if name.startswith("clusters/")
    }
    constraints, groups = build_constraints(description["constraints"], parts)
    known = KnownClusters(
        scaler=RowScaler(
            description["metric"], parts.get("scaler/center"), float(description["scale"])
        ),
        embeddings=Embeddings(**{name: parts[f"embeddings/{name}"] for name in _EMBEDDINGS}),
        graph_indices=parts["graph/indices"],
        graph_similarities=parts["graph/similarities"],
        nodes=parts["nodes"],
        partition=parts["partition"],
        number=parts["number"],
        n_clusters=description["n_clusters"],
        linkage_threshold=float(description["linkage_threshold"]),
        min_cluster_size=description["min_cluster_size"],
        n_clustered=description["n_clustered"],
        growth=build_growth(description["growth"], parts),
        constraints=constraints,
        groups=groups,
    )
    _check(known)
    return known


def _completed(description: Any) -> Any:
    """A description with what files did not say at first: samples clustered together at last."""
    if isinstance(description, dict) and "n_samples" in description:
        return {"n_clustered": description["n_samples"], **description}
    return description


def _check(known: KnownClusters) -> None:
    """Samples, distinct rows, nodes, parts and labels must fit each other."""
    embeddings, nodes = known.embeddings, known.nodes
    if (embeddings.inverse[embeddings.first] != np.arange(len(embeddings.first))).any():
        raise SavedFileError("samples and distinct rows contradict each other.")
    if len(known.first) < len(known.partition):
        raise SavedFileError("a node has no sample.")
    if (embeddings.inverse[known.first[nodes]] != embeddings.inverse).any():
        raise SavedFileError("the samples of a node are not copies of each other.")
    if (np.bincount(known.partition, minlength=len(known.number)) == 0).any():
        raise SavedFileError("a part has no node.")
    numbered = np.sort(known.number[known.number >= 0])
    if not np.array_equal(numbered, np.arange(known.n_clusters)):
        raise SavedFileError("the clusters are not numbered from 0.")
