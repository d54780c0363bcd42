"""Training of the small networks over a table of relations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._graph._pairs import sigmoid
from sklearn_hilander._linkage._perceptron import (
    CLAMP,
    Perceptrons,
    perceptron_arrays,
    perceptron_shapes,
    perceptrons_of,
)

WEIGHT_DECAY = 3e-2
DROPOUT = 0.1
MAX_STEPS = 400


@dataclass(frozen=True)
class PerceptronSettings:
    """How networks are made and trained; names as in `HiLanderClustering`.

    Attributes
    ----------
    n_steps : int or None
        Of the training; None means what the rows are worth.
    """

    hidden_dim: int
    learning_rate: float
    batch_size: int
    n_steps: int | None = None

    def steps_for(self, n_rows: int) -> int:
        """Number of steps to train on so many rows."""
        return n_training_steps(n_rows, self.batch_size) if self.n_steps is None else self.n_steps


def fit_perceptrons(
    features: np.ndarray,
    targets: np.ndarray,
    rows_of: list[np.ndarray],
    *,
    weights: np.ndarray | None = None,
    settings: PerceptronSettings,
    seed: int,
    start: Perceptrons | None = None,
    noisy: bool = True,
) -> tuple[Perceptrons, list[float]]:
    """Train by cross-entropy against soft targets: AdamW, one-cycle schedule.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features), float32
    targets : ndarray of shape (n_rows,)
        Probabilities.
    rows_of : list of ndarray of shape (n_rows_of_network,), int64
        Rows that each network sees.
    weights : ndarray of shape (n_rows,), optional
    settings : PerceptronSettings
        The learning rate is the highest of the schedule.
    seed : int
    start : Perceptrons, optional
        Networks to train on, as many as there are; they keep their standardisation and width.
    noisy : bool, default=True
        Targets are a matter of chance, as labels are. If they are not, nothing holds the networks
        back from following them, and twice the steps bring them nearer.

    Returns
    -------
    perceptrons : Perceptrons
    losses : list of float
        Of each network, mean over the last quarter of the steps.
    """
    n_rows, n_features = features.shape
    if start is None:
        mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    else:
        mean, scale = start.mean.numpy(), start.scale.numpy()
    standard = np.subtract(features, mean, dtype=np.float32)
    standard /= scale
    rows = torch.from_numpy(standard.clip(-CLAMP, CLAMP, out=standard))
    goal = torch.from_numpy(np.asarray(targets, dtype=np.float32))
    weight = np.ones(n_rows) if weights is None else weights / weights.mean()
    weight = torch.from_numpy(weight.astype(np.float32))
    seen = [torch.from_numpy(of_network) for of_network in rows_of]
    fewest = min(len(of_network) for of_network in seen)
    steps = settings.steps_for(fewest) * (1 if noisy else 2)
    # A few rows are seen in small batches: quicker, and no worse.
    batch_size = min(settings.batch_size, max(64, fewest // 8))
    # Weights and dropout draw from the global generator of torch: borrow it and give it back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if start is None:
            layer_weights, layer_biases = _initial(len(seen), n_features, settings.hidden_dim)
        else:
            layer_weights, layer_biases = (
                [layer.clone().requires_grad_() for layer in layers]
                for layers in (start.weights, start.biases)
            )
        optimizer = torch.optim.AdamW(
            [*layer_weights, *layer_biases],
            settings.learning_rate,
            weight_decay=WEIGHT_DECAY if noisy else 0.0,
            foreach=True,
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, settings.learning_rate, total_steps=steps, pct_start=0.1
        )
        losses = []
        for _ in range(steps):
            batch = torch.stack(
                [of_network[torch.randint(len(of_network), (batch_size,))] for of_network in seen]
            )
            dropout = DROPOUT if noisy else 0.0
            log_odds = _forward(rows[batch], layer_weights, layer_biases, dropout=dropout)
            of_rows = F.binary_cross_entropy_with_logits(log_odds, goal[batch], reduction="none")
            loss = (weight[batch] * of_rows).mean(dim=1)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.detach())
    perceptrons = Perceptrons(
        torch.from_numpy(mean.astype(np.float32)),
        torch.from_numpy(scale.astype(np.float32)),
        tuple(layer.detach() for layer in layer_weights),
        tuple(layer.detach() for layer in layer_biases),
    )
    last = torch.stack(losses[-max(1, steps // 4) :])
    return perceptrons, last.mean(dim=0).tolist()


def kept_perceptrons(
    checkpoint: Checkpoint,
    name: str,
    features: np.ndarray,
    targets: np.ndarray,
    rows_of: list[np.ndarray],
    *,
    settings: PerceptronSettings,
    start: Perceptrons | None = None,
    **options: Any,
) -> tuple[Perceptrons, list[float]]:
    """`fit_perceptrons`, once: what a checkpoint has under a name is not trained again."""
    width = settings.hidden_dim if start is None else start.weights[0].shape[2]
    shapes = perceptron_shapes(len(rows_of), (features.shape[1], width, width, 1))
    kept = checkpoint.load(name, shapes | {"losses": (len(rows_of),)})
    if kept is not None:
        return perceptrons_of(kept), kept["losses"].tolist()
    networks, losses = fit_perceptrons(
        features, targets, rows_of, settings=settings, start=start, **options
    )
    arrays = perceptron_arrays(networks)
    checkpoint.save(name, arrays | {"losses": np.array(losses, dtype=np.float64)})
    return networks, losses


def kept_as_one(
    checkpoint: Checkpoint,
    name: str,
    networks: Perceptrons,
    features: np.ndarray,
    **options: Any,
) -> Perceptrons:
    """One network that says what several say in the mean.

    Parameters
    ----------
    checkpoint : Checkpoint
    name : str
        Under which the checkpoint has it.
    networks : Perceptrons
    features : ndarray of shape (n_rows, n_features), float32
        What it learns from; no labels are needed.
    **options
        Of `fit_perceptrons`.

    Returns
    -------
    Perceptrons
        As many times quicker as there are networks.

    References
    ----------
    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """
    taught = sigmoid(networks.mean_log_odds(features))
    rows = [np.arange(len(features))]
    return kept_perceptrons(checkpoint, name, features, taught, rows, noisy=False, **options)[0]


def _initial(n_networks: int, n_features: int, width: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights as torch's linear layers begin; the last ones 0: every row even at first."""
    weights, biases = [], []
    for n_inputs, n_outputs in ((n_features, width), (width, width), (width, 1)):
        bound = n_inputs**-0.5
        weights.append(torch.empty(n_networks, n_inputs, n_outputs).uniform_(-bound, bound))
        biases.append(torch.empty(n_networks, 1, n_outputs).uniform_(-bound, bound))
    weights[-1].zero_()
    for parameter in (*weights, *biases):
        parameter.requires_grad_()
    return weights, biases


