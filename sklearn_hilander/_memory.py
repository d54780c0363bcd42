"""How much memory a computation needs, and whether that is there, before anything is allocated.

A process that takes more memory than there is gets killed, without an error and without what it had
done. The estimates were fitted to peaks that ``python -m benchmarks.memory`` measured, which depend
on the data too: only what is clearly too much is refused.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

# A computation is refused if it is estimated to need more than so many times what is available.
MARGIN = 1.25
_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")
# Control groups without a limit have one of about 2^63.
_UNLIMITED = 2**60
# Similarities that the exact search holds at once.
_SEARCHED_CELLS = 32_000_000
# Edges that the paper's network takes at once.
_HEAD_EDGES = 1_280


IN_PARTS = "Fit some rows, then the others in parts by partial_fit(..., min_growth=None)."
_WAY_OUT = {
    "relational": f"{IN_PARTS} Fewer n_neighbors need less, architecture='untrained' much less.",
    "gcn": f"{IN_PARTS} A smaller hidden_dim and fewer n_neighbors need less.",
    "gat": f"{IN_PARTS} A smaller hidden_dim and fewer n_neighbors need less.",
    "none": f"{IN_PARTS} Fewer n_neighbors need less.",
}
_WAY_OUT_OF_TRAINING = {
    "relational": "Train on fewer classes, or with fewer n_neighbors.",
    "gcn": "Train on fewer classes, or with a smaller batch_size or hidden_dim.",
    "gat": "Train on fewer classes, or with a smaller batch_size or hidden_dim.",
    "none": "Train on fewer classes.",
}


def check_clustering_memory(
    shape: tuple[int, int], n_neighbors: int, encoder: str, hidden_dim: int = 0
) -> None:
    """Refuse a clustering that would clearly take too much; see `clustering_need`.

    Raises
    ------
    MemoryError
    """
    n_rows, n_features = shape
    check_memory(
        f"Clustering {n_rows:,} rows of {n_features:,} features with n_neighbors={n_neighbors}",
        n_rows,
        lambda n: clustering_need(n, n_features, n_neighbors, encoder, hidden_dim),
        _WAY_OUT[encoder],
    )


def check_training_memory(
    shape: tuple[int, int], n_neighbors: int, encoder: str, hidden_dim: int, batch_size: int
) -> None:
    """Refuse a meta-training that would clearly take too much; see `training_need`.

    Raises
    ------
    MemoryError
    """
    n_rows, n_features = shape
    check_memory(
        f"Meta-training on {n_rows:,} rows of {n_features:,} features with "
        f"n_neighbors={n_neighbors}",
        n_rows,
        lambda n: training_need(n, n_features, n_neighbors, encoder, hidden_dim, batch_size),
        _WAY_OUT_OF_TRAINING[encoder],
    )


def clustering_need(
    n_rows: int, n_features: int, n_neighbors: int, encoder: str, hidden_dim: int = 0
) -> float:
    """Bytes that clustering takes beside the rows and their embeddings.

    Parameters
    ----------
    n_rows : int
        Without copies.
    n_features, n_neighbors : int
    encoder : {"relational", "gcn", "gat", "none"}
    hidden_dim : int, default=0
        Of the paper's network.

    Returns
    -------
    float
    """
    k = min(n_neighbors, n_rows)
    search = 4 * min(n_rows**2, _SEARCHED_CELLS)
    if encoder == "relational":
        # What is held of pairs, their common neighbours and a flow along all of them, beside the
        # whitened rows; or the search, of few rows.
        pairs = n_rows * (150 * k + 8 * n_features)
        return max(pairs, 2 * search + 0.3 * pairs)
    levels = n_rows * (60 * k + 16 * n_features)
    head = 5 * min(n_rows * k, _HEAD_EDGES) * hidden_dim + 12 * n_rows * hidden_dim
    return levels + max(search, head) + min(search, head) / 4


def training_need(
    n_rows: int,
    n_features: int,
    n_neighbors: int,
    encoder: str,
    hidden_dim: int,
    batch_size: int,
) -> float:
    """Bytes that meta-training takes beside the rows and their embeddings.

    Parameters
    ----------
    n_rows, n_features, n_neighbors, encoder
        As in `clustering_need`.
    hidden_dim, batch_size : int

    Returns
    -------
    float
    """
    k = min(n_neighbors, n_rows)
    clustering = clustering_need(n_rows, n_features, n_neighbors, encoder, hidden_dim)
    if encoder == "none":
        return clustering
    if encoder == "relational":
        # Lessons of the judge, of which so many are kept, beside the relations.
        return 1.3 * clustering + 1e8 * min(1, n_rows / 2_000)
    batch = min(n_rows, batch_size)
    # Activations kept for the gradient, of a batch's edges and of the nodes that they lead to;
    # levels at three numbers of neighbours.
    reached = min(n_rows, batch * (k + 1))
    activations = hidden_dim * (16 * batch * k + 24 * reached)
    return max(clustering, activations + n_rows * (100 * k + 40 * n_features))


def embedding_need(n_rows: int, n_features: int) -> float:
    """Bytes of the embeddings of rows."""
    return n_rows * (4 * n_features + 40)


def check_memory(what: str, n_rows: int, need: Callable[[int], float], way_out: str) -> None:
    """Refuse what would clearly take more memory than there is.

    Parameters
    ----------
    what : str
        The computation, as the error names it.
    n_rows : int
    need : callable
        Number of rows -> bytes.
    way_out : str
        What to do.

    Raises
    ------
    MemoryError
    """
    available = available_memory()
    if available is None or need(n_rows) <= MARGIN * available:
        return
    fit, too_many = 0, n_rows
    while too_many - fit > max(1, fit // 100):
        middle = (fit + too_many) // 2
        fit, too_many = (middle, too_many) if need(middle) <= available else (fit, middle)
    raise MemoryError(
        f"{what} needs about {_in_words(need(n_rows))} of memory, and {_in_words(available)} "
        f"are available: enough for about {_rounded(fit):,} rows of {n_rows:,}. {way_out}"
    )


def available_memory() -> int | None:
    """Bytes that this process can still take; None where that is not known.

    The least of what the system has left, swap space included, what the control groups of the
    process leave (Linux), and its limit on address space (POSIX). Where the system does not say how
    much is left, all of its memory counts.
    """
    found = [*_of_system(), *_of_control_groups(), *_of_address_space()]
    return max(0, min(found)) if found else None


def give_back_memory() -> None:
    """Give what was freed back to the system, where the allocator would hold on to it (glibc).

    It keeps freed arrays of up to 32 MB, between which others do not fit.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _of_system() -> Iterator[int]:
    with suppress(OSError, ValueError, KeyError):
        lines = (_PROC / "meminfo").read_text().splitlines()
        fields = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
        yield 1024 * (fields["MemAvailable"] + fields.get("SwapFree", 0))
        return
    with suppress(AttributeError, OSError, ValueError):
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if size > 0:
            yield size


