"""Where and on how many threads to compute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from threadpoolctl import ThreadpoolController  # which scikit-learn requires


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


def in_threads(compute: Callable[[int], object], starts: Iterable[int]) -> None:
    """Compute blocks by one thread each, as many at a time as torch has threads.

    Parameters
    ----------
    compute : callable
        Of the first row of a block. numpy's linear algebra has one thread in it.
    starts : iterable of int
    """
    starts = list(starts)
    n_threads = min(torch.get_num_threads(), len(starts))
    with _threadpools().limit(limits=1, user_api="blas"):
        if n_threads > 1:
            with ThreadPoolExecutor(n_threads) as pool:
                list(pool.map(compute, starts))
        else:
            for start in starts:
                compute(start)


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
