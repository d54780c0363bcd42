"""A model as a description in JSON types and named arrays, and back.

What the arrays must be follows from the description alone, so a file can be checked before it is
read. Networks are described by their kind and widths; only the kinds named here are ever built.
"""

from __future__ import annotations

from dataclasses import asdict, fields

import numpy as np
import torch
from torch import nn

from sklearn_hilander._files._specs import (
    ArraySpec,
    SavedFileError,
    check_float,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._levels._lander import Lander
from sklearn_hilander._levels._layers import GATLayer
from sklearn_hilander._linkage._perceptron import Perceptrons, perceptron_arrays
from sklearn_hilander._models._architectures import Architecture
from sklearn_hilander._models._model import Model
from sklearn_hilander._rounds._relational import RelationalModel
from sklearn_hilander._saved._relational_arrays import (
    MAX_NETWORKS,
    MAX_WIDTH,
    build_relational,
    build_row_judge,
    describe_relational,
    describe_row_judge,
    plan_relational,
    plan_row_judge,
)

_ENCODERS = ("relational", "gcn", "gat", "none")


def describe_model(model: Model) -> dict:
    """The model without its weights, in JSON types."""
    return {
        "architecture": asdict(model.architecture),
        "linkage_threshold": model.linkage_threshold,
        "loss_curve": list(model.loss_curve),
        "network": _describe_network(model.network),
        "row_judge": describe_row_judge(model.row_judge),
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
        return plan_relational(network) | plan_row_judge(description["row_judge"])
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
        built = build_relational(network, arrays)
    return Model(
        check_architecture(description["architecture"]),
        built,
        float(description["linkage_threshold"]),
        tuple(float(loss) for loss in description["loss_curve"]),
        build_row_judge(description["row_judge"], arrays),
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
    return describe_relational(network)


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


def _assign(module: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Give a network its weights, ready to predict."""
    # Copied into torch's own memory, whose alignment sums may depend on.
    module.load_state_dict({k: torch.tensor(v) for k, v in arrays.items()}, assign=True)
    module.eval().requires_grad_(False)


def _to_numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
