"""An order of rows that their distances decide, also where many distances are the same.

Rows whose nearest distances are the same are told apart by whom these lead to, as in the colour
refinement of Weisfeiler and Lehman: a row's colour is a hash of the colours around it and of how
far away they are. Of rows that shared a colour the most keep it, and only those around the others
look again (Hopcroft): all rounds together look at each distance O(log n) times.
"""

from __future__ import annotations

import numpy as np

_ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
_HALF = np.uint64(32)


def canonical_positions(
    pointers: np.ndarray, columns: np.ndarray, distances: np.ndarray, n_neighbors: int
) -> np.ndarray:
    """Place of each row in an order that the distances alone decide.

    By a hash of the row's `n_neighbors` least distances, then by its colour. Rows that no
    distances tell apart, their own or those of whom they lead to, stand as they were.

    Parameters
    ----------
    pointers : ndarray of shape (n + 1,), int64
        Where the distances of each row begin.
    columns : ndarray of shape (n_stored,), int64
        Symmetric, as are the distances.
    distances : ndarray of shape (n_stored,), float64
        Above 0; rising within each row.
    n_neighbors : int

    Returns
    -------
    ndarray of shape (n,), int64
    """
    n = len(pointers) - 1
    rows = np.repeat(np.arange(n), np.diff(pointers))
    rank = np.arange(len(rows)) - pointers[rows]
    near = rank < n_neighbors
    # By their median, and without the last bits: the order is that of the same distances in
    # another unit, or by another program.
    unit = float(np.median(distances[near])) if len(rows) else 1.0
    hashes = _hashes_of_least(rows[near], rank[near], _rounded(distances[near], unit), n)
    colors = hashes
    if len(np.unique(hashes)) < n:
        # The last bits count where nothing else tells rows apart.
        for marks in (_rounded(distances, unit), distances.view(np.uint64)):
            colors = _refined(colors, pointers, columns, marks)
    position = np.empty(n, dtype=np.int64)
    position[np.lexsort((colors, hashes))] = np.arange(n)
    return position


def _rounded(distances: np.ndarray, unit: float) -> np.ndarray:
    return np.round(np.minimum(distances / unit * 2.0**20, 2.0**63)).astype(np.uint64)


def _hashes_of_least(rows: np.ndarray, rank: np.ndarray, bits: np.ndarray, n: int) -> np.ndarray:
    """Hash of each row's own distances; (n,), uint64."""
    multipliers = np.random.default_rng(0).integers(
        1, 2**64, size=int(rank.max(initial=0)) + 1, dtype=np.uint64, endpoint=False
    ) | np.uint64(1)
    hashes = np.zeros(n, dtype=np.uint64)
    np.add.at(hashes, rows, (bits ^ (bits >> _HALF)) * multipliers[rank])
    return hashes


def _refined(
    colors: np.ndarray, pointers: np.ndarray, columns: np.ndarray, marks: np.ndarray
) -> np.ndarray:
    """Colours after as many rounds as tell further rows apart; (n,), uint64."""
    colors = colors.copy()
    n = len(colors)
    _, part, counts = np.unique(colors, return_inverse=True, return_counts=True)
    part, n_parts = part.reshape(-1), len(counts)
    sizes = np.zeros(n, dtype=np.int64)
    sizes[:n_parts] = counts
    sums, is_seeing = np.zeros(n, dtype=np.uint64), np.zeros(n, dtype=bool)
    # At first every row whose colour others share looks around; then those around a changed one.
    seeing, at = _entries(pointers, np.flatnonzero(sizes[part] > 1))
    seen = columns[at]
    while len(seeing):
        np.add.at(sums, seeing, _mixed(colors[seen], marks[at]))
        is_seeing[seeing] = True
        rows = np.flatnonzero(is_seeing)
        is_seeing[rows] = False
        rows = _with_few_others(rows, part, sizes)
        rows = rows[np.lexsort((sums[rows], part[rows]))]
        found, of = sums[rows], part[rows]
        sums[rows] = 0
        starts = np.flatnonzero(np.r_[True, (of[1:] != of[:-1]) | (found[1:] != found[:-1])])
        lengths = np.diff(np.r_[starts, len(rows)])
        leaves = ~_stays(of[starts], lengths, sizes)
        np.subtract.at(sizes, of[starts[leaves]], lengths[leaves])
        numbers = n_parts + np.arange(leaves.sum())
        n_parts += len(numbers)
        sizes[numbers] = lengths[leaves]
        leaving = np.repeat(leaves, lengths)
        changed = rows[leaving]
        part[changed] = np.repeat(numbers, lengths[leaves])
        # With the number of parts: who sees nothing new leaves with another colour each time.
        colors[changed] = _mixed(colors[changed], found[leaving] + np.uint64(n_parts))
        seen, at = _entries(pointers, changed)
        seeing = columns[at]
        alike = sizes[part[seeing]] > 1
        seeing, seen, at = seeing[alike], seen[alike], at[alike]
    return colors


def _with_few_others(rows: np.ndarray, part: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Rows, and the other rows of those parts of which most are among them already."""
    parts, counts = np.unique(part[rows], return_counts=True)
    others = sizes[parts] - counts
    few = parts[(others > 0) & (others < counts)]
    if not len(few):
        return rows
    wanted = np.zeros(len(part), dtype=bool)
    wanted[few] = True
    wanted = wanted[part]
    wanted[rows] = True
    return np.flatnonzero(wanted)


def _stays(part: np.ndarray, lengths: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Whether each piece of a part is the one that keeps its colour; (n_pieces,), bool.

    Where pieces are not all of the part, the rest keeps it; else the first of the largest.
    """
    starts = np.flatnonzero(np.r_[True, part[1:] != part[:-1]])
    largest = np.maximum.reduceat(lengths, starts)
    is_whole = sizes[part[starts]] == np.add.reduceat(lengths, starts)
    of = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(part)]))
    candidates = np.flatnonzero((lengths == largest[of]) & is_whole[of])
    stays = np.zeros(len(part), dtype=bool)
    stays[candidates[np.unique(of[candidates], return_index=True)[1]]] = True
    return stays


def _entries(pointers: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each stored distance of some rows: its row, and where it is stored."""
    lengths = pointers[rows + 1] - pointers[rows]
    before = np.cumsum(lengths) - lengths
    at = np.arange(lengths.sum()) + np.repeat(pointers[rows] - before, lengths)
    return np.repeat(rows, lengths), at


def _mixed(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Hash of each pair of numbers; uint64."""
    mixed = (one ^ (one >> _HALF)) * _ODD[0] + (other ^ (other >> _HALF)) * _ODD[1]
    return (mixed ^ (mixed >> _HALF)) * _ODD[0]
