"""Training of the judge of single new rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._graph._pairs import sigmoid
from sklearn_hilander._incoming._row_judge import Known, RowJudge, row_relations
from sklearn_hilander._linkage._perceptron_training import PerceptronSettings, kept_perceptrons
from sklearn_hilander._search._neighbors import build_neighbor_graph

# Shares of the classes' rows that are known in the collections that it learns from.
_KNOWN_SHARES = (0.1, 0.25, 0.5, 0.9)
_KNOWN_CLASSES = 0.75
_MAX_KNOWN, _MAX_NEW = 6_000, 3_000


def train_row_judge(
    features: np.ndarray,
    y: np.ndarray,
    *,
    n_neighbors: int,
    search: dict[str, Any],
    settings: PerceptronSettings,
    seed: int,
    checkpoint: Checkpoint | None = None,
) -> RowJudge | None:
    """Learn from labelled rows, part of which are taken as known and the others as new.

    Some classes have no known row, some known classes are in several clusters, and some clusters
    hold two classes.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
    y : ndarray of shape (n_samples,), int64
    n_neighbors : int
    search : dict
        Of `build_neighbor_graph`.
    settings : PerceptronSettings
    seed : int
    checkpoint : Checkpoint, optional
        Where the network is kept.

    Returns
    -------
    RowJudge or None
        None if there is nothing to learn from.
    """
    random = np.random.RandomState(seed)
    lessons, targets = [], []
    rows: list[np.ndarray] = []
    for share in _KNOWN_SHARES:
        is_known = _choose_known(y, share, random)
        at, new = np.flatnonzero(is_known), np.flatnonzero(~is_known)
        at = np.sort(random.permutation(at)[:_MAX_KNOWN])
        new = np.sort(random.permutation(new)[:_MAX_NEW])
        if len(at) < 3 or len(new) == 0:
            continue
        graph = build_neighbor_graph(torch.from_numpy(features[at]), n_neighbors, **search)
        indices, similarities = graph.indices.numpy(), graph.similarities.numpy()
        part = _broken_up(y[at], indices, random)
        known = Known(features[at], indices, similarities, part, search["metric"])
        pairs = row_relations(features[new], known, n_neighbors, torch.device("cpu"))
        lessons.append(pairs.relations)
        rows.append(pairs.row + 2 * _MAX_NEW * len(rows))
        targets.append(_share_of_class(part, y[at], pairs.part, y[new][pairs.row]))
    if not lessons:
        return None
    goal = np.concatenate(targets)
    if goal.min() == goal.max():
        return None
    relations = np.concatenate(lessons)
    network, _ = kept_perceptrons(
        checkpoint or Checkpoint(),
        "rows",
        relations,
        goal,
        [np.arange(len(goal))],
        settings=settings,
        seed=seed,
    )
    p = sigmoid(network.log_odds(relations)[0])
    return RowJudge(network, _best_threshold(p, goal, np.concatenate(rows)))


def _best_threshold(p: np.ndarray, goal: np.ndarray, row: np.ndarray) -> float:
    """Threshold of highest F, where each row goes to its most probable cluster or nowhere.

    Right is the share of the cluster that is of the row's class; to be found is the largest share
    that any of a row's candidates has.
    """
    order = np.lexsort((-p, row))
    best = order[np.r_[True, row[order][1:] != row[order][:-1]]]
    most = np.zeros(int(row.max()) + 1)
    np.maximum.at(most, row, goal)
    falling = best[np.argsort(-p[best], kind="stable")]
    right = np.cumsum(goal[falling])
    score = 2 * right / (np.arange(1, len(falling) + 1) + most.sum())
    return float(np.clip(p[falling[int(score.argmax())]], 0.05, 0.95))


def _choose_known(y: np.ndarray, share: float, random: np.random.RandomState) -> np.ndarray:
    """Rows that are taken as known: a share of the rows of most classes."""
    n_classes = int(y.max()) + 1
    classes = random.permutation(n_classes) < max(1, round(_KNOWN_CLASSES * n_classes))
    return classes[y] & (random.random_sample(len(y)) < share)


def _broken_up(y: np.ndarray, indices: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """Clusters of known rows: classes whole, in pieces, or two in one; from 0."""
    n, n_classes = len(y), int(y.max()) + 1
    fate = random.random_sample(n_classes)
    # Pieces: each row goes with its nearest row of the class.
    same = y[indices] == y[:, None]
    mate = indices[np.arange(n), same.argmax(axis=1)]
    mate = np.where(same.any(axis=1), mate, np.arange(n))
    root = np.minimum(np.arange(n), mate)
    for _ in range(n):
        lower = np.minimum(root, root[mate])
        np.minimum.at(lower, mate, root)
        if (lower == root).all():
            break
        root = lower
    owner = np.where(fate[y] < 0.5, n + y, root)
    # Some whole classes take in the class of a neighbour of theirs.
    merged = np.flatnonzero(fate < 0.08)
    for one in merged:
        members = np.flatnonzero(y == one)
        if len(members) and indices.shape[1]:
            neighbors = indices[members].reshape(-1)
            others = neighbors[y[neighbors] != one]
            if len(others):
                owner[owner == owner[others[0]]] = n + one
    return np.unique(owner, return_inverse=True)[1].astype(np.int64)


def _share_of_class(
    part: np.ndarray, y: np.ndarray, pair_part: np.ndarray, pair_class: np.ndarray
) -> np.ndarray:
    """Share of each pair's cluster that is of the new row's class."""
    n_classes = int(max(y.max(), pair_class.max(initial=0))) + 1
    keys, counts = np.unique(part * n_classes + y, return_counts=True)
    wanted = pair_part * n_classes + pair_class
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    hit = keys[at] == wanted
    return np.where(hit, counts[at], 0) / np.bincount(part)[pair_part]
