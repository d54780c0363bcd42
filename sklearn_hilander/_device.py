"""Where and on how many threads to compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import numpy as np
import torch
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController  # which scikit-learn requires

T = TypeVar("T")
R = TypeVar("R")


def resolve_device(device: str) -> torch.device:
    """The torch device of a parameter value.

    Parameters
    ----------
    device : str
        "auto" means CUDA if there is one, else the CPU.

    Returns
    -------
    torch.device

    Raises
    ------
    ValueError
        If torch does not know the device, or this machine does not have it.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
        if torch.empty(0, device=resolved).is_meta:
            raise RuntimeError("it holds no values")
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here ({str(error).splitlines()[0]}). "
            "Use 'auto', 'cpu', or a device that torch lists on this machine."
        ) from error
    return resolved


@contextmanager
def thread_limit(n_jobs: int | None, *, repeatable: bool = False) -> Iterator[int]:
    """Let torch and numpy use `n_jobs` threads inside the block, and give torch's number.

    Parameters
    ----------
    n_jobs : int or None
        None leaves them as they are; -1 means all cores, as in joblib, or in a worker of joblib as
        many as it was given.
    repeatable : bool, default=False
        Give up on speed that costs the same bits in the next run: numpy's linear algebra gets one
        thread, and torch adds on the CPU in a fixed order.

    Yields
    ------
    int
        Threads of torch.
    """
    before = torch.get_num_threads()
    if n_jobs is not None:
        torch.set_num_threads(_n_threads(n_jobs))
    n_threads = torch.get_num_threads()
    blas = 1 if repeatable else None if n_jobs is None else n_threads
    try:
        with _threadpools().limit(limits=blas, user_api="blas"), _fixed_order(repeatable):
            yield n_threads
    finally:
        torch.set_num_threads(before)


def _n_threads(n_jobs: int) -> int:
    wanted = effective_n_jobs(n_jobs)
    backend: Any = get_active_backend()[0]
    if n_jobs < 0 and backend.nesting_level:
        # joblib says in the environment of its workers, which torch reads, how many are theirs.
        return min(wanted, torch.get_num_threads())
    return wanted


def in_threads(compute: Callable[[T], R], blocks: Iterable[T]) -> list[R]:
    """Compute blocks by one thread each, as many at a time as torch has threads.

    What is computed must not depend on the order of the blocks. Nor should the blocks depend on the
    number of threads: then the result does not.

    Parameters
    ----------
    compute : callable
        Of a block. Linear algebra of numpy and torch has one thread in it, and so have blocks
        within blocks.
    blocks : iterable
        For instance the first row of each.

    Returns
    -------
    list
        What `compute` gives for each block, in their order.
    """
    blocks = list(blocks)
    before = torch.get_num_threads()
    n_threads = min(before, len(blocks))
    with _threadpools().limit(limits=1, user_api="blas"):
        if n_threads < 2:
            return [compute(block) for block in blocks]
        # New threads ask torch how many are theirs when they first compute.
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(n_threads) as pool:
                return list(pool.map(compute, blocks))
        finally:
            torch.set_num_threads(before)


def even_slices(n_rows: int, longest: int, most: int | None = None) -> list[slice]:
    """Slices of about equal length, none longer than that unless there would be more than most."""
    if most is not None:
        longest = max(longest, -(-n_rows // most))
    edges = np.linspace(0, n_rows, -(-n_rows // longest) + 1).astype(int).tolist()
    return list(map(slice, edges[:-1], edges[1:]))


def table_slices(widths: np.ndarray, n_cells: int, most_rows: int | None = None) -> Iterator[slice]:
    """Slices of rows, each a table as wide as its widest row, of so many cells at most.

    One row is a slice, however wide it is.
    """
    start = 0
    while start < len(widths):
        widest = np.maximum.accumulate(widths[start : start + (most_rows or n_cells)])
        cells = widest * np.arange(1, len(widest) + 1)
        stop = start + max(1, int(np.searchsorted(cells, n_cells, side="right")))
        yield slice(start, stop)
        start = stop


@cache
def _threadpools() -> ThreadpoolController:
    """The thread pools of the process; found once, since looking takes tens of milliseconds."""
    return ThreadpoolController()


@contextmanager
def _fixed_order(wanted: bool) -> Iterator[None]:
    """Let torch use kernels alone whose sums have one order, and put its settings back."""
    if not wanted:
        yield
        return
    mode = torch.get_deterministic_debug_mode()
    # A property of the module, which torch's hints do not know.
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    # `use_deterministic_algorithms` would import torch's compiler: seconds in each process.
    torch.set_deterministic_debug_mode("error")
    # No kernel here reads what it did not write.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        memory.fill_uninitialized_memory = fill
        torch.set_deterministic_debug_mode(mode)
