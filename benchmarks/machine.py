"""What a figure was measured on."""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("sklearn-hilander", "scikit-learn", "torch", "numpy", "scipy", "hnswlib")


def describe_machine() -> dict:
    """Machine, versions and commit, for the head of a JSON file."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "versions": versions,
        "commit": commit or None,
    }


def describe_gpu() -> dict:
    """The GPU that this process has computed on, if any, and the most memory it held there."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.max_memory_allocated():
        return {}
    return {
        "gpu": torch.cuda.get_device_name(),
        "gpu_memory_mb": torch.cuda.max_memory_allocated() / 1e6,
    }


def peak_memory_mb() -> float:
    """Largest resident size of this process so far, or since `start_of_memory`, in MB."""
    with suppress(OSError):
        return _resident("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def start_of_memory(*, trim: bool = True) -> float:
    """Resident size of this process, in MB; from here on `peak_memory_mb` counts afresh (Linux).

    What was freed before would hide what comes: with `trim` it is given back to the system.
    """
    if trim:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return _resident("VmRSS")
    except OSError:
        return peak_memory_mb()


def _resident(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError(field)
