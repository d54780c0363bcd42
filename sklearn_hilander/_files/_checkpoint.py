"""What a meta-training has done so far, kept in a file, so that it survives its process.

A training is the same calls in the same order whenever it has the same rows, parameters and seed.
It names what costs much (the state after an epoch, a trained network) and asks for it by that name
before it computes: all else is computed again. A file says of which training it is, and no other
one takes anything from it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import scipy
import torch
from scipy.sparse import issparse

from sklearn_hilander._files._persistence import FORMAT_VERSION, read_file, remove_file, write_file
from sklearn_hilander._files._specs import (
    ArraySpec,
    SavedFileError,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._version import __version__

_CLASS = "checkpoint"
_HEADER = {"format", "class", "training", "seed", "arrays"}
_DIGESTS = ("values of X", "labels")
_START = "pretrained models"
# Settings that do not change what is learned, or in the last bits alone.
_NO_MATTER = ("linkage_threshold", "min_cluster_size", "n_threads", "device", "faithful")
_WAY_OUT = "Delete the file to train from the start, or name another one."

Shapes = Mapping[str, tuple[int, ...]]


class Checkpoint:
    """Arrays by name, in a file if there is a path; else nothing is kept.

    Parameters
    ----------
    path : str, optional
    training : dict, optional
        What tells this training from others, in JSON types.
    seed : int, default=0
        Of the training.
    arrays : dict of str to ndarray, optional
        Kept already.
    """

    def __init__(
        self,
        path: str | None = None,
        training: dict | None = None,
        seed: int = 0,
        arrays: dict[str, np.ndarray] | None = None,
    ) -> None:
        self.path = path
        self.seed = seed
        self._training = training or {}
        self._arrays = arrays or {}

    def load(self, name: str, shapes: Shapes) -> dict[str, np.ndarray] | None:
        """What was kept under a name.

        Parameters
        ----------
        name : str
        shapes : dict of str to tuple of int
            What it must consist of; -1 stands for any extent.

        Returns
        -------
        dict of str to ndarray, or None
            None if there is nothing.

        Raises
        ------
        SavedFileError
            If it is something else.
        """
        prefix = name + "/"
        kept = {
            key.removeprefix(prefix): array
            for key, array in self._arrays.items()
            if key.startswith(prefix)
        }
        if not kept:
            return None
        if kept.keys() != shapes.keys() or not all(
            _fits(kept[key].shape, shape) for key, shape in shapes.items()
        ):
            raise SavedFileError(
                f"checkpoint={self.path!r} cannot be used: what it holds of {name!r} is not what "
                f"this training leaves. {_WAY_OUT}"
            )
        return kept

    def save(self, name: str, arrays: Mapping[str, np.ndarray], *, forget: str = "") -> None:
        """Keep arrays under a name, in place of what was there.

        Parameters
        ----------
        name : str
        arrays : dict of str to ndarray
            Never changed in place afterwards.
        forget : str, optional
            A name that is no longer needed.

        Raises
        ------
        SavedFileError
            If values are not finite.
        OSError
            As the system reports it; the file is as it was before.
        """
        if self.path is None:
            return
        dropped = tuple(gone + "/" for gone in (name, forget) if gone)
        kept = {key: at for key, at in self._arrays.items() if not key.startswith(dropped)}
        self._arrays = kept | {f"{name}/{key}": array for key, array in arrays.items()}
        self.write()

    def write(self) -> None:
        """Write the file, whole or not at all."""
        assert self.path is not None
        header = {
            "format": FORMAT_VERSION,
            "class": _CLASS,
            "training": self._training,
            "seed": self.seed,
            "arrays": {
                name: {"shape": list(array.shape), "dtype": array.dtype.name}
                for name, array in self._arrays.items()
            },
        }
        try:
            write_file(self.path, header, self._arrays, _plan)
        except SavedFileError as error:
            raise SavedFileError(
                f"checkpoint={self.path!r} was not written: {error} Training diverged: lower "
                "learning_rate. The file has the state before."
            ) from error
        except OSError as error:
            raise OSError(
                error.errno, f"checkpoint={self.path!r} cannot be written: {error.strerror}"
            ) from error

    def remove(self) -> None:
        """Delete the file, if there is one: the training is over."""
        if self.path is not None:
            remove_file(self.path)


def open_checkpoint(
    path: str | os.PathLike[str] | None,
    X: Any,
    y: np.ndarray,
    settings: Any,
    clustering: Any,
    *,
    seeded: bool,
) -> Checkpoint:
    """The checkpoint of a training, with what was kept of it already.

    Parameters
    ----------
    path : str or os.PathLike, optional
        None keeps nothing.
    X : ndarray or sparse array of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,)
        What is learned from.
    settings : ModelSettings
        With the seed of a training that begins.
    clustering : ClusterSettings
    seeded : bool
        Whether the seed was asked for. One drawn at random does not tell trainings apart: the one
        that goes on keeps its own.

    Returns
    -------
    Checkpoint

    Raises
    ------
    SavedFileError
        If the file is damaged, no checkpoint, or one of another training.
    OSError
        If it cannot be read or written.
    """
    if path is None:
        return Checkpoint(seed=settings.seed)
    path = os.fspath(path)
    parameters = {**asdict(replace(settings, start=None)), **asdict(clustering)}
    if settings.start is not None:
        parameters[_START] = settings.start.digest()
    for name in _NO_MATTER if seeded else (*_NO_MATTER, "seed"):
        del parameters[name]
    training = {
        **json.loads(json.dumps(parameters, default=_plain)),
        "rows of X": X.shape[0],
        "features of X": X.shape[1],
        "dtype of X": X.dtype.name,
        **{name: _digest(array) for name, array in zip(_DIGESTS, (X, y), strict=True)},
        "version of sklearn_hilander": __version__,
        "version of numpy": np.__version__,
        "version of scipy": scipy.__version__,
        "version of torch": str(torch.__version__),
    }
    try:
        header, arrays = read_file(path, _plan, advice=_WAY_OUT)
    except FileNotFoundError:
        # At once: a path that cannot be written is not found out after hours.
        checkpoint = Checkpoint(path, training, settings.seed)
        checkpoint.write()
        return checkpoint
    except SavedFileError as error:
        raise SavedFileError(f"checkpoint cannot be used. {error}") from error
    if other := _differences(header["training"], training):
        raise SavedFileError(
            f"checkpoint={path!r} is of another training: {'; '.join(other)}. Call fit as it was "
            f"called then to go on with that one. {_WAY_OUT}"
        )
    return Checkpoint(path, training, header["seed"], arrays)


def _differences(kept: dict, wanted: dict) -> list[str]:
    """What tells two trainings apart, in words."""
    out = []
    for name in sorted(kept.keys() | wanted.keys()):
        was, now = kept.get(name), wanted.get(name)
        if was != now:
            # Digests say nothing to a reader.
            hidden = name in (*_DIGESTS, _START)
            out.append(f"the {name} differ" if hidden else f"{name} was {was!r} and is {now!r}")
    return out


def _plan(header: dict) -> dict[str, ArraySpec]:
    """The arrays of a checkpoint with this header."""
    if header.get("class") != _CLASS:
        raise SavedFileError("it is no checkpoint, but a saved estimator or model.")
    check_keys(header, _HEADER, "the header")
    check_int(header["seed"], "the seed")
    for part in ("training", "arrays"):
        if not isinstance(header[part], dict):
            raise SavedFileError(f"what it says of {part} is not an object.")
    plan = {}
    for name, given in header["arrays"].items():
        check_keys(given, {"shape", "dtype"}, "an array")
        shape = check_list(given["shape"], "the shape of an array")
        for extent in shape:
            check_int(extent, "the extent of an array")
        if not isinstance(given["dtype"], str):
            raise SavedFileError("the dtype of an array is not a name.")
        plan[name] = ArraySpec(tuple(shape), given["dtype"])
    return plan


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(
        want in (-1, extent) for extent, want in zip(shape, wanted, strict=True)
    )


def _plain(value: object) -> object:
    """A parameter that numpy made, as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is of no JSON type")


def _digest(array: Any) -> str:
    parts: tuple[Any, ...] = (array,)
    if issparse(array):
        edges = array.tocoo()
        parts = edges.row, edges.col, edges.data
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).data for part in parts)).hexdigest()