def _of_control_groups() -> Iterator[int]:
    """Version 2 and version 1, of the group of this process and those that it is in."""
    with suppress(OSError, ValueError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                root, limit, usage = _CGROUP, "memory.max", "memory.current"
                cached = "inactive_file"
            elif "memory" in controllers.split(","):
                root, limit, usage = (
                    _CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
                )  # fmt: skip
                cached = "total_inactive_file"
            else:
                continue
            # In a container the path may be one outside of it: its own group is then the root.
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder == root.parent:
                    break
                yield from _left_of_group(folder, limit, usage, cached)


def _left_of_group(folder: Path, limit: str, usage: str, cached: str) -> Iterator[int]:
    """The limit of a group less what is taken; files that can be dropped do not count as taken."""
    with suppress(OSError, ValueError):
        most = (folder / limit).read_text().strip()
        if most == "max" or int(most) >= _UNLIMITED:
            return
        taken = int((folder / usage).read_text())
        with suppress(OSError, ValueError, KeyError):
            lines = (folder / "memory.stat").read_text().splitlines()
            taken -= int(dict(line.split() for line in lines)[cached])
        yield int(most) - taken


def _of_address_space() -> Iterator[int]:
    if resource is None:
        return
    with suppress(OSError, ValueError, AttributeError):
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            taken = int((_PROC / "self" / "statm").read_text().split()[0])
            yield limit - taken * resource.getpagesize()


def _in_words(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.0f} MB"


def _rounded(n_rows: int) -> int:
    """Two leading digits: it is an estimate."""
    unit = 10 ** max(0, len(str(n_rows)) - 2)
    return n_rows // unit * unit
