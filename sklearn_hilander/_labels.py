"""Classes, groups and other ids as users give them: which rows have none."""

from __future__ import annotations

from numbers import Integral, Number
from typing import Any

import numpy as np


def as_given(values: Any) -> np.ndarray:
    """Values as an array that alters none of them.

    Beside texts, NumPy makes texts of the -1 and the NaN of a list; beside NaN it makes floats of
    integers, the large ones of which then are the same.

    Parameters
    ----------
    values : array-like

    Returns
    -------
    ndarray
        Of objects, if it is a list of texts, of texts and other things, or of integers and floats.

    Raises
    ------
    ValueError
        For a ragged list.
    """
    array = np.asarray(values)
    if isinstance(values, (list, tuple)) and (
        array.dtype.kind in "US"
        or (array.dtype.kind == "f" and any(isinstance(value, Integral) for value in values))
    ):
        return np.asarray(values, dtype=object)
    return array


def find_none(values: np.ndarray) -> np.ndarray:
    """Where values are neither a class nor a group: missing, or the number -1.

    Parameters
    ----------
    values : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n,), bool
    """
    none = find_missing(values)
    if values.dtype.kind == "O":
        minus_one = (isinstance(value, Number) and value == -1 for value in values.tolist())
        return none | np.fromiter(minus_one, dtype=bool, count=len(values))
    return none | (values == -1) if values.dtype.kind in "if" else none


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


def as_integers(values: np.ndarray) -> np.ndarray:
    """Floats that are all whole as integers: those with gaps come as floats from a data frame.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Without NaN.

    Returns
    -------
    ndarray of shape (n,)
        As it was if any has a fraction, is infinite or too large for int64.
    """
    if values.dtype.kind != "f" or (values != np.round(values)).any():
        return values
    fits = np.abs(values.astype(np.float64)) < 2.0**63
    return values.astype(np.int64) if fits.all() else values


def _is_missing(value: Any) -> bool:
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas' NA has no truth value
        return True
    except ValueError:  # nor has an array
        return False
