"""Weights of the authors' implementation, for our model."""

from __future__ import annotations

from torch import Tensor


def reference_state_dict(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state dict of the authors' implementation to ours.

    Parameters
    ----------
    weights : dict of str to Tensor
        State dict of the DGL example ``hilander``.

    Returns
    -------
    dict of str to Tensor
        For ``Lander.load_state_dict``. The two biases of the authors' GAT are added up.
    """
    names = {
        "src_mlp": "source",
        "dst_mlp": "target",
        "classifier_conn.0": "head.0",
        "classifier_conn.1": "head.1",
        "classifier_conn.2": "head.2",
        "classifier_conn.3": "logits",
    }
    renamed = {}
    for name, value in weights.items():
        stem, _, last = name.rpartition(".")
        if not stem.startswith("conv."):
            renamed[f"{names[stem]}.{last}"] = value
            continue
        layer = f"layers.{stem.split('.')[1]}"
        if stem.endswith("gcn_layer.mlp") or stem.endswith("gcn_layer.fc"):
            renamed[f"{layer}.linear.{last}"] = value
        elif last in ("attn_l", "attn_r"):
            renamed[f"{layer}.{'source' if last == 'attn_l' else 'target'}"] = value.reshape(-1)
        else:
            key = f"{layer}.bias"
            renamed[key] = renamed.get(key, 0) + value.reshape(-1)
    return renamed
