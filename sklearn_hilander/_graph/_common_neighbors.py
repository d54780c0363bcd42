"""The neighbours that two samples share, and sums over them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import scipy.sparse as sp

from sklearn_hilander._device import even_slices, in_threads
from sklearn_hilander._graph._adjacency import Adjacency

# Cells of the table that tells a block of samples who their neighbours are: 1 or 2 bytes each.
_TABLE_CELLS = 16_000_000
_FEWEST_ROWS, _MOST_ROWS = 64, 256
# Triangles that sums are taken over at once: temporary arrays stay in the cache.
_BLOCK_TRIANGLES = 250_000
# Nodes whose triangles one thread finds, unless that makes too many parts: each has such a table.
_PART_ROWS, _MOST_PARTS = 8_192, 16

# Slice of pairs; the place of the common neighbour of each triangle at either end.
_Block = tuple[slice, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class CommonNeighbors:
    """The samples that are adjacent to both ends of a pair: its triangles.

    A triangle is two entries of the adjacency, one of either end; they are kept as places among
    the entries of that end, which takes a byte where no sample has 256 neighbours or more.

    Attributes
    ----------
    graph : Adjacency
    order : ndarray of shape (n_pairs,), int32 or int64
        Pair of each row below.
    n_common : ndarray of shape (n_pairs,), uint8 or wider
        Triangles of each row.
    blocks : tuple of (rows, at_i, at_j)
        Slice of the rows, and of each of their triangles in turn the place of the common neighbour
        among the entries of the pair's i, and of its j; uint8, or wider where that is too small.
    """

    graph: Adjacency
    order: np.ndarray
    n_common: np.ndarray
    blocks: tuple[tuple[slice, np.ndarray, np.ndarray], ...]

    @property
    def counts(self) -> np.ndarray:
        """Number of common neighbours of each pair, (n_pairs,), uint8 or wider."""
        return self._in_order(self.n_common)

    def counts_within(self, ranks: np.ndarray, most: list[int]) -> list[np.ndarray]:
        """Number of common neighbours of at most some ranks at both ends.

        Parameters
        ----------
        ranks : ndarray of shape (2 * n_pairs,)
            Of the entries (`entry_ranks`).
        most : list of int

        Returns
        -------
        list of ndarray of shape (n_pairs,), uint8 or wider
        """
        out = [np.empty_like(self.n_common) for _ in most]

        def count(block: _Block) -> None:
            rows, pointers, from_i, from_j = self._entries(block)
            rank = np.maximum(ranks[from_i], ranks[from_j])
            for counts, within in zip(out, most, strict=True):
                total = np.concatenate([[0], np.cumsum(rank <= within)])
                counts[rows] = total[pointers[1:]] - total[pointers[:-1]]

        in_threads(count, self.blocks)
        return [self._in_order(counts) for counts in out]

    def products(self, values: np.ndarray) -> np.ndarray:
        """Sum of the products of the values of the two other sides, (n_pairs,), float32."""
        values = self.graph.at_entries(values)
        out = np.empty(len(self.order), dtype=np.float32)

        def add(block: _Block) -> None:
            rows, pointers, from_i, from_j = self._entries(block)
            out[rows] = _row_sums(values[from_j], from_i, pointers, values)

        in_threads(add, self.blocks)
        return self._in_order(out)

    def sums(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sum of the values of the sides at i, and of those at j; each (n_pairs,), float32."""
        values = self.graph.at_entries(values)
        out = np.empty((2, len(self.order)), dtype=np.float32)

        def add(block: _Block) -> None:
            rows, pointers, *sides = self._entries(block)
            ones = np.ones(len(sides[0]), dtype=np.float32)
            for of_side, entries in zip(out, sides, strict=True):
                of_side[rows] = _row_sums(ones, entries, pointers, values)

        in_threads(add, self.blocks)
        return self._in_order(out[0]), self._in_order(out[1])

    def _entries(self, block: _Block) -> tuple[slice, np.ndarray, np.ndarray, np.ndarray]:
        """Rows, where the triangles of each begin, and the two entries of each triangle."""
        graph = self.graph
        rows, at_i, at_j = block
        counts, pairs = self.n_common[rows], self.order[rows]
        dtype = graph.entries.dtype
        pointers = np.zeros(len(counts) + 1, dtype=dtype)
        np.cumsum(counts, dtype=dtype, out=pointers[1:])
        first_i, first_j = (graph.pointers[end[pairs]].astype(dtype) for end in (graph.i, graph.j))
        from_i = np.repeat(first_i, counts) + at_i.astype(dtype)
        from_j = np.repeat(first_j, counts) + at_j.astype(dtype)
        return rows, pointers, from_i, from_j

    def _in_order(self, of_rows: np.ndarray) -> np.ndarray:
        out = np.empty_like(of_rows)
        out[self.order] = of_rows
        return out


