"""Modules of a flow that are each other's best, merged round by round."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from sklearn_hilander._flows._map_equation import LEAST_GAIN, Flow, Totals, best_of_both
from sklearn_hilander._graph._pairs import pair_sum


def merge_modules(nodes: Flow, labels: np.ndarray) -> np.ndarray:
    """Merge modules that are each other's best, round by round; the module each ends in.

    Every merge takes flow from what leaves modules at all, and with that from the gain of every
    other merge: a pair that gains nothing is looked at again only once one of its two has changed.
    """
    m = int(labels.max()) + 1
    pairs, p, within = _between(nodes, labels, m)
    a, b, across = pairs
    module = np.arange(m)
    state = Totals(np.maximum(p - within, 0), p)
    alone = state.merge_gain_alone(a, b, across)
    gain = (alone + state.gain_of_total(across)).round(12)
    n_closed, n_left = 0, m
    candidates = np.flatnonzero(gain >= LEAST_GAIN)
    while True:
        best = best_of_both(gain[candidates], a[candidates], b[candidates], m)
        chosen = candidates[best]
        if len(chosen) == 0:
            return np.unique(module, return_inverse=True)[1]
        # Clusters that merge, numbered among themselves; each takes the number of its first module.
        merged, ends = np.unique(np.stack([a[chosen], b[chosen]]), return_inverse=True)
        a_end, b_end = ends.reshape(2, -1)
        n_new, new = _components(a_end, b_end, len(merged))
        first = np.full(n_new, m)
        np.minimum.at(first, new, merged)
        moved = np.arange(m)
        moved[merged] = first[new]
        module = moved[module]
        for totals in (p, within):
            of_new = np.bincount(new, totals[merged], n_new)
            totals[merged] = 0
            totals[first] = of_new
        has_moved = np.zeros(m + 1, dtype=bool)
        has_moved[merged] = True
        hit = np.flatnonzero(has_moved[a] | has_moved[b])
        c, d, flow = moved[a[hit]], moved[b[hit]], across[hit]
        home = c == d
        np.add.at(within, c[home], 2 * flow[home])
        c, d, flow = _summed(c[~home], d[~home], flow[~home], m)
        state = Totals(np.maximum(p - within, 0), p)
        # They take the places of those that they are made of; places left over are closed.
        gain[hit] = 0
        left = candidates[gain[candidates] >= LEAST_GAIN]
        places, spare = hit[: len(c)], hit[len(c) :]
        a[places], b[places], across[places] = c, d, flow
        alone[places] = state.merge_gain_alone(c, d, flow)
        candidates = np.concatenate([left, places])
        of_total = state.gain_of_total(across[candidates])
        gain[candidates] = (alone[candidates] + of_total).round(12)
        candidates = candidates[gain[candidates] >= LEAST_GAIN]
        a[spare] = b[spare] = m
        n_closed += len(spare)
        n_left -= len(merged) - n_new
        if 4 * n_closed > len(a) or 2 * n_left < m:
            kept = a < m
            a, b, across, gain, alone = (of[kept] for of in (a, b, across, gain, alone))
            candidates = np.flatnonzero(gain >= LEAST_GAIN)
            n_closed = 0
        if 2 * n_left < m:
            # Numbered anew, in the same order: what is done for each module costs less then.
            is_left = np.bincount(module, minlength=m) > 0
            number = np.cumsum(is_left) - 1
            a, b, module = number[a], number[b], number[module]
            p, within, m = p[is_left], within[is_left], n_left
            state = Totals(np.maximum(p - within, 0), p)


def _components(a: np.ndarray, b: np.ndarray, n_nodes: int) -> tuple[int, np.ndarray]:
    """Number of components that pairs join nodes to, each node in a pair; component of each."""
    n_pairs = len(a)
    if n_nodes == 2 * n_pairs:
        # Without ties each node is in one pair: scipy would only check its input.
        component = np.empty(n_nodes, dtype=np.int64)
        component[a] = component[b] = np.arange(n_pairs)
        return n_pairs, component
    joined = sp.coo_array((np.ones(n_pairs), (a, b)), shape=(n_nodes, n_nodes))
    return connected_components(joined, directed=False)


def _between(
    nodes: Flow, labels: np.ndarray, n_modules: int
) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Pairs of modules once each, with the flow across; flow through each module and within it."""
    a, b = labels[nodes.i], labels[nodes.j]
    through = pair_sum(nodes.flow, a, b, n_modules)
    if n_modules == len(labels):
        # Each node is a module of its own, and each pair is there once.
        return (a, b, nodes.flow.copy()), through, np.zeros(n_modules)
    home = a == b
    # Counts of nothing are integers, whatever the weights.
    within = 2 * np.bincount(a[home], nodes.flow[home], n_modules).astype(np.float64, copy=False)
    away = ~home
    return _summed(a[away], b[away], nodes.flow[away], n_modules), through, within


def _summed(
    a: np.ndarray, b: np.ndarray, values: np.ndarray, n_modules: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of modules once each, ascending, with the sum of their values."""
    keys = np.minimum(a, b) * np.int64(n_modules)
    keys += np.maximum(a, b)
    keys, order = _sorted(keys, n_modules**2)
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    if len(first) == 0:
        return a, b, values
    sums = np.add.reduceat(values[order], first)
    keys = keys[first]
    low = keys // n_modules
    keys -= low * n_modules
    return low, keys, sums


def _sorted(keys: np.ndarray, n_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys in [0, n_keys), ascending, and their order; equal ones stay as they are."""
    bits = max(1, (len(keys) - 1).bit_length())
    if (n_keys << bits) >= 2**63:
        order = np.argsort(keys, kind="stable")
        return keys[order], order
    # Several times quicker than to look up what is compared: the place is part of the number.
    packed = keys << bits
    packed |= np.arange(len(keys))
    packed.sort()
    keys = packed >> bits
    packed &= (1 << bits) - 1
    return keys, packed
