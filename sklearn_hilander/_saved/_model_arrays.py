"""A model as a description in JSON types and named arrays, and back.

What the arrays must be follows from the description alone, so a file can be checked before it is
read. Networks are described by their kind and widths; only the kinds named here are ever built.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from sklearn_hilander._incoming._row_judge import Known, RowJudge, row_relations
from sklearn_hilander._levels._lander import GATLayer, Lander
from sklearn_hilander._linkage._linkage_model import LinkageModel, run_stages
from sklearn_hilander._linkage._perceptron import (
    N_LAYERS,
    Perceptrons,
    perceptron_arrays,
    perceptron_shapes,
    perceptrons_of,
)
from sklearn_hilander._models._architectures import Architecture
from sklearn_hilander._models._model import Model
from sklearn_hilander._persistence import (
    ArraySpec,
    SavedFileError,
    check_float,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._rounds._cluster_pairs import cluster_relations, single_samples
from sklearn_hilander._rounds._decoders import CANDIDATES, DECODERS, Decoder
from sklearn_hilander._rounds._relational import RelationalModel, graph_builder

# To be raised when the relations of pairs, clusters or rows change their meaning, or the way the
# stages are described: weights of before would load and mislead, or be refused without a reason.
RELATIONS_VERSION = 4
MAX_WIDTH = 2**24
MAX_NETWORKS = 1_000
_ENCODERS = ("relational", "gcn", "gat", "none")


def describe_model(model: Model) -> dict:
    """The model without its weights, in JSON types."""
    return {
        "architecture": asdict(model.architecture),
        "linkage_threshold": model.linkage_threshold,
        "loss_curve": list(model.loss_curve),
        "network": _describe_network(model.network),
        "row_judge": None
        if model.row_judge is None
        else {
            "threshold": float(model.row_judge.threshold),
            "network": _describe_perceptrons(model.row_judge.network),
        },
    }


def model_arrays(model: Model) -> dict[str, np.ndarray]:
    """The weights."""
    network = model.network
    if isinstance(network, Lander):
        return {f"model/{name}": _to_numpy(value) for name, value in network.state_dict().items()}
    named: dict[str, Perceptrons] = {}
    if isinstance(network, RelationalModel):
        named |= {f"model/stages/{at}": stage for at, stage in enumerate(network.linkage.stages)}
        named["model/judges"] = network.judges
    if model.row_judge is not None:
        named["model/row_judge"] = model.row_judge.network
    return {
        f"{name}/{part}": array
        for name, perceptrons in named.items()
        for part, array in perceptron_arrays(perceptrons).items()
    }


def plan_model(description: object) -> dict[str, ArraySpec]:
    """What arrays a described model has.

    Raises
    ------
    SavedFileError
        If the description is not one of `describe_model`.
    """
    keys = {"architecture", "linkage_threshold", "loss_curve", "network", "row_judge"}
    description = check_keys(description, keys, "the model")
    check_architecture(description["architecture"])
    check_float(description["linkage_threshold"], "the model's linkage_threshold", 0, 1)
    for loss in check_list(description["loss_curve"], "the loss curve"):
        check_float(loss, "a loss")
    network = description["network"]
    kind = network.get("kind") if isinstance(network, dict) else None
    if kind == "relational":
        return _plan_relational(network) | _plan_row_judge(description["row_judge"])
    if description["row_judge"] is not None:
        raise SavedFileError("it has a judge of rows without a relational model.")
    if kind == "none":
        check_keys(network, {"kind"}, "the network")
        return {}
    if kind == "lander":
        weights = _empty_lander(network).state_dict()
        return {f"model/{name}": ArraySpec(tuple(t.shape)) for name, t in weights.items()}
    raise SavedFileError("its network is of a kind that is not known.")


def build_model(description: dict, arrays: dict[str, np.ndarray]) -> Model:
    """The model of a description that `plan_model` accepted."""
    network = description["network"]
    built: Lander | RelationalModel | None = None
    if network["kind"] == "lander":
        built = _empty_lander(network)
        _assign(built, {name: arrays[f"model/{name}"] for name in built.state_dict()})
    elif network["kind"] == "relational":
        n_before, n_after = map(len, network["stages"])
        stages = tuple(
            _build_perceptrons(f"model/stages/{at}", arrays) for at in range(n_before + n_after)
        )
        judges = _build_perceptrons("model/judges", arrays)
        built = RelationalModel(
            LinkageModel(stages[:n_before], stages[n_before:]),
            judges,
            float(network["linkage_threshold"]),
            Decoder(network["decoder"]["kind"], float(network["decoder"]["threshold"])),
            {kind: float(score) for kind, score in network.get("scores", {}).items()},
            network.get("n_learned", 0),
        )
    row_judge = None
    if description["row_judge"] is not None:
        row_judge = RowJudge(
            _build_perceptrons("model/row_judge", arrays),
            float(description["row_judge"]["threshold"]),
        )
    return Model(
        check_architecture(description["architecture"]),
        built,
        float(description["linkage_threshold"]),
        tuple(float(loss) for loss in description["loss_curve"]),
        row_judge,
    )


def check_architecture(description: object) -> Architecture:
    """The architecture that a description in JSON types stands for."""
    known = {field.name for field in fields(Architecture)}
    given = check_keys(description, known, "the architecture")
    if given["encoder"] not in _ENCODERS:
        raise SavedFileError("the architecture's encoder is not known.")
    for name in ("mean_features", "faithful"):
        if not isinstance(given[name], bool):
            raise SavedFileError(f"the architecture's {name} is not true or false.")
    for name in ("n_neighbors", "max_iter", "batch_size", "hidden_dim"):
        check_int(given[name], f"the architecture's {name}", 1)
    if given["max_levels"] is not None:
        check_int(given["max_levels"], "the architecture's max_levels", 1)
    check_float(given["learning_rate"], "the architecture's learning_rate")
    return Architecture(**given)


def _describe_network(network: Lander | RelationalModel | None) -> dict:
    if network is None:
        return {"kind": "none"}
    if isinstance(network, Lander):
        return {
            "kind": "lander",
            "encoder": "gat" if isinstance(network.layers[0], GATLayer) else "gcn",
            "n_features": network.n_features,
            "hidden_dim": network.source.in_features,
            "mean_features": network.mean_features,
            "n_layers": len(network.layers),
        }
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


def _empty_lander(description: dict) -> Lander:
    """The described network without memory for its weights."""
    keys = {"kind", "encoder", "n_features", "hidden_dim", "mean_features", "n_layers"}
    given = check_keys(description, keys, "the network")
    if given["encoder"] not in ("gcn", "gat") or not isinstance(given["mean_features"], bool):
        raise SavedFileError("the network's encoder is not known.")
    with torch.device("meta"):
        return Lander(
            check_int(given["n_features"], "the network's n_features", 1, MAX_WIDTH),
            hidden_dim=check_int(given["hidden_dim"], "the network's hidden_dim", 1, MAX_WIDTH),
            encoder=given["encoder"],
            mean_features=given["mean_features"],
            n_layers=check_int(given["n_layers"], "the network's n_layers", 1, MAX_NETWORKS),
        )


def _plan_relational(description: dict) -> dict[str, ArraySpec]:
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


def _plan_row_judge(description: object) -> dict[str, ArraySpec]:
    if description is None:
        return {}
    given = check_keys(description, {"threshold", "network"}, "the judge of rows")
    check_float(given["threshold"], "the threshold of the judge of rows", 0, 1)
    plan = _plan_perceptrons(given["network"], "model/row_judge", _relation_widths().row_judge)
    if given["network"]["n_networks"] != 1:
        raise SavedFileError("the judge of rows is not one network.")
    return plan


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


def _assign(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Give a network its weights, ready to predict."""
    # Copied into torch's own memory, whose alignment sums may depend on.
    module.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()}, assign=True)
    module.eval().requires_grad_(False)


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