def _row_sums(
    factors: np.ndarray, entries: np.ndarray, pointers: np.ndarray, values: np.ndarray
) -> np.ndarray:
    """Of each row the sum of its factors times the values of their entries."""
    matrix = sp.csr_array((factors, entries, pointers), shape=(len(pointers) - 1, len(values)))
    return matrix @ values


def common_neighbors(graph: Adjacency) -> CommonNeighbors:
    """Find the triangles of a graph.

    For each pair the neighbours of the end that has fewer are looked up among those of the other:
    hubs cost no more than their neighbours do.

    Parameters
    ----------
    graph : Adjacency

    Returns
    -------
    CommonNeighbors
    """
    degree = np.diff(graph.pointers)
    swapped = degree[graph.i] < degree[graph.j]
    base = np.where(swapped, graph.j, graph.i).astype(np.int32)
    order = np.argsort(base, kind="stable").astype(graph.entries.dtype, copy=False)
    bounds = np.searchsorted(base[order], np.arange(graph.n_nodes + 1))
    del base
    n_common = np.zeros(len(order), dtype=np.int32)

    def find(part: slice) -> list[_Block]:
        nodes = range(part.start, part.stop)
        return list(_joined(_find(graph, nodes, degree, swapped, order, bounds, n_common)))

    parts = even_slices(graph.n_nodes, _PART_ROWS, _MOST_PARTS)
    blocks = tuple(chain.from_iterable(in_threads(find, parts)))
    n_common = n_common.astype(np.min_scalar_type(int(n_common.max(initial=0))))
    return CommonNeighbors(graph, order, n_common, blocks)


def _find(
    graph: Adjacency,
    nodes: range,
    degree: np.ndarray,
    swapped: np.ndarray,
    order: np.ndarray,
    bounds: np.ndarray,
    n_common: np.ndarray,
) -> Iterator[_Block]:
    """Blocks of triangles of these nodes, of some at a time; fills in their number."""
    n, pointers, columns = graph.n_nodes, graph.pointers, graph.columns
    # A place is less than the largest degree: the last number is none.
    place = np.min_scalar_type(int(degree.max(initial=0)))
    none = np.iinfo(place).max
    n_rows = min(_MOST_ROWS, max(_FEWEST_ROWS, _TABLE_CELLS // max(n, 1)), len(nodes))
    cells = np.full(n_rows * n, none, dtype=place)
    for start in nodes[::n_rows]:
        stop = min(start + n_rows, nodes.stop)
        pairs = slice(bounds[start], bounds[stop])
        if pairs.start == pairs.stop:
            continue
        of_block = order[pairs]
        i, j, turned = graph.i[of_block], graph.j[of_block], swapped[of_block]
        base, other = np.where(turned, j, i), np.where(turned, i, j)
        own = slice(pointers[start], pointers[stop])
        at = np.repeat(np.arange(stop - start) * n, degree[start:stop]) + columns[own]
        cells[at] = np.arange(own.start, own.stop) - np.repeat(
            pointers[start:stop], degree[start:stop]
        )
        n_steps = degree[other]
        ends = np.cumsum(n_steps)
        steps = np.arange(ends[-1]) + np.repeat(pointers[other] - ends + n_steps, n_steps)
        at_base = cells[np.repeat((base - start) * n, n_steps) + columns[steps]]
        cells[at] = none
        hits = np.flatnonzero(at_base != none)
        counts = np.diff(np.searchsorted(hits, ends), prepend=0)
        n_common[pairs] = counts
        at_base = at_base[hits]
        at_other = (hits - np.repeat(ends - n_steps, counts)).astype(place)
        turned = np.repeat(turned, counts)
        yield pairs, np.where(turned, at_other, at_base), np.where(turned, at_base, at_other)


def _joined(blocks: Iterable[_Block]) -> Iterator[_Block]:
    """Neighbouring blocks as one, up to so many triangles."""
    waiting: list[_Block] = []
    n_triangles = 0
    for block in chain(blocks, [None]):
        if waiting and (block is None or n_triangles + len(block[1]) > _BLOCK_TRIANGLES):
            rows, at_i, at_j = zip(*waiting, strict=True)
            whole = slice(rows[0].start, rows[-1].stop)
            yield whole, np.concatenate(at_i), np.concatenate(at_j)
            waiting, n_triangles = [], 0
        if block is not None:
            waiting.append(block)
            n_triangles += len(block[1])
