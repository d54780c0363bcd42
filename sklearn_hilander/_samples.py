"""What a person is shown: samples as images or texts, and counts in words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def check_samples(samples: Any, n_samples: int) -> np.ndarray | list[str]:
    """Images or texts, told apart.

    Parameters
    ----------
    samples : array-like
    n_samples : int

    Returns
    -------
    ndarray of shape (n_samples, height, width[, 3 or 4]), or list of str
        Texts are of one line.

    Raises
    ------
    ValueError
        If there are not `n_samples`, or they are neither images nor texts.
    """
    if len(samples) != n_samples:
        raise ValueError(f"There are {len(samples)} samples to show, but {n_samples} labels.")
    array = np.asarray(samples)
    if array.ndim == 1 and array.dtype.kind in "OUST":
        return [one_line(sample) for sample in samples]
    is_image = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3, 4))
    if not is_image or array.dtype.kind not in "buif":
        raise ValueError(
            "samples must be texts, or images of shape (n_samples, height, width) or "
            f"(n_samples, height, width, 3); got an array of {array.dtype} of shape {array.shape}."
        )
    return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array


def as_bytes(images: ArrayLike) -> np.ndarray:
    """Images with values from 0 to 255, uint8 of the same shape.

    Integers are taken as they are, up to 255. Floats are taken to go from 0 to 1; if they do not,
    from the least to the greatest of all, or black where those are the same.
    """
    images = np.asarray(images)
    if images.dtype.kind in "iu" and images.size and images.min() >= 0 and images.max() <= 255:
        return images.astype(np.uint8)
    values: np.ndarray = np.nan_to_num(images.astype(np.float32))
    low, high = (values.min(), values.max()) if values.size else (0, 1)
    if low < 0 or high > 1:
        values = (values - low) / (high - low if high > low else 1)
    return np.round(values * 255).astype(np.uint8)


def one_line(text: object) -> str:
    """A text without line breaks and runs of blanks."""
    return " ".join(str(text).split())


def counted(number: int, noun: str) -> str:
    """A number and what it counts: ``"1 cluster"``, ``"1,200 clusters"``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