def _forward(
    rows: Tensor, weights: list[Tensor], biases: list[Tensor], *, dropout: float = 0.0
) -> Tensor:
    """Log-odds of rows (n, n_features), or of each network's own (n_networks, n, n_features)."""
    if rows.ndim == 2:
        rows = rows.expand(len(weights[0]), -1, -1)
    hidden = F.gelu(torch.baddbmm(biases[0], rows, weights[0]))
    hidden = F.dropout(hidden, dropout, training=dropout > 0)
    hidden = F.gelu(torch.baddbmm(biases[1], hidden, weights[1]))
    return torch.baddbmm(biases[2], hidden, weights[2])[:, :, 0]


def rows_to_see(n_rows: int, settings: PerceptronSettings, seed: int) -> np.ndarray:
    """Rows for a table to train on: all, or some at random where batches would not meet all.

    Returns
    -------
    ndarray of shape (n_seen,), int64
        Ascending. At most twice as many as a network draws: memory does not grow without end.
    """
    most = 2 * settings.batch_size * settings.steps_for(n_rows)
    if n_rows <= most:
        return np.arange(n_rows)
    return np.sort(np.random.default_rng(seed).choice(n_rows, most, replace=False))


def n_training_steps(n_rows: int, batch_size: int) -> int:
    """Steps that so many rows are worth: 20 for a handful, 200 from 18,000 on, at most 400."""
    return int(np.clip(2 * n_rows // batch_size, min(200, 20 + n_rows // 100), MAX_STEPS))
