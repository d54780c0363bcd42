"""Classes, groups and other ids as users give them: which rows have none."""

from __future__ import annotations

from typing import Any

import numpy as np


def find_missing(values: np.ndarray) -> np.ndarray:
    """Where values are missing.

    Parameters
    ----------
    values : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n,), bool
        True for None, NaN, NaT and pandas' NA.
    """
    if values.dtype.kind == "O":
        return np.array([_is_missing(value) for value in values.tolist()], dtype=bool)
    # NaN and NaT are not themselves.
    return np.asarray(values != values, dtype=bool)


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA has no truth value
        return True
    except ValueError:  # nor has an array
        return False
