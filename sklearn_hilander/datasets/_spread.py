"""How far identities spread around their centres, found from how hard they should be."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from sklearn.utils import gen_batches

_BLOCK_ROWS = 4096
_COARSE_PROBES, _FINE_PROBES = 256, 2000
_LOG_SPREADS = (np.log(0.01), np.log(100.0))


class Identities(NamedTuple):
    """Embeddings before their spread is known: row i is centre + spread * scale * noise."""

    centers: np.ndarray  # (n_classes, n_features), float32, unit rows
    scales: np.ndarray  # (n_classes,), float32
    noise: np.ndarray  # (n_samples, n_features), float32, expected norm 1
    labels: np.ndarray  # (n_samples,), int64

    def embed(self, rows: slice | np.ndarray, spread: float) -> np.ndarray:
        """Unit-norm embeddings of some rows at a spread."""
        labels = self.labels[rows]
        embeddings = self.noise[rows] * (np.float32(spread) * self.scales[labels])[:, None]
        embeddings += self.centers[labels]
        embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
        return embeddings

    def blocks(self) -> Iterator[slice]:
        return gen_batches(len(self.labels), _BLOCK_ROWS)


def nn_rate_at(data: Identities, probes: np.ndarray, spread: float) -> float:
    """Share of the probes whose most similar other row, of all rows, is of their class."""
    queries = data.embed(probes, spread)
    best = np.full(len(probes), -np.inf, dtype=np.float32)
    nearest = np.zeros(len(probes), dtype=np.int64)
    for block in data.blocks():
        similarity = queries @ data.embed(block, spread).T
        own = np.flatnonzero((probes >= block.start) & (probes < block.stop))
        similarity[own, probes[own] - block.start] = -np.inf
        candidate = similarity.argmax(axis=1)
        value = similarity[np.arange(len(probes)), candidate]
        better = value > best
        best[better] = value[better]
        nearest[better] = block.start + candidate[better]
    return float(np.mean(data.labels[nearest] == data.labels[probes]))


def calibrate_spread(rng: np.random.Generator, data: Identities, nn_rate: float) -> float:
    """The spread at which `nn_rate_at` is as wished.

    All rows are candidates, since the rate falls as classes crowd the space. A few probes
    find the neighbourhood of the spread, many settle it.
    """
    has_partner = np.flatnonzero(np.bincount(data.labels)[data.labels] > 1)
    if len(has_partner) == 0:
        raise ValueError("nn_rate needs a class of two or more members; give spread instead.")
    probes = rng.permutation(has_partner)[:_FINE_PROBES]

    @cache
    def excess(log_spread: float, n_probes: int) -> float:
        return nn_rate_at(data, probes[:n_probes], np.exp(log_spread)) - nn_rate

    low, high = _LOG_SPREADS
    reachable = [excess(bound, _COARSE_PROBES) + nn_rate for bound in (high, low)]
    if not reachable[0] <= nn_rate <= reachable[1]:
        raise ValueError(
            f"nn_rate={nn_rate} is out of reach: with these classes it lies between "
            f"{reachable[0]:.3f} and {reachable[1]:.3f}."
        )
    start = brentq(excess, low, high, args=(_COARSE_PROBES,), xtol=0.05)
    width = 0.1
    while True:
        bracket = max(low, start - width), min(high, start + width)
        ends = [excess(bound, _FINE_PROBES) for bound in bracket]
        if ends[0] >= 0 >= ends[1]:
            break
        if bracket == _LOG_SPREADS:
            return float(np.exp(start))
        width *= 2
    return float(np.exp(brentq(excess, *bracket, args=(_FINE_PROBES,), xtol=0.005)))
