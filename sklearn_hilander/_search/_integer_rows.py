"""Rows as 8-bit integers, whose products are many times quicker and a thousandth off.

Good for telling which rows may be near; how near they are is for the rows themselves to say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from scipy.fft import dct

# With fewer coordinates rounding shows, and there is little to gain.
_FEWEST_FEATURES = 32
_BLOCK_ROWS = 2_048
_LARGEST = 127
# Coordinates farther out than so many times their spread are cut off.
_FARTHEST = 4.5


def integer_rows(rows: np.ndarray) -> np.ndarray:
    """Unit rows turned and rounded; their products are in proportion to the cosines, nearly.

    All are turned alike, by random signs and a cosine transform. Whatever few coordinates they are
    large in, they then have about the same spread in each, and none is lost to the rounding of
    others (Ailon, Chazelle, "The fast Johnson-Lindenstrauss transform", SIAM J. Computing 2009).

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_features), float32
        Unit rows.

    Returns
    -------
    ndarray of shape (n_rows, n_features), int8
        The rows as they are, float32, where they have few features.
    """
    n_features = rows.shape[1]
    if n_features < _FEWEST_FEATURES:
        return rows
    signs = np.random.default_rng(0).choice([-1, 1], n_features)
    turn = (signs * (_LARGEST * n_features**0.5 / _FARTHEST)).astype(np.float32)
    out = np.empty(rows.shape, dtype=np.int8)
    for start in range(0, len(rows), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        turned = dct(rows[part] * turn, norm="ortho", axis=1, overwrite_x=True)
        out[part] = np.rint(turned).clip(-_LARGEST, _LARGEST)
    return out


def products_of_all(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Inner products of each row of `a` with each of `b`.

    Of integers they are exact, and the same however the processor multiplies.

    Parameters
    ----------
    a, b : ndarray of shape (n_rows, n_features), (n_columns, n_features)
        Of `integer_rows`.

    Returns
    -------
    ndarray of shape (n_rows, n_columns), int32 or float32
    """
    if a.dtype != np.int8:
        return a @ b.T
    multiply = _of_integers()
    if multiply is not None:
        return multiply(torch.from_numpy(a), torch.from_numpy(b).T).numpy()
    # Sums stay under 2**24, so that they are exact, up to 20,000 features: rows are no longer.
    return a.astype(np.float32) @ b.astype(np.float32).T


def dtype_of_products(rows: np.ndarray) -> type[np.int32] | type[np.float32]:
    """Of `products_of_all`: what they are compared with is best of the same type."""
    return np.int32 if rows.dtype == np.int8 and _of_integers() is not None else np.float32


@cache
def _of_integers() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None:
    """Torch's product of integers, which has no public name yet, where the processor has one."""
    capabilities = torch.cpu.get_capabilities()
    of_processor = ("avx512_vnni", "avx_vnni", "amx_int8")
    if torch.backends.mkldnn.is_available() and any(map(capabilities.get, of_processor)):
        return getattr(torch, "_int_mm", None)
    return None
