"""Training of the linkage stages, each on probabilities that networks of other classes gave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._graph._pair_table import PairTable
from sklearn_hilander._linkage._linkage_model import STAGES, LinkageModel, Links, run_stages
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._linkage._perceptron_training import (
    PerceptronSettings,
    kept_as_one,
    kept_perceptrons,
    rows_to_see,
)

N_FOLDS = 3
# What the seed of a stage's networks and that of the one that takes their place differ by.
_AS_ONE = 50


@dataclass(frozen=True)
class LabelledGraph:
    """One data set to learn from.

    Attributes
    ----------
    graph : PairGraph
    y : ndarray of shape (n_nodes,), int64
        Classes.
    weights : ndarray of shape (n_nodes,)
        How many rows each sample stands for.
    fold_of : ndarray of shape (n_nodes,), int64
        Fold of each sample's class, in [0, N_FOLDS).
    to_choose_by : bool, default=True
        Whether thresholds and decoders are chosen by it, too.
    """

    graph: PairGraph
    y: np.ndarray
    weights: np.ndarray
    fold_of: np.ndarray
    to_choose_by: bool = True


def train_linkage(
    data: list[LabelledGraph],
    build_graph: Callable[..., PairGraph],
    *,
    settings: PerceptronSettings,
    seed: int,
    on_network: Callable[[float], None],
    checkpoint: Checkpoint | None = None,
    n_stages: tuple[int, int] = STAGES,
    as_one: bool = False,
) -> tuple[LinkageModel, list[Links]]:
    """Train every stage on probabilities that networks of other classes gave.

    Parameters
    ----------
    data : list of LabelledGraph
    build_graph : callable
    settings : PerceptronSettings
    seed : int
    on_network : callable
        Called with the loss of each network.
    checkpoint : Checkpoint, optional
        Where each stage's networks are kept.
    n_stages : tuple of int, default=STAGES
        On the graph as given, and on that of whitened embeddings.
    as_one : bool, default=False
        One network of each stage is taught what those of the folds say in the mean.

    Returns
    -------
    model : LinkageModel
    links : list of Links
        Of the training samples, each pair scored out of fold (`out_of_fold`).
    """
    stages = []
    checkpoint = checkpoint or Checkpoint()

    def stage(graphs: list[PairGraph], features: list[PairTable], number: int) -> list[np.ndarray]:
        ends = [(graph.i, graph.j) for graph in graphs]
        folds = [(one.fold_of[i], one.fold_of[j]) for one, (i, j) in zip(data, ends, strict=True)]
        same = np.concatenate(
            [one.y[i] == one.y[j] for one, (i, j) in zip(data, ends, strict=True)]
        )
        seen = rows_to_see(len(same), settings, seed + number)
        begin = np.cumsum([0, *map(len, features)])
        parts = np.split(seen, np.searchsorted(seen, begin[1:-1]))
        table = np.concatenate(
            [rows.take(part - at) for rows, part, at in zip(features, parts, begin, strict=False)]
        )
        fold_i, fold_j = (np.concatenate(of_ends)[seen] for of_ends in zip(*folds, strict=True))
        networks, losses = kept_perceptrons(
            checkpoint,
            f"linkage {number}",
            table,
            same[seen],
            [outside_fold(fold, fold_i, fold_j) for fold in range(N_FOLDS)],
            settings=settings,
            seed=seed + number,
        )
        # Of rows to be clustered no network has seen the classes: the mean of all is theirs.
        in_use = networks
        if as_one:
            in_use = kept_as_one(
                checkpoint,
                f"linkage {number} as one",
                networks,
                table,
                settings=settings,
                seed=seed + number + _AS_ONE,
            )
        stages.append(in_use)
        del table
        for loss in losses:
            on_network(loss)
        return [
            out_of_fold(networks, rows, *ends) for rows, ends in zip(features, folds, strict=True)
        ]

    links = run_stages([one.graph for one in data], build_graph, stage, n_stages)
    n_before = n_stages[0]
    return LinkageModel(tuple(stages[:n_before]), tuple(stages[n_before:])), links


def assign_folds(y: np.ndarray, seed: int) -> np.ndarray:
    """Fold of each sample, whole classes together; (n_samples,), int64."""
    classes, codes = np.unique(y, return_inverse=True)
    return (np.random.RandomState(seed).permutation(len(classes)) % N_FOLDS)[codes]


def outside_fold(fold: int, fold_i: np.ndarray, fold_j: np.ndarray) -> np.ndarray:
    """Pairs with neither end in the fold; all pairs where there is none such."""
    rows = np.flatnonzero((fold_i != fold) & (fold_j != fold))
    return rows if len(rows) else np.arange(len(fold_i))


def out_of_fold(
    networks: Perceptrons, features: np.ndarray | PairTable, fold_i: np.ndarray, fold_j: np.ndarray
) -> np.ndarray:
    """Mean log-odds of two networks: one that did not see the class of i, one not that of j."""
    every = networks.log_odds(features)
    pairs = np.arange(len(features))
    return (every[fold_i, pairs] + every[fold_j, pairs]) / 2
