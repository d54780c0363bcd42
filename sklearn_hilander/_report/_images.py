"""Images as data that a page carries within itself."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from sklearn_hilander._samples import as_bytes

THUMBNAIL_PIXELS = 128


def import_pillow() -> Any:
    """``PIL.Image``, or an ImportError that says how to get it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("images in a report need Pillow: pip install pillow") from error
    return Image


def image_uris(images: np.ndarray, rows: np.ndarray) -> dict[int, str]:
    """Data URIs of small PNGs of some images.

    Parameters
    ----------
    images : ndarray of shape (n_samples, height, width[, channels])
        May be memory-mapped: only the images of `rows` are read.
    rows : ndarray of shape (n_shown,), int64

    Returns
    -------
    dict
        Row to URI.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    """
    Image = import_pillow()
    rows = np.unique(rows)
    uris = {}
    for row, pixels in zip(rows.tolist(), as_bytes(images[rows]), strict=True):
        image = Image.fromarray(pixels)
        image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS))
        file = io.BytesIO()
        image.save(file, format="PNG", optimize=True)
        uris[row] = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return uris
