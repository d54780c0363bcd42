"""Named models, and what each takes a parameter left at None to be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """What a name given as ``architecture`` stands for.

    Attributes
    ----------
    encoder : {"relational", "gcn", "gat", "none"}
        "none" is locally scaled similarity, which needs no training.
    mean_features : bool
        Node input is [peak feature ; mean feature] rather than the peak feature alone. Not for
        "relational", which sees no features.
    faithful : bool
        Cluster as the authors' scripts do: exact duplicates are nodes of their own, nodes of equal
        density are never linked, rows keep the user's order, mean features of supernodes average
        rows as given rather than unit rows, no level of fewer than ``n_neighbors + 2`` nodes is
        run, and the early stop is on.
    n_neighbors, max_levels, max_iter, learning_rate, batch_size, hidden_dim
        Values of those parameters of `HiLanderClustering` that are left at None.
    """

    encoder: str
    mean_features: bool = False
    faithful: bool = False
    n_neighbors: int = 9
    max_levels: int | None = 10
    max_iter: int = 250
    learning_rate: float = 0.01
    batch_size: int = 4096
    hidden_dim: int = 512


ARCHITECTURES = {
    "relational": Architecture(
        "relational",
        n_neighbors=40,
        max_levels=None,
        max_iter=3,
        learning_rate=3e-3,
        batch_size=1024,
        hidden_dim=64,
    ),
    "gcn": Architecture("gcn", mean_features=True),
    "gat": Architecture("gat"),
    "paper-gcn": Architecture("gcn", mean_features=True, faithful=True),
    "paper-gat": Architecture("gat", faithful=True),
    "untrained": Architecture("none"),
}
UNTRAINED = ARCHITECTURES["untrained"]
