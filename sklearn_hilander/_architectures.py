"""Named models, and the ways in which each departs from the authors' code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """What a name given as ``architecture`` stands for.

    Attributes
    ----------
    encoder : {"gcn", "gat"}
    mean_features : bool
        Node input is [peak feature ; mean feature] rather than the peak feature alone.
    faithful : bool
        Cluster as the authors' scripts do: exact duplicates are nodes of their own, nodes of equal
        density are never linked, rows keep the user's order, mean features average rows as given
        rather than unit rows, no level of fewer than ``n_neighbors + 2`` nodes is run, and the
        early stop is on.
    """

    encoder: str
    mean_features: bool
    faithful: bool = False


ARCHITECTURES = {
    "gcn": Architecture("gcn", mean_features=True),
    "gat": Architecture("gat", mean_features=False),
    "paper-gcn": Architecture("gcn", mean_features=True, faithful=True),
    "paper-gat": Architecture("gat", mean_features=False, faithful=True),
}
