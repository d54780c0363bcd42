"""Hashes of rows by their content, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sklearn_hilander._device import even_slices, in_threads

# So few that a chunk stays in the processor's cache: twice as quick.
_CHUNK_ROWS = 1_024


def chunk_by_chunk(do: Callable[[slice], None], n_rows: int) -> None:
    """Do something with each chunk of rows, on as many threads as torch may use."""
    in_threads(do, even_slices(n_rows, _CHUNK_ROWS))


def hash_rows(X: np.ndarray, scaler: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Multilinear hash of each embedding's bits, shape (n_samples,), uint64."""
    multipliers = np.random.default_rng(0).integers(
        1, 2**64, size=X.shape[1], dtype=np.uint64, endpoint=False
    ) | np.uint64(1)
    hashes = np.empty(len(X), dtype=np.uint64)

    def hash_chunk(of: slice) -> None:
        bits = scaler(X[of]).view(np.uint32)
        total = (bits.astype(np.uint64) * multipliers).sum(axis=1, dtype=np.uint64)
        # The low bits of a multilinear hash are weak: fold the high ones in.
        total ^= total >> np.uint64(32)
        hashes[of] = total * np.uint64(0x9E3779B97F4A7C15)

    chunk_by_chunk(hash_chunk, len(X))
    return hashes
