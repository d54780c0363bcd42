"""Imports between rooms run one way."""

import ast
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
    "_validation": set(),
    "_version": set(),
    "_persistence": set(),
    "_reference": set(),
    "metrics": set(),
    "_ops": set(),
    "_embeddings": set(),
    "_neighbors": {"_types"},
    "_decode": {"_types"},
    "_supernodes": {"_ops"},
    "_lander": {"_ops", "_types"},
    "_scoring": {"_lander", "_types"},
    "_hierarchy": {"_supernodes", "_types"},
    "_pairs": set(),
    "_perceptron": set(),
    "_relations": {"_pairs"},
    "_linkage_model": {"_pairs", "_perceptron", "_relations"},
    "_judge": {"_linkage_model", "_pairs"},
    "_relational": {
        "_judge", "_linkage_model", "_neighbors", "_pairs", "_perceptron", "_relations", "metrics",
    },
    "_growth": {"_decode", "_hierarchy", "_neighbors", "_relational", "_types"},
    "_training": {"_decode", "_hierarchy", "_lander", "_neighbors", "_scoring", "_types"},
    "_clustering": {"_embeddings", "_growth", "_neighbors", "_types"},
    "_model": {
        "_architectures", "_embeddings", "_growth", "_lander", "_perceptron", "_relational",
        "_scoring", "_training", "_types", "metrics",
    },
    "_model_arrays": {
        "_architectures", "_judge", "_lander", "_linkage_model", "_model", "_perceptron",
        "_persistence", "_relational",
    },
    "_cluster_arrays": {"_clustering", "_embeddings", "_persistence", "_types"},
    "_saving": {
        "_architectures", "_cluster_arrays", "_model", "_model_arrays", "_persistence", "_version",
    },
    "_estimator": {
        "_architectures", "_callbacks", "_clustering", "_device", "_growth", "_model", "_saving",
        "_state", "_validation", "metrics",
    },
    "datasets": set(),
    "encoding": {"_callbacks", "_device", "_state"},
    "__init__": {"_architectures", "_estimator", "_persistence", "_version"},
}  # fmt: skip
OUTSIDERS = {"hnswlib": "_neighbors", "torch_scatter": "_ops", "safetensors": "_persistence"}


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


def test_the_table_has_no_cycle():
    done = set()
    while len(done) < len(ROOMS):
        ready = {room for room, needs in ROOMS.items() if room not in done and needs <= done}
        assert ready, f"cycle among {sorted(set(ROOMS) - done)}"
        done |= ready
