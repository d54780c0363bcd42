"""Meta-training of the paper's network: levels grown from labels, and the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._levels._decode import decode_forest
from sklearn_hilander._levels._hierarchy import iterate_levels
from sklearn_hilander._levels._lander import Lander
from sklearn_hilander._levels._losses import balance_mask, lander_losses, linkage_mask
from sklearn_hilander._levels._scoring import OracleScorer
from sklearn_hilander._search._neighbors import build_neighbor_graph
from sklearn_hilander._types import NeighborGraph

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-5
FINAL_LEARNING_RATE = 1e-5


@dataclass(frozen=True)
class TrainingLevel:
    """One graph of the training pool, with its targets.

    Attributes
    ----------
    x : Tensor of shape (n_nodes, in_dim)
        Input of the model.
    graph : NeighborGraph
    same_class : Tensor of shape (n_nodes, n_neighbors), bool
    density : Tensor of shape (n_nodes,)
    mask : Tensor of shape (n_nodes, n_neighbors), bool
        Edges that the linkage loss is taken over.
    """

    x: Tensor
    graph: NeighborGraph
    same_class: Tensor
    density: Tensor
    mask: Tensor


def training_scales(n_neighbors: int) -> tuple[tuple[int, int], ...]:
    """Pairs of (n_neighbors, levels): (9, 2), (4, 3), (2, 4) for the authors' 9 neighbours."""
    return ((n_neighbors, 2), (max(2, n_neighbors // 2), 3), (max(2, n_neighbors // 4), 4))


def build_training_levels(
    features: Tensor,
    y: Tensor,
    lander: Lander,
    n_neighbors: int,
    *,
    weights: Tensor | None = None,
    mean_features: Tensor | None = None,
    **search: Any,
) -> list[TrainingLevel]:
    """Grow the training hierarchies from labels, at three numbers of neighbours.

    Parameters
    ----------
    features : Tensor of shape (n_samples, n_features)
    y : Tensor of shape (n_samples,), int64
    lander : Lander
        Says what the input of a node is.
    n_neighbors : int
        The largest number of neighbours.
    weights, mean_features
        As in `iterate_levels`.
    **search
        Of `build_neighbor_graph`.

    Returns
    -------
    list of TrainingLevel
        Empty if there are fewer than two samples.
    """
    oracle = OracleScorer(y)
    pool = []
    for k, max_levels in training_scales(n_neighbors):
        for level, _ in iterate_levels(
            features,
            oracle,
            build_graph=partial(build_neighbor_graph, n_neighbors=k, **search),
            decode=lambda level, scores: decode_forest(level.graph, scores, 0.0),
            max_levels=max_levels,
            weights=weights,
            mean_features=mean_features,
        ):
            density = oracle(level).density
            pool.append(
                TrainingLevel(
                    x=lander.node_input(level.peak_features, level.mean_features),
                    graph=level.graph,
                    same_class=oracle.same_class(level),
                    density=density,
                    mask=linkage_mask(level.graph, density),
                )
            )
    return pool


def train_lander(
    lander: Lander,
    levels: list[TrainingLevel],
    *,
    max_iter: int,
    learning_rate: float,
    batch_size: int,
    generator: torch.Generator,
    on_epoch: Callable[[float], None] | None = None,
    checkpoint: Checkpoint | None = None,
    name: str = "network",
) -> list[float]:
    """Train in place: SGD with momentum, cosine schedule, each batch of nodes from one level.

    Parameters
    ----------
    lander : Lander
    levels : list of TrainingLevel
    max_iter : int
        Epochs.
    learning_rate : float
        At the first epoch; it falls to 1e-5 at the last.
    batch_size : int
        Nodes a step.
    generator : torch.Generator
        Source of the order of nodes and of balanced sampling; on the CPU.
    on_epoch : callable, optional
        Called with the mean loss of each epoch.
    checkpoint : Checkpoint, optional
        Where the state after each epoch is kept, and found where the process ended.
    name : str, default="network"
        Under which it is kept.

    Returns
    -------
    list of float
        Mean loss of each epoch; empty without levels.
    """
    if not levels:
        return []
    optimizer = torch.optim.SGD(
        lander.parameters(), lr=learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, max_iter, eta_min=min(FINAL_LEARNING_RATE, learning_rate)
    )
    checkpoint = checkpoint or Checkpoint()
    state = _State(lander, optimizer, schedule, generator)
    kept = checkpoint.load(name, state.shapes())
    curve = [] if kept is None else state.restore(kept)
    for epoch_loss in curve:
        if on_epoch is not None:
            on_epoch(epoch_loss)
    lander.train()
    for _ in range(max_iter - len(curve)):
        batches = [
            (level, batch.sort().values)
            for level in levels
            for batch in torch.randperm(level.graph.n_nodes, generator=generator).split(batch_size)
        ]
        total, n_seen = 0.0, 0
        for i in torch.randperm(len(batches), generator=generator).tolist():
            level, nodes = batches[i]
            optimizer.zero_grad()
            loss = _batch_loss(lander, level, nodes.to(level.x.device), generator)
            loss.backward()
            optimizer.step()
            total, n_seen = total + loss.item() * len(nodes), n_seen + len(nodes)
        schedule.step()
        curve.append(total / n_seen)
        checkpoint.save(name, state.arrays(curve))
        if on_epoch is not None:
            on_epoch(curve[-1])
    lander.eval()
    return curve


@dataclass(frozen=True)
class _State:
    """All that the next epoch depends on, as arrays and back."""

    lander: Lander
    optimizer: torch.optim.SGD
    schedule: torch.optim.lr_scheduler.CosineAnnealingLR
    generator: torch.Generator

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the arrays; the number of epochs is not known."""
        shapes: dict[str, tuple[int, ...]] = {"learning_rate": (1,), "loss_curve": (-1,)}
        shapes["generator"] = (len(self.generator.get_state()) // 8,)
        for key, parameter in self.lander.named_parameters():
            shapes[f"weights/{key}"] = shapes[f"momentum/{key}"] = tuple(parameter.shape)
        return shapes

    def arrays(self, curve: list[float]) -> dict[str, np.ndarray]:
        """Copies of the state after some epochs."""
        arrays = {
            "learning_rate": np.array([group["lr"] for group in self.optimizer.param_groups]),
            "loss_curve": np.array(curve, dtype=np.float64),
            "generator": self.generator.get_state().numpy().view(np.uint64).copy(),
        }
        for key, parameter in self.lander.named_parameters():
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            momentum = torch.zeros_like(parameter) if momentum is None else momentum
            arrays[f"weights/{key}"] = parameter.detach().cpu().numpy().copy()
            arrays[f"momentum/{key}"] = momentum.cpu().numpy().copy()
        return arrays

    def restore(self, arrays: dict[str, np.ndarray]) -> list[float]:
        """Take such a state; gives the losses until then."""
        curve = arrays["loss_curve"].tolist()
        for group in self.optimizer.param_groups:
            group["lr"] = float(arrays["learning_rate"][0])
        self.schedule.load_state_dict({"last_epoch": len(curve), "_step_count": len(curve) + 1})
        self.generator.set_state(torch.tensor(arrays["generator"].view(np.uint8)))
        for key, parameter in self.lander.named_parameters():
            parameter.data.copy_(torch.tensor(arrays[f"weights/{key}"]))
            momentum = torch.tensor(arrays[f"momentum/{key}"], device=parameter.device)
            self.optimizer.state[parameter]["momentum_buffer"] = momentum
        return curve


def _batch_loss(
    lander: Lander, level: TrainingLevel, nodes: Tensor, generator: torch.Generator
) -> Tensor:
    """Loss of some ascending nodes of one level."""
    logits, density = lander(level.x, level.graph, nodes)
    same_class = level.same_class[nodes]
    mask = balance_mask(level.mask[nodes], same_class, generator)
    linkage_loss, density_loss = lander_losses(
        logits, density, same_class, level.density[nodes], mask
    )
    return linkage_loss + density_loss
