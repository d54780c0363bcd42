"""A small network over a table of relations: features in, log-odds out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

WEIGHT_DECAY = 3e-2
DROPOUT = 0.1
# Standardised features are held within this many standard deviations.
CLAMP = 6.0
MAX_STEPS = 400
_PREDICT_ROWS = 65_536


@dataclass(frozen=True)
class PerceptronSettings:
    """How a network is made and trained; names as in `HiLanderClustering`."""

    hidden_dim: int
    learning_rate: float
    batch_size: int


@dataclass(frozen=True)
class Perceptron:
    """Two hidden layers over standardised features.

    Attributes
    ----------
    mean, scale : Tensor of shape (n_features,), float32
    layers : torch.nn.Sequential
    """

    mean: Tensor
    scale: Tensor
    layers: nn.Sequential

    @torch.inference_mode()
    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """Log-odds of each row, (n_rows,), float32."""
        rows = torch.from_numpy(features)
        out = [self._forward(part) for part in rows.split(_PREDICT_ROWS)]
        return torch.cat(out).numpy() if out else np.zeros(0, dtype=np.float32)

    def _forward(self, rows: Tensor) -> Tensor:
        standard = ((rows - self.mean) / self.scale).clamp_(-CLAMP, CLAMP)
        return self.layers(standard)[:, 0]


def fit_perceptron(
    features: np.ndarray,
    targets: np.ndarray,
    *,
    weights: np.ndarray | None = None,
    settings: PerceptronSettings,
    seed: int,
) -> tuple[Perceptron, float]:
    """Train by cross-entropy against soft targets: AdamW, one-cycle schedule.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features), float32
    targets : ndarray of shape (n_rows,)
        Probabilities.
    weights : ndarray of shape (n_rows,), optional
    settings : PerceptronSettings
        The learning rate is the highest of the schedule.
    seed : int

    Returns
    -------
    perceptron : Perceptron
    loss : float
        Mean over the last quarter of the steps.
    """
    n_rows, n_features = features.shape
    mean, scale = features.mean(axis=0), features.std(axis=0) + 1e-6
    rows = torch.from_numpy(((features - mean) / scale).clip(-CLAMP, CLAMP).astype(np.float32))
    goal = torch.from_numpy(np.asarray(targets, dtype=np.float32))
    weight = np.ones(n_rows) if weights is None else weights / weights.mean()
    weight = torch.from_numpy(weight.astype(np.float32))
    steps = n_training_steps(n_rows, settings.batch_size)
    # A few rows are seen in small batches: quicker, and no worse.
    batch_size = min(settings.batch_size, max(64, n_rows // 8))
    width, highest = settings.hidden_dim, settings.learning_rate
    # Weights and dropout draw from the global generator of torch: borrow it and give it back.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = nn.Sequential(
            nn.Linear(n_features, width),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, 1),
        )
        nn.init.zeros_(layers[-1].weight)
        optimizer = torch.optim.AdamW(
            layers.parameters(), highest, weight_decay=WEIGHT_DECAY, foreach=True
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, highest, total_steps=steps, pct_start=0.1
        )
        layers.train()
        losses = []
        for _ in range(steps):
            batch = torch.randint(n_rows, (batch_size,))
            losses_of = F.binary_cross_entropy_with_logits(
                layers(rows[batch])[:, 0], goal[batch], reduction="none"
            )
            loss = (weight[batch] * losses_of).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    layers.eval().requires_grad_(False)
    perceptron = Perceptron(
        torch.from_numpy(mean.astype(np.float32)),
        torch.from_numpy(scale.astype(np.float32)),
        layers,
    )
    return perceptron, float(np.mean(losses[-max(1, steps // 4) :]))


def n_training_steps(n_rows: int, batch_size: int) -> int:
    """Steps that so many rows are worth: 20 for a handful, 200 from 18,000 on, at most 400."""
    return int(np.clip(2 * n_rows // batch_size, min(200, 20 + n_rows // 100), MAX_STEPS))
