"""Imports between rooms run one way."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "sklearn_hilander"
# Folders whose modules are rooms of their own, from the lowest up: none imports of those above it.
FLOORS = (
    "_files", "_graph", "_search", "_rows", "_constraints", "_levels", "_flows", "_linkage",
    "_rounds", "_clusters", "_incoming", "_models", "_saved",
)  # fmt: skip
# What each room may import of the others; see the tables in docs/architecture.rst.
ROOMS = {
    "_types": set(),
    "_labels": set(),
    "_device": set(),
    "_memory": set(),
    "_ops": set(),
    "_callbacks": set(),
    "_state": set(),
    "_documentation": set(),
    "_version": set(),
    "metrics": {"_labels"},
    # _files/
    "_specs": set(),
    "_persistence": {"_specs"},
    "_checkpoint": {"_persistence", "_specs", "_version"},
    # _graph/
    "_pair_table": set(),
    "_pairs": {"_device"},
    "_adjacency": {"_ops", "_pairs"},
    "_common_neighbors": {"_adjacency", "_device"},
    "_pair_graph": {"_adjacency", "_common_neighbors", "_pairs"},
    # _search/
    "_integer_rows": set(),
    "_cells": {"_device"},
    "_device_search": {"_ops"},
    "_exact_search": {"_device"},
    "_two_hops": {"_device", "_pairs"},
    "_cell_search": {
        "_cells", "_device", "_exact_search", "_integer_rows", "_ops", "_pairs", "_two_hops",
    },
    "_neighbors": {"_cell_search", "_device_search", "_exact_search", "_ops", "_types"},
    # _rows/
    "_distance_order": set(),
    "_row_source": set(),
    "_row_hashes": {"_device"},
    "_validation": {"_labels"},
    "_distances": {"_distance_order", "_validation"},
    "_row_scaler": {"_row_hashes"},
    "_embeddings": {"_cells", "_memory", "_row_hashes", "_row_scaler"},
    "_graph_embedding": {"_distances", "_pair_graph", "_pairs", "_two_hops"},
    # _constraints/
    "_node_constraints": set(),
    "_row_constraints": {"_labels", "_node_constraints"},
    "_corrections": {"_labels", "_row_constraints"},
    # _levels/
    "_affine": set(),
    "_reference": set(),
    "_decode": {"_node_constraints", "_types"},
    "_layers": {"_affine", "_ops"},
    "_losses": {"_types"},
    "_supernodes": {"_ops"},
    "_hierarchy": {"_supernodes", "_types"},
    "_lander": {"_affine", "_layers", "_ops", "_types"},
    "_level_record": {"_decode", "_node_constraints", "_types"},
    "_scoring": {"_lander", "_types"},
    "_training": {
        "_checkpoint", "_decode", "_hierarchy", "_lander", "_losses", "_neighbors", "_scoring",
        "_types",
    },
    # _flows/
    "_map_equation": {"_pairs"},
    "_module_merges": {"_map_equation", "_pairs"},
    "_node_moves": {"_map_equation"},
    "_flow": {"_map_equation", "_module_merges", "_node_moves"},
    "_flow_relations": {"_flow", "_pair_table", "_pairs"},
    "_stable_flow": {"_device", "_flow", "_pair_graph", "metrics"},
    # _linkage/
    "_perceptron": {"_device", "_pair_table"},
    "_crowding": {"_pairs"},
    "_perceptron_training": {"_checkpoint", "_pairs", "_perceptron"},
    "_closeness": {"_pair_graph", "_pair_table", "_pairs"},
    "_whitening": {"_pair_graph", "_pairs"},
    "_relations": {
        "_adjacency", "_closeness", "_device", "_flow_relations", "_memory", "_pair_graph",
        "_pair_table", "_pairs",
    },
    "_linkage_model": {
        "_closeness", "_memory", "_pair_graph", "_pair_table", "_pairs", "_perceptron",
        "_relations", "_row_source", "_whitening",
    },
    "_linkage_training": {
        "_checkpoint", "_linkage_model", "_pair_graph", "_pair_table", "_perceptron",
        "_perceptron_training",
    },
    # _rounds/
    "_merge_log": {"_types"},
    "_cluster_pairs": {"_linkage_model", "_pair_table", "_pairs"},
    "_cluster_merges": {"_cluster_pairs"},
    "_judge": {"_cluster_merges", "_cluster_pairs", "_node_constraints", "_pairs"},
    "_decoders": {
        "_cluster_merges", "_cluster_pairs", "_flow", "_judge", "_linkage_model",
        "_node_constraints", "_pair_graph", "_pairs", "_stable_flow",
    },
    "_lessons": {
        "_cluster_pairs", "_judge", "_linkage_model", "_linkage_training", "_pairs", "_perceptron",
    },
    "_decoder_choice": {"_decoders", "_lessons", "_perceptron", "metrics"},
    "_relational": {
        "_cell_search", "_cluster_pairs", "_decoders", "_linkage_model", "_neighbors",
        "_pair_graph", "_pairs", "_perceptron", "_two_hops",
    },
    "_nested_rounds": {
        "_cluster_merges", "_cluster_pairs", "_judge", "_merge_log", "_node_constraints",
        "_relational", "_types",
    },
    "_relational_training": {
        "_checkpoint", "_decoder_choice", "_decoders", "_lessons", "_linkage_model",
        "_linkage_training", "_pair_graph", "_perceptron", "_perceptron_training", "_relational",
    },
    "_cluster_rounds": {
        "_cluster_merges", "_cluster_pairs", "_memory", "_merge_log", "_nested_rounds",
        "_node_constraints", "_pair_graph", "_pairs", "_relational", "_row_source", "_types",
    },
    # _clusters/
    "_membership": {"_types"},
    "_merge_tree": {"_types"},
    "_review": {"_merge_tree", "_types"},
    "_known_clusters": {"_embeddings", "_merge_tree", "_node_constraints", "_row_scaler", "_types"},
    "_growth": {
        "_cluster_rounds", "_decode", "_graph_embedding", "_hierarchy", "_level_record",
        "_neighbors", "_node_constraints", "_relational", "_row_source", "_types",
    },
    "_clustering": {
        "_distances", "_embeddings", "_graph_embedding", "_growth", "_known_clusters",
        "_merge_tree", "_neighbors", "_node_constraints", "_row_constraints", "_row_scaler",
        "_row_source", "_types",
    },
    # _incoming/
    "_distance_joining": {"_known_clusters"},
    "_kept_rows": {"_embeddings", "_known_clusters", "_node_constraints", "_row_constraints"},
    "_row_judge": {"_neighbors", "_pair_table", "_pairs", "_perceptron"},
    "_row_training": {"_checkpoint", "_neighbors", "_pairs", "_perceptron_training", "_row_judge"},
    "_opening": {
        "_clustering", "_embeddings", "_growth", "_known_clusters", "_level_record", "_merge_tree",
        "_neighbors", "_node_constraints", "_row_source", "_types",
    },
    "_reclustering": {
        "_clustering", "_embeddings", "_growth", "_kept_rows", "_known_clusters",
        "_node_constraints", "metrics",
    },
    "_joining": {
        "_clustering", "_embeddings", "_growth", "_known_clusters", "_merge_tree",
        "_node_constraints", "_opening", "_row_constraints", "_types",
    },
    "_neighborhood": {"_growth", "_joining", "_known_clusters", "_neighbors", "_types"},
    "_streaming": {
        "_embeddings", "_growth", "_joining", "_kept_rows", "_known_clusters", "_neighbors",
        "_node_constraints", "_row_constraints", "_types",
    },
    # _models/
    "_architectures": set(),
    "_model": {
        "_architectures", "_growth", "_joining", "_known_clusters", "_lander", "_memory",
        "_neighborhood", "_nested_rounds", "_node_constraints", "_pairs", "_perceptron",
        "_relational", "_row_judge", "_row_source", "_scoring", "_types",
    },
    "_calibration": {"_graph_embedding", "_growth", "_model", "_row_source", "metrics"},
    "_meta_training": {
        "_architectures", "_calibration", "_checkpoint", "_clustering", "_crowding",
        "_graph_embedding", "_growth", "_lander", "_linkage_training", "_memory", "_model",
        "_perceptron", "_perceptron_training", "_relational", "_relational_training",
        "_row_training", "_training",
    },
    # _saved/
    "_constraint_arrays": {"_known_clusters", "_node_constraints", "_specs"},
    "_relational_arrays": {
        "_cluster_pairs", "_decoders", "_linkage_model", "_perceptron", "_relational", "_row_judge",
        "_specs",
    },
    "_growth_arrays": {"_cluster_pairs", "_merge_log", "_nested_rounds", "_specs", "_types"},
    "_cluster_arrays": {
        "_constraint_arrays", "_embeddings", "_growth_arrays", "_known_clusters", "_row_scaler",
        "_specs",
    },
    "_model_arrays": {
        "_architectures", "_lander", "_layers", "_model", "_perceptron", "_relational",
        "_relational_arrays", "_specs",
    },
    "_parameters": {"_architectures", "_model_arrays", "_specs"},
    "_saving": {
        "_cluster_arrays", "_model", "_model_arrays", "_parameters", "_persistence", "_specs",
        "_version",
    },
    # The estimator.
    "_views": {
        "_clustering", "_embeddings", "_growth", "_joining", "_known_clusters", "_level_record",
        "_membership", "_merge_tree", "_review", "_types",
    },
    "_new_rows": {
        "_callbacks", "_clustering", "_distance_joining", "_distances", "_growth", "_joining",
        "_kept_rows", "_known_clusters", "_reclustering", "_row_constraints", "_state",
        "_streaming", "_validation",
    },
    "_inspection": {
        "_clustering", "_distance_joining", "_known_clusters", "_merge_tree", "_state",
        "_validation", "_views",
    },
    "_estimator": {
        "_architectures", "_callbacks", "_checkpoint", "_clustering", "_device", "_distances",
        "_documentation", "_growth", "_inspection", "_known_clusters", "_labels", "_meta_training",
        "_model", "_neighbors", "_new_rows", "_row_constraints", "_saving", "_state", "_validation",
        "metrics",
    },
    # Beside it.
    "_members": set(),
    "_samples": set(),
    "_report": {"_members", "_samples"},
    "_tables": {"_labels"},
    "inspection": {"_labels", "_members", "_merge_tree", "_samples", "_types"},
    "_cli": {
        "_architectures", "_estimator", "_members", "_report", "_samples", "_tables", "metrics",
    },
    "datasets": set(),
    "encoding": {"_callbacks", "_device", "_documentation", "_state"},
    "__main__": {"_cli"},
    "__init__": {
        "_architectures", "_corrections", "_estimator", "_merge_tree", "_specs", "_version",
    },
}  # fmt: skip
OUTSIDERS = {"hnswlib": "_neighbors", "torch_scatter": "_ops", "safetensors": "_persistence"}
ON_FLOORS = [
    (path.stem, level)
    for level, folder in enumerate(FLOORS)
    for path in (PACKAGE / folder).glob("_[a-z]*.py")
]
FLOOR_OF = dict(ON_FLOORS)
# What gathers the others, for Python and for a command line.
MAIN = {"__init__", "__main__"}
ARCHITECTURE = PACKAGE.parent / "docs" / "architecture.rst"


def room_of(parts):
    """A room's name, from the parts of its path or of a module's name."""
    return parts[1] if parts[0] in FLOORS and len(parts) > 1 else parts[0]


def imported(path):
    """Top-level names of every import of a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            yield node.module
            if node.module.removeprefix("sklearn_hilander.") in ("sklearn_hilander", *FLOORS):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: "/".join(path.parts[-2:])
)
def test_a_room_imports_only_what_it_may(path):
    room = room_of(path.relative_to(PACKAGE).with_suffix("").parts)
    for name in imported(path):
        top, *rest = name.split(".")
        if top == "sklearn_hilander" and rest:
            other = room_of(rest)
            assert other in {room, *FLOORS} or other in ROOMS[room], f"{room} imports {other}"
        assert OUTSIDERS.get(top, room) == room, f"{room} imports {top}"


def test_every_room_is_in_the_table_under_one_name():
    alone = [path.stem for path in PACKAGE.glob("*.py")]
    folders = [path.parent.name for path in PACKAGE.glob("*/__init__.py")]
    on_floors = [room for room, _ in ON_FLOORS]
    assert sorted([*alone, *folders, *on_floors]) == sorted([*ROOMS, *FLOORS])


def test_imports_run_down_the_floors():
    for room, level in FLOOR_OF.items():
        above = {other for other in ROOMS[room] if FLOOR_OF.get(other, -1) > level}
        assert not above, f"{room} imports {above}, which are above it"


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
