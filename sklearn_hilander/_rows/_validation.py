"""Rows as they come to rows that can be worked with; errors that name the row."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_scalar, validate_data

from sklearn_hilander._labels import as_given, find_missing, find_none

_FLOATS = [np.float64, np.float32, np.float16]


@overload
def check_rows(estimator: Any, X: Any, y: None = None, *, reset: bool = True) -> np.ndarray: ...


@overload
def check_rows(
    estimator: Any, X: Any, y: ArrayLike, *, reset: bool = True
) -> tuple[np.ndarray, np.ndarray]: ...


def check_rows(estimator: Any, X: Any, y: Any = None, *, reset: bool = True) -> Any:
    """scikit-learn's ``validate_data``, with errors that name the row.

    Parameters
    ----------
    estimator : estimator
    X : array-like of shape (n_samples, n_features)
        Also a torch tensor, of bfloat16 too. Arrays of float64, float32 and float16, memory-mapped
        ones among them, are not copied.
    y : array-like of shape (n_samples,), optional
    reset : bool, default=True
        As in ``validate_data``.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float64, float32 or float16
    y : ndarray of shape (n_samples,)
        Only if given.

    Raises
    ------
    TypeError
        For a generator, sparse rows and what numpy cannot make numbers of.
    ValueError
        As ``validate_data`` does, and for masked values, whose numbers would count otherwise. In
        `y`, also for missing labels and for types that have no common order.
    """
    if isinstance(X, Iterator):
        raise TypeError(
            f"X is a {type(X).__name__}, which can be read once only: pass a list or an array."
        )
    X = _readable(X)
    if np.ma.is_masked(X):
        rows = np.flatnonzero(np.ma.getmaskarray(X).any(axis=tuple(range(1, X.ndim))))
        raise ValueError(f"X has masked values in {_name_rows(rows)}: fill them, or drop the rows.")
    if y is None:
        given: dict[str, Any] = {}
    else:
        given = {"y": check_classes(y)}
    try:
        return validate_data(estimator, X, **given, dtype=_FLOATS, reset=reset)
    except ValueError as error:
        for find, what in (
            (_not_finite, "not all values are finite"),
            (_not_numbers, "not all values are numbers"),
            (_of_other_length, "not as many values as in row 0"),
        ):
            if len(rows := find(X)):
                raise ValueError(f"{_name_rows(rows)} of X: {what}. {error}") from error
        raise


def check_real(value: Any, name: str, **bounds: Any) -> None:
    """scikit-learn's ``check_scalar`` of a real number, but for NaN, which no bound excludes."""
    check_scalar(value, name, Real, **bounds)
    if np.isnan(value):
        raise ValueError(f"{name} is NaN: a number is wanted.")


def _readable(X: Any) -> Any:
    """A tensor as an array; bfloat16, which numpy has not, as the float32 of the same value."""
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        return X.float().numpy() if X.dtype == torch.bfloat16 else X.numpy()
    # An array by the ml_dtypes package.
    if isinstance(X, np.ndarray) and X.dtype.name == "bfloat16":
        return X.astype(np.float32)
    return X


def check_classes(y: Any) -> Any:
    """Refuse labels that would be misread, or fail where no row could be named.

    Parameters
    ----------
    y : array-like of shape (n_samples,)

    Returns
    -------
    ndarray of shape (n_samples,)
        Or `y` itself, where scikit-learn says well what is wrong with it.

    Raises
    ------
    TypeError
        For a generator.
    ValueError
        For masked and missing labels, and for labels of types that have no common order.
    """
    if isinstance(y, Iterator):
        raise TypeError(
            f"y is a {type(y).__name__}, which can be read once only: pass a list or an array."
        )
    way_out = "give every row a class, the number -1 to those of none, or drop the rows."
    if np.ma.is_masked(y):
        rows = np.flatnonzero(np.ma.getmaskarray(y).any(axis=tuple(range(1, y.ndim))))
        raise ValueError(f"y has masked values in {_name_rows(rows)}: {way_out}")
    try:
        labels = as_given(y)
    except ValueError:  # ragged
        return y
    if labels.ndim != 1:
        return y
    if labels.dtype.kind not in "Of":
        return labels
    rows = np.flatnonzero(find_missing(labels) | _find_infinite(labels))
    if len(rows):
        # The beginning is scikit-learn's, which its checks of estimators look for.
        raise ValueError(f"Input y contains NaN, None or infinity in {_name_rows(rows)}: {way_out}")
    if labels.dtype.kind == "O":
        try:
            np.sort(labels[~find_none(labels)])
        except (TypeError, ValueError) as error:
            kinds = sorted({type(label).__name__ for label in labels})
            raise ValueError(
                f"y mixes labels of types that have no common order: {', '.join(kinds)}."
            ) from error
    return labels


def _find_infinite(labels: np.ndarray) -> np.ndarray:
    """Where labels are infinite numbers; (n_samples,), bool."""
    if labels.dtype.kind == "f":
        return np.isinf(labels)
    return np.array(
        [isinstance(label, (float, np.floating)) and np.isinf(label) for label in labels.tolist()],
        dtype=bool,
    )


def _not_finite(X: Any) -> np.ndarray:
    """Rows with NaN or infinity, where X can be looked at; (n_rows,), int64."""
    none = np.zeros(0, dtype=np.int64)
    try:
        values = np.asarray(X)
        if values.ndim != 2 or values.dtype.kind == "c":
            return none
        values = values.astype(np.float64, copy=False)
    except (TypeError, ValueError):
        return none
    return np.flatnonzero(~np.isfinite(values).all(axis=1))


def _not_numbers(X: Any) -> np.ndarray:
    """Rows with words that are no numbers, where X can be looked at; (n_rows,), int64."""
    try:
        values = np.asarray(X)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim != 2 or values.dtype.kind not in "OUS":
        return np.zeros(0, dtype=np.int64)
    return np.flatnonzero([any(map(_is_word, row)) for row in values.tolist()])


def _is_word(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return True
    except TypeError:  # which numpy says itself
        return False
    return False


def _of_other_length(X: Any) -> np.ndarray:
    """Rows of a ragged list that differ from the first one; (n_rows,), int64."""
    try:
        lengths = np.array([len(row) for row in X] if isinstance(X, (list, tuple)) else [])
    except TypeError:
        lengths = np.zeros(0)
    return np.flatnonzero(lengths != lengths[:1])


def _name_rows(rows: np.ndarray) -> str:
    """The first rows by number, and how many more there are."""
    names = ", ".join(map(str, rows[:3].tolist()))
    more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
    return f"row{'s' if len(rows) > 1 else ''} {names}{more}"
