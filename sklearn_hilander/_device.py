"""Where and on how many threads to compute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from joblib import effective_n_jobs


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
def thread_limit(n_jobs: int | None) -> Iterator[int]:
    """Let torch use `n_jobs` threads inside the block, and give their number.

    Parameters
    ----------
    n_jobs : int or None
        None leaves torch as it is; -1 means all cores, as in joblib.

    Yields
    ------
    int
        Threads in use.
    """
    before = torch.get_num_threads()
    if n_jobs is None:
        yield before
        return
    torch.set_num_threads(effective_n_jobs(n_jobs))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
