"""Imports between rooms run one way."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sklearn_hilander"
# What each room may import of the others; see the table in docs/architecture.rst.
ROOMS = {
    "_types": set(),
    "_device": set(),
    "_architectures": set(),
    "_callbacks": set(),
    "_state": set(),
    "_documentation": set(),
    "_validation": set(),
    "_version": set(),
    "_persistence": set(),
    "_checkpoint": {"_persistence", "_version"},
    "_memory": set(),
    "_reference": set(),
    "metrics": set(),
    "_ops": set(),
    "_affine": set(),
    "_cells": set(),
    "_embeddings": {"_cells", "_device", "_memory"},
    "_constraints": set(),
    "_row_constraints": {"_constraints"},
    "_corrections": {"_row_constraints"},
    "_exact_search": {"_device"},
    "_integer_rows": set(),
    "_cell_search": {
        "_cells", "_device", "_exact_search", "_integer_rows", "_ops", "_pairs", "_two_hops",
    },
    "_device_search": {"_ops"},
    "_neighbors": {"_cell_search", "_device_search", "_exact_search", "_ops", "_types"},
    "_distances": set(),
    "_graph_embedding": {"_distances", "_pair_graph", "_pairs", "_two_hops"},
    "_distance_joining": {"_known_clusters"},
    "_decode": {"_constraints", "_types"},
    "_supernodes": {"_ops"},
    "_lander": {"_affine", "_ops", "_types"},
    "_scoring": {"_lander", "_types"},
    "_hierarchy": {"_supernodes", "_types"},
    "_level_record": {"_constraints", "_decode", "_types"},
    "_pairs": set(),
    "_pair_table": set(),
    "_perceptron": {"_device", "_pair_table"},
    "_perceptron_training": {"_checkpoint", "_pairs", "_perceptron"},
    "_adjacency": {"_ops", "_pairs"},
    "_common_neighbors": {"_adjacency", "_device"},
    "_two_hops": {"_device", "_pairs"},
    "_pair_graph": {"_adjacency", "_common_neighbors", "_pairs"},
    "_closeness": {"_pair_graph", "_pair_table", "_pairs"},
    "_crowding": {"_pairs"},
    "_whitening": {"_pair_graph", "_pairs"},
    "_map_equation": {"_pairs"},
    "_flow": {"_map_equation", "_pairs"},
    "_flow_relations": {"_flow", "_pair_table", "_pairs"},
    "_relations": {
        "_adjacency", "_closeness", "_device", "_flow_relations", "_memory", "_pair_graph",
        "_pair_table", "_pairs",
    },
    "_linkage_model": {
        "_closeness", "_memory", "_pair_graph", "_pair_table", "_pairs", "_perceptron",
        "_relations", "_whitening",
    },
    "_linkage_training": {
        "_checkpoint", "_linkage_model", "_pair_graph", "_pair_table", "_perceptron",
        "_perceptron_training",
    },
    "_cluster_pairs": {"_linkage_model", "_pair_table", "_pairs"},
    "_judge": {"_cluster_pairs", "_constraints", "_pairs"},
    "_decoders": {
        "_cluster_pairs", "_constraints", "_flow", "_judge", "_linkage_model", "_pair_graph",
        "_pairs", "_stable_flow",
    },
    "_stable_flow": {"_device", "_flow", "_pair_graph", "metrics"},
    "_relational": {
        "_cell_search", "_cluster_pairs", "_decoders", "_linkage_model", "_neighbors",
        "_pair_graph", "_pairs", "_perceptron", "_two_hops",
    },
    "_relational_training": {
        "_checkpoint", "_cluster_pairs", "_decoders", "_judge", "_linkage_model",
        "_linkage_training", "_pair_graph", "_pairs", "_perceptron", "_perceptron_training",
        "_relational", "metrics",
    },
    "_cluster_rounds": {
        "_cluster_pairs", "_constraints", "_judge", "_memory", "_merge_log", "_pair_graph",
        "_pairs", "_relational", "_types",
    },
    "_growth": {
        "_cluster_rounds", "_constraints", "_decode", "_graph_embedding", "_hierarchy",
        "_level_record", "_neighbors", "_relational", "_types",
    },
    "_training": {
        "_checkpoint", "_decode", "_hierarchy", "_lander", "_neighbors", "_scoring", "_types",
    },
    "_merge_tree": {"_types"},
    "_known_clusters": {"_constraints", "_embeddings", "_merge_tree", "_types"},
    "_merge_log": {"_types"},
    "_membership": {"_types"},
    "_review": {"_merge_tree", "_types"},
    "_clustering": {
        "_constraints", "_distances", "_embeddings", "_graph_embedding", "_growth",
        "_known_clusters", "_merge_tree", "_neighbors", "_row_constraints", "_types",
    },
    "_opening": {
        "_clustering", "_constraints", "_embeddings", "_growth", "_known_clusters", "_level_record",
        "_merge_tree", "_neighbors", "_types",
    },
    "_joining": {
        "_clustering", "_constraints", "_embeddings", "_growth", "_known_clusters", "_merge_tree",
        "_opening", "_row_constraints", "_types",
    },
    "_kept_rows": {"_constraints", "_embeddings", "_known_clusters", "_row_constraints"},
    "_reclustering": {
        "_clustering", "_embeddings", "_growth", "_kept_rows", "_known_clusters", "metrics",
    },
    "_neighborhood": {"_growth", "_joining", "_known_clusters", "_neighbors", "_types"},
    "_streaming": {
        "_constraints", "_embeddings", "_growth", "_joining", "_kept_rows", "_known_clusters",
        "_neighbors", "_row_constraints", "_types",
    },
    "_views": {
        "_clustering", "_embeddings", "_growth", "_joining", "_known_clusters", "_level_record",
        "_membership", "_merge_tree", "_review", "_types",
    },
    "_row_judge": {"_neighbors", "_pair_table", "_pairs", "_perceptron"},
    "_row_training": {"_checkpoint", "_neighbors", "_pairs", "_perceptron_training", "_row_judge"},
    "_model": {
        "_architectures", "_cluster_rounds", "_constraints", "_growth", "_joining",
        "_known_clusters", "_lander", "_memory", "_neighborhood", "_pairs", "_perceptron",
        "_relational", "_row_judge", "_scoring", "_types",
    },
    "_calibration": {"_graph_embedding", "_growth", "_model", "metrics"},
    "_meta_training": {
        "_architectures", "_calibration", "_checkpoint", "_clustering", "_crowding",
        "_graph_embedding", "_growth", "_lander", "_linkage_training", "_memory", "_model",
        "_perceptron", "_perceptron_training", "_relational", "_relational_training",
        "_row_training", "_training",
    },
    "_new_rows": {
        "_callbacks", "_distance_joining", "_distances", "_growth", "_joining", "_kept_rows",
        "_known_clusters", "_reclustering", "_row_constraints", "_state", "_streaming",
        "_validation",
    },
    "_inspection": {
        "_clustering", "_distance_joining", "_known_clusters", "_merge_tree", "_state",
        "_validation", "_views",
    },
    "_model_arrays": {
        "_architectures", "_cluster_pairs", "_decoders", "_lander", "_linkage_model", "_model",
        "_perceptron", "_persistence", "_relational", "_row_judge",
    },
    "_growth_arrays": {"_cluster_pairs", "_cluster_rounds", "_merge_log", "_persistence", "_types"},
    "_constraint_arrays": {"_constraints", "_known_clusters", "_persistence"},
    "_cluster_arrays": {
        "_constraint_arrays", "_embeddings", "_growth_arrays", "_known_clusters", "_persistence",
    },
    "_saving": {
        "_architectures", "_cluster_arrays", "_model", "_model_arrays", "_persistence", "_version",
    },
    "_estimator": {
        "_architectures", "_callbacks", "_checkpoint", "_clustering", "_device", "_distances",
        "_documentation", "_growth", "_inspection", "_known_clusters", "_meta_training", "_model",
        "_neighbors", "_new_rows", "_row_constraints", "_saving", "_state", "_validation",
        "metrics",
    },
    "_members": set(),
    "_samples": set(),
    "_report": {"_members", "_samples"},
    "_tables": set(),
    "inspection": {"_members", "_samples"},
    "_cli": {
        "_architectures", "_estimator", "_members", "_report", "_samples", "_tables", "metrics",
    },
    "__main__": {"_cli"},
    "datasets": set(),
    "encoding": {"_callbacks", "_device", "_documentation", "_state"},
    "__init__": {
        "_architectures", "_corrections", "_estimator", "_merge_tree", "_persistence", "_version",
    },
}  # fmt: skip
OUTSIDERS = {"hnswlib": "_neighbors", "torch_scatter": "_ops", "safetensors": "_persistence"}


# What gathers the others, for Python and for a command line.
MAIN = {"__init__", "__main__"}
ARCHITECTURE = PACKAGE.parent / "docs" / "architecture.rst"


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Top-level names of every import of a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            yield node.module
            if node.module == "sklearn_hilander":
                yield from (f"sklearn_hilander.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.name)
def test_a_room_imports_only_what_it_may(path):
    room = room_of(path)
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "sklearn_hilander" and rest:
            other = rest.split(".")[0]
            assert other == room or other in ROOMS[room], f"{room} imports {other}"
        assert OUTSIDERS.get(top, room) == room, f"{room} imports {top}"


def test_the_documentation_has_the_same_table():
    row = r"^   \* - `(\w+)`\n     - .*\n     - ((?:.*\n)(?:       .*\n)*)"
    rows = re.findall(row, ARCHITECTURE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    documented = {room: set(re.findall(r"`(\w+)`", others)) for room, others in rows}
    assert documented == {room: others for room, others in ROOMS.items() if room not in MAIN}


def test_the_table_has_no_cycle():
    done = set()
    while len(done) < len(ROOMS):
        ready = {room for room, needs in ROOMS.items() if room not in done and needs <= done}
        assert ready, f"cycle among {sorted(set(ROOMS) - done)}"
        done |= ready
