"""What a file must hold: specifications of arrays, checks of JSON values, and the error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

# Largest extent of one axis: no product of a few overflows.
MAX_EXTENT = 2**40


class SavedFileError(ValueError):
    """A file that `HiLanderClustering.load` does not understand; the message says what to do."""


@dataclass(frozen=True)
class ArraySpec:
    """What a file must hold under one name.

    Attributes
    ----------
    shape : tuple of int
    dtype : {"float32", "float64", "int64", "uint64", "uint32"}
    low, high : float or int, optional
        Least and largest value; floats must be finite in any case.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float | None = None
    high: float | None = None

    def check(self, name: str, array: np.ndarray) -> None:
        """Check the values.

        Raises
        ------
        SavedFileError
        """
        if array.size == 0:
            return
        # A NaN makes both ends NaN, and an infinity is one of them: no copy is needed.
        least, largest = array.min(), array.max()
        if not (np.isfinite(least) and np.isfinite(largest)):
            raise SavedFileError(f"array {name!r} holds NaN or infinity.")
        if (self.low is not None and least < self.low) or (
            self.high is not None and largest > self.high
        ):
            raise SavedFileError(
                f"array {name!r} has values from {least} to {largest}, out of "
                f"[{self.low}, {self.high}]."
            )


def check_keys(mapping: object, names: set[str], where: str) -> dict:
    """A JSON object with exactly these keys.

    Raises
    ------
    SavedFileError
        As all the checks below.
    """
    if not isinstance(mapping, dict):
        raise SavedFileError(f"{where} is not an object.")
    if mapping.keys() != names:
        odd = sorted(mapping.keys() ^ names)[:5]
        raise SavedFileError(f"{where} has unknown or missing entries: {', '.join(odd)[:200]}.")
    return mapping


def check_list(value: object, where: str) -> list:
    """A JSON array."""
    if not isinstance(value, list):
        raise SavedFileError(f"{where} is not a list.")
    return value


def check_int(value: object, where: str, low: int = 0, high: int = MAX_EXTENT) -> int:
    """An integer from `low` to `high`."""
    if type(value) is not int or not low <= value <= high:
        raise SavedFileError(f"{where} is not an integer from {low} to {high}.")
    return value


def check_float(value: Any, where: str, low: float = 0.0, high: float = math.inf) -> float:
    """A finite number from `low` to `high`."""
    if type(value) not in (int, float) or not (low <= value <= high and math.isfinite(value)):
        raise SavedFileError(f"{where} is not a finite number from {low} to {high}.")
    return float(value)
