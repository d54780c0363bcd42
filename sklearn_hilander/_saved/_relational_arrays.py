"""A relational model, and the judge of single rows, to a description and named arrays, and back."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from sklearn_hilander._files._specs import (
    ArraySpec,
    SavedFileError,
    check_float,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._incoming._row_judge import Known, RowJudge, row_relations
from sklearn_hilander._linkage._linkage_model import LinkageModel, run_stages
from sklearn_hilander._linkage._perceptron import (
    N_LAYERS,
    Perceptrons,
    perceptron_shapes,
    perceptrons_of,
)
from sklearn_hilander._rounds._cluster_pairs import cluster_relations, single_samples
from sklearn_hilander._rounds._decoders import CANDIDATES, DECODERS, Decoder
from sklearn_hilander._rounds._relational import RelationalModel, graph_builder

# To be raised when the relations of pairs, clusters or rows change their meaning, or the way the
# stages are described: weights of before would load and mislead, or be refused without a reason.
RELATIONS_VERSION = 4
MAX_WIDTH = 2**24
MAX_NETWORKS = 1_000


def describe_relational(network: RelationalModel) -> dict:
    """A relational model without its weights, in JSON types."""
    return {
        "kind": "relational",
        "relations": RELATIONS_VERSION,
        "stages": [
            [_describe_perceptrons(stage) for stage in stages]
            for stages in (network.linkage.before, network.linkage.after)
        ],
        "judges": _describe_perceptrons(network.judges),
        "linkage_threshold": float(network.linkage_threshold),
        "decoder": asdict(network.decoder),
        "scores": network.scores,
        "n_learned": network.n_learned,
    }


def plan_relational(description: dict) -> dict[str, ArraySpec]:
    """What arrays a described relational model has.

    Raises
    ------
    SavedFileError
        If the description is not one of `describe_relational`.
    """
    keys = {"kind", "relations", "stages", "judges", "linkage_threshold", "decoder"}
    # Not in files of before there were such.
    later = {"scores": {}, "n_learned": 0}
    # The version first: another one may have other keys.
    version = check_int(description.get("relations"), "the version of the relations")
    if version != RELATIONS_VERSION:
        raise SavedFileError(
            f"its model was trained on relations of version {version}, and this version of "
            f"sklearn_hilander computes {RELATIONS_VERSION}: train anew, or use the version that "
            "wrote it."
        )
    given = check_keys(later | description, keys | later.keys(), "the network")
    check_float(given["linkage_threshold"], "the network's linkage_threshold", 0, 1)
    decoder = check_keys(given["decoder"], {"kind", "threshold"}, "the decoder")
    if decoder["kind"] not in DECODERS:
        raise SavedFileError("its decoder is not known.")
    check_float(decoder["threshold"], "the decoder's threshold", 0, 1)
    if not isinstance(given["scores"], dict) or not given["scores"].keys() <= set(CANDIDATES):
        raise SavedFileError("its scores are of decoders that are not known.")
    for score in given["scores"].values():
        check_float(score, "a score on held-out classes", 0, 1)
    check_int(given["n_learned"], "the number of samples that the network learned from", 0)
    on_graphs = [
        check_list(stages, "the stages of a graph")
        for stages in check_list(given["stages"], "the stages")
    ]
    if len(on_graphs) != 2 or not all(on_graphs):
        raise SavedFileError("its model does not have stages on each of two graphs.")
    widths = _relation_widths()
    plan = _plan_perceptrons(given["judges"], "model/judges", widths.judge)
    number = 0
    for stages, (width_of_first, width) in zip(on_graphs, widths.stages, strict=True):
        for at, stage in enumerate(stages):
            n_features = width if at else width_of_first
            plan |= _plan_perceptrons(stage, f"model/stages/{number}", n_features)
            number += 1
    return plan


def build_relational(description: dict, arrays: dict[str, np.ndarray]) -> RelationalModel:
    """The model of a description that `plan_relational` accepted."""
    n_before, n_after = map(len, description["stages"])
    stages = tuple(
        _build_perceptrons(f"model/stages/{at}", arrays) for at in range(n_before + n_after)
    )
    return RelationalModel(
        LinkageModel(stages[:n_before], stages[n_before:]),
        _build_perceptrons("model/judges", arrays),
        float(description["linkage_threshold"]),
        Decoder(description["decoder"]["kind"], float(description["decoder"]["threshold"])),
        {kind: float(score) for kind, score in description.get("scores", {}).items()},
        description.get("n_learned", 0),
    )


def describe_row_judge(row_judge: RowJudge | None) -> dict | None:
    """The judge of rows, if there is one, without its weights."""
    if row_judge is None:
        return None
    return {
        "threshold": float(row_judge.threshold),
        "network": _describe_perceptrons(row_judge.network),
    }


def plan_row_judge(description: object) -> dict[str, ArraySpec]:
    """What arrays it has; as `plan_relational`."""
    if description is None:
        return {}
    given = check_keys(description, {"threshold", "network"}, "the judge of rows")
    check_float(given["threshold"], "the threshold of the judge of rows", 0, 1)
    plan = _plan_perceptrons(given["network"], "model/row_judge", _relation_widths().row_judge)
    if given["network"]["n_networks"] != 1:
        raise SavedFileError("the judge of rows is not one network.")
    return plan


def build_row_judge(description: dict | None, arrays: dict[str, np.ndarray]) -> RowJudge | None:
    """The judge of rows of a description that `plan_row_judge` accepted."""
    if description is None:
        return None
    network = _build_perceptrons("model/row_judge", arrays)
    return RowJudge(network, float(description["threshold"]))


class _RelationWidths(NamedTuple):
    """Number of relations that each kind of network sees.

    Of stages, for each graph: the first there, which sees no probabilities of another, and others.
    """

    stages: tuple[tuple[int, int], tuple[int, int]]
    judge: int
    row_judge: int


@cache
def _relation_widths() -> _RelationWidths:
    """Count the relations, by computing them for a few rows."""
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    stages = {}

    def stage(graphs: list, features: list, number: int) -> list[np.ndarray]:
        stages[number] = features[0].n_features
        return [np.zeros(len(of_graph), dtype=np.float32) for of_graph in features]

    build_graph = graph_builder(5, metric="cosine", algorithm="brute")
    graph = build_graph(rows)
    links = run_stages([graph], build_graph, stage, (2, 2))[0]
    judge = cluster_relations(single_samples(links, np.ones(len(rows), dtype=np.float32)))
    known = Known(rows, graph.indices, graph.similarities, np.arange(len(rows)), "cosine")
    pairs = row_relations(rows[:1], known, 5, torch.device("cpu"))
    return _RelationWidths(
        ((stages[0], stages[1]), (stages[2], stages[3])),
        judge.shape[1],
        pairs.relations.shape[1],
    )


def _describe_perceptrons(perceptrons: Perceptrons) -> dict:
    return {
        "n_networks": len(perceptrons),
        "widths": [layer.shape[2] for layer in perceptrons.weights[:-1]],
    }


def _plan_perceptrons(description: object, name: str, n_features: int) -> dict[str, ArraySpec]:
    """Arrays of networks over so many relations that end in one number each."""
    given = check_keys(description, {"n_networks", "widths"}, "a network")
    n = check_int(given["n_networks"], "the number of networks", 1, MAX_NETWORKS)
    hidden = check_list(given["widths"], "the widths of a network")
    for width in hidden:
        check_int(width, "the width of a layer", 1, MAX_WIDTH)
    if len(hidden) != N_LAYERS - 1:
        raise SavedFileError("a network of its model has another number of layers.")
    shapes = perceptron_shapes(n, [n_features, *hidden, 1])
    plan = {f"{name}/{part}": ArraySpec(shape) for part, shape in shapes.items()}
    plan[f"{name}/scale"] = ArraySpec(shapes["scale"], low=float(np.finfo(np.float32).tiny))
    return plan


def _build_perceptrons(name: str, arrays: dict[str, np.ndarray]) -> Perceptrons:
    start = f"{name}/"
    own = {key.removeprefix(start): array for key, array in arrays.items() if key.startswith(start)}
    return perceptrons_of(own)
