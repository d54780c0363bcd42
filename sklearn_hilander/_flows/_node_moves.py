"""Single nodes of a flow to better modules, as long as that shortens the description."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._flows._map_equation import LEAST_GAIN, Totals, best_of_both

_MOVE_ROUNDS = 20
# Nodes whose moves are worked out at once.
_BLOCK_NODES = 8_192


def move_single_nodes(
    nodes: sp.csr_array, labels: np.ndarray, fixed: np.ndarray | None
) -> tuple[np.ndarray, float]:
    """Move nodes to better modules, at most one into or out of each module a round.

    Every move changes a little what moves of all other nodes gain, too: a node that gains by none
    is looked at again only once its module or one beside it has changed.
    """
    through = np.asarray(nodes.sum(axis=1)).reshape(-1)
    rows = np.arange(len(labels))
    to_home = _flow_to_home(nodes, labels, rows)
    state = _totals(labels, through, to_home)
    length = state.codelength()
    for _ in range(_MOVE_ROUNDS):
        moves = _gaining_moves(nodes, labels, through, to_home, state, fixed, rows)
        node, module, gain = (np.concatenate(parts) for parts in zip(*moves, strict=True))
        chosen = best_of_both(gain, labels[node], module, len(state.leaving))
        if not chosen.any():
            break
        has_changed = np.zeros(len(state.leaving), dtype=bool)
        has_changed[labels[node[chosen]]] = has_changed[module[chosen]] = True
        moved = labels.copy()
        moved[node[chosen]] = module[chosen]
        # Numbered anew, in the same order.
        is_left = np.bincount(moved, minlength=len(has_changed)) > 0
        moved, has_changed = (np.cumsum(is_left) - 1)[moved], has_changed[is_left]
        beside = np.unique(np.concatenate([node[chosen], nodes[node[chosen]].indices]))
        to_home = to_home.copy()
        to_home[beside] = _flow_to_home(nodes, moved, beside)
        state = _totals(moved, through, to_home)
        if not state.codelength() < length - LEAST_GAIN:
            break
        labels, length = moved, state.codelength()
        again = has_changed[labels]
        again |= nodes @ again.astype(nodes.dtype) > 0
        again[node[~chosen]] = True
        rows = np.flatnonzero(again)
    return labels, length


def _gaining_moves(
    nodes: sp.csr_array,
    labels: np.ndarray,
    through: np.ndarray,
    to_home: np.ndarray,
    state: Totals,
    fixed: np.ndarray | None,
    rows: np.ndarray,
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Node, module and gain of each move of one of these nodes that shortens the description."""
    n, q, p = len(labels), state.leaving, state.visited
    belongs = sp.csr_array((np.ones(n), labels, np.arange(n + 1)), shape=(n, len(q)))
    if fixed is not None:
        rows = rows[~fixed[rows]]
    for start in range(0, max(len(rows), 1), _BLOCK_NODES):
        block = rows[start : start + _BLOCK_NODES]
        into = (nodes[block] @ belongs).tocoo()
        node, module, flow = block[into.row], into.col, into.data
        away = module != labels[node]
        node, module, flow = node[away], module[away], flow[away]
        source, own = labels[node], through[node]
        gain = state.gain(
            source,
            module,
            (q[source] - own + 2 * to_home[node], p[source] - own),
            (q[module] + own - 2 * flow, p[module] + own),
        )
        gains = gain >= LEAST_GAIN
        yield node[gains], module[gains], gain[gains]


def _totals(labels: np.ndarray, through: np.ndarray, to_home: np.ndarray) -> Totals:
    """Flow that leaves and visits each module."""
    visited, within = (np.bincount(labels, flow) for flow in (through, to_home))
    return Totals(np.maximum(visited - within, 0), visited)


def _flow_to_home(nodes: sp.csr_array, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Flow from each of these nodes into its own module, (n_rows,), float64."""
    out = np.empty(len(rows))
    for start in range(0, len(rows), _BLOCK_NODES):
        block = rows[start : start + _BLOCK_NODES]
        flows = nodes[block]
        row = np.repeat(np.arange(len(block)), np.diff(flows.indptr))
        home = labels[flows.indices] == labels[block][row]
        out[start : start + len(block)] = np.bincount(row[home], flows.data[home], len(block))
    return out
