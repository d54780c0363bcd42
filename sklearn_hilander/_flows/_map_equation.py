"""The map equation: how many bits a step of a walk takes, and what a change of modules saves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._graph._pairs import count_dtype, in_blocks

# Bits; smaller gains are rounding.
LEAST_GAIN = 1e-10
# Merges whose gain is worked out at once: so few that they stay in the cache.
_BLOCK = 32_768


@dataclass(frozen=True)
class Flow:
    """Flow along pairs of nodes, the same both ways; all of it sums to 1.

    Attributes
    ----------
    i, j : ndarray of shape (n_pairs,), int64
    flow : ndarray of shape (n_pairs,), float64
        From either end to the other.
    """

    i: np.ndarray
    j: np.ndarray
    flow: np.ndarray

    @classmethod
    def along(cls, i: np.ndarray, j: np.ndarray, weights: np.ndarray) -> Flow:
        kept = weights > 0
        flow = weights[kept].astype(np.float64)
        flow /= 2 * flow.sum()
        return cls(i[kept], j[kept], flow)

    def matrix(self, n_nodes: int) -> sp.csr_array:
        """Flow between nodes, symmetric, (n_nodes, n_nodes)."""
        small = count_dtype(n_nodes)
        i, j = self.i.astype(small), self.j.astype(small)
        ends = (np.concatenate([i, j]), np.concatenate([j, i]))
        both = np.concatenate([self.flow, self.flow])
        return sp.coo_array((both, ends), shape=(n_nodes, n_nodes)).tocsr()


@dataclass(frozen=True)
class Totals:
    """Flow out of modules and through them; all that is visited sums to 1.

    Attributes
    ----------
    leaving, visited : ndarray of shape (n_modules,)
        Flow that leaves each module, and flow through its nodes.
    """

    leaving: np.ndarray
    visited: np.ndarray

    @cached_property
    def _terms(self) -> tuple[np.ndarray, np.ndarray, float]:
        q = self.leaving
        return _plogp(q), _plogp(q + self.visited), q.sum()

    def codelength(self) -> float:
        """Bits a step, but for a part that no clustering changes."""
        q, p = self.leaving, self.visited
        return float(_plogp(q.sum()) - 2 * _plogp(q).sum() + _plogp(q + p).sum())

    def gain(
        self, a: np.ndarray, b: np.ndarray, *after: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """Bits that are saved if modules `a` and `b` give way to others.

        Parameters
        ----------
        a, b : ndarray of shape (n_changes,), int64
        *after : tuple of ndarray of shape (n_changes,)
            Flow that leaves each module that takes their place, and flow through its nodes.

        Returns
        -------
        ndarray of shape (n_changes,), float64
            Rounded: gains that are equal but for rounding are ties.
        """
        of_q, of_both, total = self._terms
        gain = of_both[a] + of_both[b] - 2 * (of_q[a] + of_q[b]) + _plogp(total)
        total = total - self.leaving[a] - self.leaving[b]
        for leaving, visited in after:
            gain += 2 * _plogp(leaving) - _plogp(leaving + visited)
            total = total + leaving
        return (gain - _plogp(total)).round(12)

    def merge_gain_alone(self, a: np.ndarray, b: np.ndarray, across: np.ndarray) -> np.ndarray:
        """Bits that are saved if modules `a` and `b` merge, but for those of `gain_of_total`.

        Parameters
        ----------
        a, b : ndarray of shape (n_pairs,), int64
        across : ndarray of shape (n_pairs,)
            Flow from either to the other.
        """
        q, p = self.leaving, self.visited
        of_q, of_both, _ = self._terms

        def gain(of: slice) -> np.ndarray:
            c, d = a[of], b[of]
            leaving = q[c] + q[d] - 2 * across[of]
            after = 2 * _plogp(leaving) - _plogp(leaving + p[c] + p[d])
            return of_both[c] + of_both[d] - 2 * (of_q[c] + of_q[d]) + after

        return in_blocks(len(a), gain, np.float64, at_once=_BLOCK)

    def gain_of_total(self, across: np.ndarray) -> np.ndarray:
        """Bits that a merge saves because less flow leaves modules at all."""
        total = self._terms[2]
        whole = _plogp(total)

        def gain(of: slice) -> np.ndarray:
            return whole - _plogp(total - 2 * across[of])

        return in_blocks(len(across), gain, np.float64, at_once=_BLOCK)


def best_of_both(gain: np.ndarray, a: np.ndarray, b: np.ndarray, n_modules: int) -> np.ndarray:
    """Changes that gain something, and most of all those of either module; (n_changes,), bool."""
    best = np.full(n_modules, LEAST_GAIN)
    np.maximum.at(best, a, gain)
    np.maximum.at(best, b, gain)
    return (gain >= best[a]) & (gain >= best[b])


def _plogp(x: np.ndarray | float) -> np.ndarray:
    """x log2 x, 0 at 0 and for what rounding takes under it."""
    x = np.maximum(x, 0.0)
    return x * np.log2(np.where(x > 0, x, 1.0))
