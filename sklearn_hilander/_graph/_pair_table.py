"""Features of pairs, as columns, and as a table that is made when it is read."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

# Pairs that are made at once where some of them are taken.
_BLOCK_ROWS = 16_384


class Columns:
    """Features of pairs, one or several at a time.

    Parameters
    ----------
    rows : ndarray of shape (n_rows,), int64, optional
        The pairs that are kept of each column; by default all.
    """

    def __init__(self, rows: np.ndarray | None = None) -> None:
        self.rows = slice(None) if rows is None else rows
        self.columns: list[np.ndarray] = []

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return sum(1 if part.ndim == 1 else part.shape[1] for part in self.columns)

    def add(self, values: np.ndarray) -> None:
        """Add a feature of the pair as a whole, (n_pairs,), or several, (n_pairs, n_added)."""
        self.columns.append(np.asarray(values[self.rows], dtype=np.float32))

    def both(self, a: np.ndarray, b: np.ndarray) -> None:
        """Add the smaller and the larger of each feature of either end, without their order."""
        smaller, larger = np.minimum(a, b), np.maximum(a, b)
        if a.ndim == 1:
            self.add(smaller)
            self.add(larger)
        else:
            self.add(np.stack([smaller, larger], axis=2).reshape(len(a), 2 * a.shape[1]))

    def stack(self) -> np.ndarray:
        """All pairs, (n_pairs, n_features), float32."""
        out = np.empty((len(self.columns[0]), self.n_features), dtype=np.float32)
        at = 0
        for part in self.columns:
            width = 1 if part.ndim == 1 else part.shape[1]
            out[:, at : at + width] = part.reshape(len(part), width)
            at += width
        return out


class PairTable:
    """Features of pairs that are made when they are read, for as many pairs as are read.

    Parameters
    ----------
    n_rows : int
        Number of pairs.
    *parts : callable
        Slice of the pairs -> Columns. Their columns stand side by side.
    compact : bool, default=False
        Three digits alone: what is held by the pair takes half of the memory then.
    """

    def __init__(
        self, n_rows: int, *parts: Callable[[slice], Columns], compact: bool = False
    ) -> None:
        self.n_rows = n_rows
        self.parts = parts
        self.compact = compact

    def __len__(self) -> int:
        return self.n_rows

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some pairs, (n_rows, n_features), float32."""
        start, stop, _ = rows.indices(self.n_rows)
        out = Columns()
        for part in self.parts:
            out.columns += part(slice(start, max(start, stop))).columns
        table = out.stack()
        return torch.from_numpy(table).half().float().numpy() if self.compact else table

    def __add__(self, other: PairTable) -> PairTable:
        """The columns of both, of the same pairs; none is made."""
        return PairTable(
            self.n_rows, *self.parts, *other.parts, compact=self.compact and other.compact
        )

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self[:0].shape[1]

    def take(self, rows: np.ndarray) -> np.ndarray:
        """These pairs, (n_taken, n_features), float32; others are made block by block alone.

        Parameters
        ----------
        rows : ndarray of shape (n_taken,), int64
            Ascending.
        """
        out = np.empty((len(rows), self.n_features), dtype=np.float32)
        for start in range(0, self.n_rows, _BLOCK_ROWS):
            begin, end = np.searchsorted(rows, [start, start + _BLOCK_ROWS])
            if begin < end:
                out[begin:end] = self[start : start + _BLOCK_ROWS][rows[begin:end] - start]
        return out
