"""Small networks over a table of relations, several as one: features in, log-odds out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sklearn_hilander._device import in_threads
from sklearn_hilander._graph._pair_table import PairTable

N_LAYERS = 3
# Standardised features are held within this many standard deviations.
CLAMP = 6.0
# Rows of a block of features, and so few of a network's that its activations stay in the cache.
_PREDICT_ROWS, _NETWORK_ROWS = 16_384, 2_048


@dataclass(frozen=True)
class Perceptrons:
    """Networks of two hidden layers over the same standardised features.

    Attributes
    ----------
    mean, scale : Tensor of shape (n_features,), float32
    weights, biases : tuple of Tensor of shape (n_networks, n_inputs, n_outputs), float32
        One of each a layer; of biases, n_inputs is 1.
    """

    mean: Tensor
    scale: Tensor
    weights: tuple[Tensor, ...]
    biases: tuple[Tensor, ...]

    def __len__(self) -> int:
        return len(self.weights[0])

    @property
    def width(self) -> int:
        """Width of the hidden layers."""
        return self.weights[0].shape[2]

    def digest(self) -> str:
        """What tells these networks from others."""
        content = b"".join(array.tobytes() for array in perceptron_arrays(self).values())
        return hashlib.sha256(content).hexdigest()

    def repeated(self, n_networks: int) -> Perceptrons:
        """So many networks: these in turn, from the first again after the last."""
        in_turn = torch.arange(n_networks) % len(self)
        weights, biases = (
            tuple(layer[in_turn] for layer in layers) for layers in (self.weights, self.biases)
        )
        return Perceptrons(self.mean, self.scale, weights, biases)

    def __getstate__(self) -> dict[str, list[np.ndarray]]:
        """Tensors as arrays, for skops, which knows no tensors."""
        flat = {**vars(self), "mean": (self.mean,), "scale": (self.scale,)}
        return {name: [part.numpy() for part in parts] for name, parts in flat.items()}

    def __setstate__(self, state: dict[str, list[np.ndarray]]) -> None:
        tensors = {name: tuple(map(torch.tensor, parts)) for name, parts in state.items()}
        mean, scale = tensors.pop("mean")[0], tensors.pop("scale")[0]
        vars(self).update(tensors, mean=mean, scale=scale)

    def log_odds(self, features: np.ndarray | PairTable) -> np.ndarray:
        """Log-odds of each network for each row, (n_networks, n_rows), float32.

        Parameters
        ----------
        features : ndarray of shape (n_rows, n_features), float32, or PairTable
        """
        out = np.empty((len(self), len(features)), dtype=np.float32)
        self._read(features, out, lambda log_odds: log_odds)
        return out

    def mean_log_odds(self, features: np.ndarray | PairTable) -> np.ndarray:
        """Mean over the networks of each row's log-odds, (n_rows,), float32."""
        out = np.empty(len(features), dtype=np.float32)
        self._read(features, out, lambda log_odds: log_odds.mean(axis=0))
        return out

    def _read(
        self,
        features: np.ndarray | PairTable,
        out: np.ndarray,
        of_block: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """Fill `out`, whose last axis is the rows, by blocks of these."""

        def block(start: int) -> None:
            rows = slice(start, start + _PREDICT_ROWS)
            out[..., rows] = of_block(self._of_block(features[rows]))

        in_threads(block, range(0, len(features), _PREDICT_ROWS))

    @torch.inference_mode()
    def _of_block(self, features: np.ndarray) -> np.ndarray:
        """Log-odds of each network for a few rows, (n_networks, n_rows), float32."""
        rows = torch.from_numpy(features)
        standard = (rows - self.mean).div_(self.scale).clamp_(-CLAMP, CLAMP)
        out = np.empty((len(self), len(rows)), dtype=np.float32)
        for number in range(len(self)):
            first, second, last = zip(
                [of_layer[number] for of_layer in self.weights],
                [of_layer[number] for of_layer in self.biases],
                strict=True,
            )
            # One after the other: several times quicker than as one batch of products.
            for at, part in enumerate(standard.split(_NETWORK_ROWS)):
                hidden = F.gelu(torch.addmm(first[1], part, first[0]))
                hidden = F.gelu(torch.addmm(second[1], hidden, second[0]))
                log_odds = torch.addmm(last[1], hidden, last[0])[:, 0]
                begin = at * _NETWORK_ROWS
                # Explicitly: numpy 2.0 to 2.2 warn of a tensor.
                out[number, begin : begin + len(part)] = log_odds.numpy()
        return out


def perceptron_shapes(n_networks: int, widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Shape of each array of `perceptron_arrays`.

    Parameters
    ----------
    n_networks : int
    widths : sequence of int
        Of the features, of the hidden layers and of the end.
    """
    shapes: dict[str, tuple[int, ...]] = {"mean": (widths[0],), "scale": (widths[0],)}
    for at in range(N_LAYERS):
        shapes[f"weights/{at}"] = (n_networks, widths[at], widths[at + 1])
        shapes[f"biases/{at}"] = (n_networks, 1, widths[at + 1])
    return shapes


def perceptron_arrays(perceptrons: Perceptrons) -> dict[str, np.ndarray]:
    """All that networks are, by name."""
    tensors = {"mean": perceptrons.mean, "scale": perceptrons.scale}
    for at in range(N_LAYERS):
        tensors[f"weights/{at}"] = perceptrons.weights[at]
        tensors[f"biases/{at}"] = perceptrons.biases[at]
    return {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def perceptrons_of(arrays: Mapping[str, np.ndarray]) -> Perceptrons:
    """The networks that have these arrays."""

    # Copied into torch's own memory, whose alignment sums may depend on.
    def layers(part: str) -> tuple[Tensor, ...]:
        return tuple(torch.tensor(arrays[f"{part}/{at}"]) for at in range(N_LAYERS))

    return Perceptrons(
        torch.tensor(arrays["mean"]),
        torch.tensor(arrays["scale"]),
        layers("weights"),
        layers("biases"),
    )
