"""A model as a description in JSON types and named arrays, and back.

What the arrays must be follows from the description alone, so a file can be checked before it is
read. The networks are described by their layers; only the kinds named here are ever built.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from functools import cache

import numpy as np
import torch
from torch import nn

from sklearn_hilander._architectures import Architecture
from sklearn_hilander._judge import cluster_relations, single_samples
from sklearn_hilander._lander import GATLayer, Lander
from sklearn_hilander._linkage_model import LinkageModel, run_stages
from sklearn_hilander._model import Model
from sklearn_hilander._perceptron import Perceptron
from sklearn_hilander._persistence import (
    ArraySpec,
    SavedFileError,
    check_float,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._relational import RelationalModel, graph_builder

# To be raised when the relations of pairs or clusters change their meaning but not their number:
# weights trained on the old ones would then load and mislead.
RELATIONS_VERSION = 1
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
    }


def model_arrays(model: Model) -> dict[str, np.ndarray]:
    """The weights."""
    network = model.network
    if isinstance(network, Lander):
        return {f"model/{name}": _to_numpy(value) for name, value in network.state_dict().items()}
    arrays = {}
    if isinstance(network, RelationalModel):
        for name, perceptron in _named_perceptrons(network):
            arrays[f"{name}/mean"] = _to_numpy(perceptron.mean)
            arrays[f"{name}/scale"] = _to_numpy(perceptron.scale)
            for key, value in perceptron.layers.state_dict().items():
                arrays[f"{name}/layers.{key}"] = _to_numpy(value)
    return arrays


def plan_model(description: object) -> dict[str, ArraySpec]:
    """What arrays a described model has.

    Raises
    ------
    SavedFileError
        If the description is not one of `describe_model`.
    """
    keys = {"architecture", "linkage_threshold", "loss_curve", "network"}
    description = check_keys(description, keys, "the model")
    check_architecture(description["architecture"])
    check_float(description["linkage_threshold"], "the model's linkage_threshold", 0, 1)
    for loss in check_list(description["loss_curve"], "the loss curve"):
        check_float(loss, "a loss")
    network = description["network"]
    kind = network.get("kind") if isinstance(network, dict) else None
    if kind == "none":
        check_keys(network, {"kind"}, "the network")
        return {}
    if kind == "lander":
        weights = _empty_lander(network).state_dict()
        return {f"model/{name}": ArraySpec(tuple(t.shape)) for name, t in weights.items()}
    if kind == "relational":
        return _plan_relational(network)
    raise SavedFileError("its network is of a kind that is not known.")


def build_model(description: dict, arrays: dict[str, np.ndarray]) -> Model:
    """The model of a description that `plan_model` accepted."""
    network = description["network"]
    built: Lander | RelationalModel | None = None
    if network["kind"] == "lander":
        built = _empty_lander(network)
        _assign(built, {name: arrays[f"model/{name}"] for name in built.state_dict()})
    elif network["kind"] == "relational":
        stages = tuple(
            tuple(
                _build_perceptron(layers, f"model/stages/{number}/{fold}", arrays)
                for fold, layers in enumerate(stage)
            )
            for number, stage in enumerate(network["stages"])
        )
        judges = tuple(
            _build_perceptron(layers, f"model/judges/{fold}", arrays)
            for fold, layers in enumerate(network["judges"])
        )
        built = RelationalModel(LinkageModel(stages), judges)
    return Model(
        check_architecture(description["architecture"]),
        built,
        float(description["linkage_threshold"]),
        tuple(float(loss) for loss in description["loss_curve"]),
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
            [_describe_layers(net.layers) for net in stage] for stage in network.linkage.stages
        ],
        "judges": [_describe_layers(net.layers) for net in network.judges],
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
    given = check_keys(description, {"kind", "relations", "stages", "judges"}, "the network")
    version = check_int(given["relations"], "the version of the relations")
    stage_widths, judge_width = _relation_widths()
    stages = [check_list(s, "a stage") for s in check_list(given["stages"], "the stages")]
    judges = check_list(given["judges"], "the judges")
    if version != RELATIONS_VERSION or len(stages) != len(stage_widths):
        raise SavedFileError(
            f"its model was trained on relations of version {version}, and this version of "
            f"sklearn_hilander computes {RELATIONS_VERSION}: train anew, or use the version that "
            "wrote it."
        )
    if not all([*stages, judges]) or sum(map(len, [*stages, judges])) > MAX_NETWORKS:
        raise SavedFileError("its model lacks networks, or has too many.")
    plan: dict[str, ArraySpec] = {}
    for number, (stage, width) in enumerate(zip(stages, stage_widths, strict=True)):
        for fold, layers in enumerate(stage):
            plan |= _plan_perceptron(layers, f"model/stages/{number}/{fold}", width)
    for fold, layers in enumerate(judges):
        plan |= _plan_perceptron(layers, f"model/judges/{fold}", judge_width)
    return plan


@cache
def _relation_widths() -> tuple[tuple[int, ...], int]:
    """Number of relations that each stage and the judge see, found by running them on a few rows.

    Returns
    -------
    stages : tuple of int
    judge : int
    """
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    widths = {}

    def stage(graph: object, features: np.ndarray, number: int) -> np.ndarray:
        widths[number] = features.shape[1]
        return np.zeros(len(features), dtype=np.float32)

    build_graph = graph_builder(5, metric="cosine", algorithm="brute")
    links = run_stages(build_graph(rows), build_graph, stage)
    relations = cluster_relations(single_samples(links, np.ones(len(rows), dtype=np.float32)))
    return tuple(widths[number] for number in sorted(widths)), relations.shape[1]


def _named_perceptrons(network: RelationalModel) -> list[tuple[str, Perceptron]]:
    return [
        (f"model/stages/{number}/{fold}", perceptron)
        for number, stage in enumerate(network.linkage.stages)
        for fold, perceptron in enumerate(stage)
    ] + [(f"model/judges/{fold}", perceptron) for fold, perceptron in enumerate(network.judges)]


def _describe_layers(layers: nn.Sequential) -> list[list]:
    out: list[list] = []
    for layer in layers:
        if type(layer) is nn.Linear and layer.bias is not None:
            out.append(["linear", layer.in_features, layer.out_features])
        elif type(layer) is nn.GELU and layer.approximate == "none":
            out.append(["gelu"])
        elif type(layer) is nn.Dropout:
            out.append(["dropout", layer.p])
        else:
            raise SavedFileError(f"a layer of the model cannot be written: {layer}.")
    return out


def _empty_layers(description: object, width: int) -> nn.Sequential:
    """The described layers without memory for their weights, from so many features to one."""
    layers: list[nn.Module] = []
    for layer in check_list(description, "the layers of a network"):
        match layer:
            case ["linear", from_, to] if from_ == width:
                width = check_int(to, "the width of a layer", 1, MAX_WIDTH)
                layers.append(nn.Linear(check_int(from_, "a width"), width, device="meta"))
            case ["gelu"]:
                layers.append(nn.GELU())
            case ["dropout", p]:
                layers.append(nn.Dropout(check_float(p, "a share of dropout", 0, 1)))
            case _:
                raise SavedFileError("a layer of its model is not known, or has a wrong width.")
        if len(layers) > MAX_NETWORKS:
            raise SavedFileError("its model has too many layers.")
    if width != 1 or not layers or not isinstance(layers[-1], nn.Linear):
        raise SavedFileError("a network of its model does not end in one number.")
    return nn.Sequential(*layers)


def _plan_perceptron(description: object, name: str, width: int) -> dict[str, ArraySpec]:
    weights = _empty_layers(description, width).state_dict()
    plan = {f"{name}/layers.{key}": ArraySpec(tuple(t.shape)) for key, t in weights.items()}
    plan[f"{name}/mean"] = ArraySpec((width,))
    plan[f"{name}/scale"] = ArraySpec((width,), low=float(np.finfo(np.float32).tiny))
    return plan


def _build_perceptron(description: list, name: str, arrays: dict[str, np.ndarray]) -> Perceptron:
    mean, scale = arrays[f"{name}/mean"], arrays[f"{name}/scale"]
    layers = _empty_layers(description, len(mean))
    _assign(layers, {key: arrays[f"{name}/layers.{key}"] for key in layers.state_dict()})
    return Perceptron(torch.tensor(mean), torch.tensor(scale), layers)


def _assign(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Give a network its weights, ready to predict."""
    # Copied into torch's own memory, whose alignment sums may depend on.
    module.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()}, assign=True)
    module.eval().requires_grad_(False)


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
