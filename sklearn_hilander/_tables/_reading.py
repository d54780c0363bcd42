"""Embeddings, labels, images and texts from files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sklearn_hilander._labels import as_integers, find_missing, find_none
from sklearn_hilander._tables._files import listed, load_numpy, read_columns

_UNNAMED = "Unnamed: 0"  # what pandas calls it


@dataclass(frozen=True)
class Table:
    """Rows of a file.

    Attributes
    ----------
    X : ndarray of shape (n_samples, n_features)
        Finite floats.
    y : ndarray of shape (n_samples,) or None
        Classes, integers or texts; -1, of texts too, for rows of no class.
    ids, texts : list of str or None
    """

    X: np.ndarray
    y: np.ndarray | None = None
    ids: list[str] | None = None
    texts: list[str] | None = None


def read_table(
    path: Path,
    *,
    label_column: str | None = None,
    id_column: str | None = None,
    text_column: str | None = None,
    ignored: Sequence[str] = (),
) -> Table:
    """Read embeddings and what belongs to them.

    Parameters
    ----------
    path : Path
        ``.npy``: one 2-d array. ``.npz``: array ``X``, or the only 2-d one, and arrays with the
        names of the columns. ``.csv``, ``.parquet``: a row a sample; all columns that are not
        named are features, or one column holds lists of numbers. A CSV whose first line is
        numbers has no header.
    label_column : str, optional
        Column of classes; None for ``y``, if there is one.
    id_column, text_column : str, optional
    ignored : sequence of str
        Columns that are no features.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        If the file does not hold what it should.
    OSError
        If it cannot be read.
    ImportError
        If it needs a package that is not installed.
    """
    named = {"label": label_column, "id": id_column, "text": text_column}
    wanted = {kind: name for kind, name in named.items() if name is not None}
    columns = read_columns(path, [name for name in (id_column, text_column) if name is not None])
    missing = [name for name in (*wanted.values(), *ignored) if name not in columns]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]!r}; it has {listed(columns)}.")
    if label_column is None and "y" in set(columns).difference(wanted.values(), ignored):
        wanted["label"] = "y"
    taken = {kind: columns[name] for kind, name in wanted.items()}
    for name in {*wanted.values(), *ignored}:
        del columns[name]
    find_features = _pick_array if path.suffix.lower() in (".npy", ".npz") else _stack_columns
    X = find_features(path, columns)
    _check_finite(path, X)
    for kind, values in taken.items():
        if np.ndim(values) != 1 or len(values) != len(X):
            raise ValueError(
                f"{wanted[kind]!r} of {path} has shape {np.shape(values)}, but there are "
                f"{len(X)} rows."
            )
    return Table(
        X,
        y=_as_classes(path, taken["label"]) if "label" in taken else None,
        ids=_as_texts(taken["id"]) if "id" in taken else None,
        texts=_as_texts(taken["text"]) if "text" in taken else None,
    )


def read_labels(path: Path) -> np.ndarray:
    """Classes of a file of their own: a 1-d ``.npy``, or a table of one column. As `Table.y`.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray of shape (n_samples,)
    """
    return _as_classes(path, _only_column(path))


def read_images(path: Path) -> np.ndarray:
    """Images of an ``.npy``, memory-mapped, (n_samples, height, width[, channels])."""
    if path.suffix.lower() != ".npy":
        raise ValueError(f"{path}: images are read from .npy files.")
    images = load_numpy(path, mmap_mode="r")
    if images.ndim not in (3, 4):
        raise ValueError(
            f"{path} has shape {images.shape}, not (n_samples, height, width) or "
            "(n_samples, height, width, channels)."
        )
    return images


def read_texts(path: Path) -> list[str]:
    """Texts of a file: a line a row of a ``.txt``, else as `read_labels`."""
    if path.suffix.lower() == ".txt":
        try:
            content = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text in UTF-8: {error}") from error
        # Not splitlines: a text may hold form feeds and the like.
        lines = content.replace("\r\n", "\n").split("\n")
        return lines[:-1] if lines[-1] == "" else lines
    return _as_texts(_only_column(path))


def _pick_array(path: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Array ``X``, or the only one of two dimensions."""
    candidates = [name for name, array in arrays.items() if array.ndim == 2]
    name = "X" if "X" in arrays else candidates[0] if len(candidates) == 1 else None
    if name is None:
        raise ValueError(f"{path} has no array 'X'; it has {listed(arrays)}.")
    X = arrays[name]
    if X.ndim != 2 or X.dtype.kind not in "biuf":
        raise ValueError(
            f"{path} must hold numbers of shape (n_samples, n_features); {name!r} is of "
            f"{X.dtype} and shape {X.shape}."
        )
    return X if X.dtype.kind == "f" else X.astype(np.float64)


def _stack_columns(path: Path, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Features of a data frame's columns: numbers, or one column of lists."""
    if not columns:
        raise ValueError(f"{path} has no column of features.")
    first = next(iter(columns.values()))
    if len(columns) == 1 and first.dtype == object and len(first) and np.ndim(first[0]) == 1:
        lengths = {np.size(value) for value in first}
        if len(lengths) > 1:
            raise ValueError(f"{path}: lists of {listed(sorted(map(str, lengths)))} numbers.")
        return np.array([np.asarray(value, dtype=np.float64) for value in first])
    if not len(first):
        raise ValueError(f"{path} is empty.")
    if _UNNAMED in columns:
        raise ValueError(
            f"{path}: the first column has no name. If it numbers the rows, say so by "
            f"--id-column {_UNNAMED!r} or --ignore-column {_UNNAMED!r}."
        )
    for name, values in columns.items():
        if values.dtype.kind not in "biuf":
            raise ValueError(
                f"{path}: column {name!r} is not of numbers{_first_word(values)}. Say what is no "
                "feature by --id-column, --text-column, --label-column or --ignore-column."
            )
    return np.column_stack([values.astype(np.float64) for values in columns.values()])


def _first_word(values: np.ndarray) -> str:
    """Which row holds something else first, and what."""
    for row, value in enumerate(values.tolist()):
        try:
            float(value)
        except (TypeError, ValueError):
            return f": row {row}, counted from 0, has {str(value)[:40]!r}"
    return ""


def _check_finite(path: Path, X: np.ndarray) -> None:
    """Raise ValueError that names the first row with NaN or infinity, or says there is none."""
    if not X.size:
        raise ValueError(f"{path} is empty: shape {X.shape}.")
    bad = np.flatnonzero(~np.isfinite(X).all(axis=1))
    if len(bad):
        more = f" ({len(bad)} rows do)" if len(bad) > 1 else ""
        raise ValueError(f"{path}: row {bad[0]}, counted from 0, has NaN or infinity{more}.")


def _only_column(path: Path) -> np.ndarray:
    """The only column of a table, or a 1-d array."""
    columns = read_columns(path)
    if len(columns) != 1:
        raise ValueError(f"{path} must have one column; it has {listed(columns)}.")
    (values,) = columns.values()
    if values.ndim != 1:
        raise ValueError(f"{path} must be 1-d, but has shape {values.shape}.")
    return values


def _as_classes(path: Path, values: np.ndarray) -> np.ndarray:
    """Integers, or texts and the number -1, with a value for every row."""
    values = np.asarray(values)
    missing = find_missing(values)
    if missing.any():
        raise ValueError(
            f"{path}: row {np.argmax(missing)}, counted from 0, has no label. Leave such rows out, "
            "or label them -1: of no class."
        )
    values = as_integers(values)
    if values.dtype.kind in "biu":
        return values
    texts = np.array(_as_texts(values))
    # A column of texts has no numbers.
    none = find_none(values) | (texts == "-1")
    return np.where(none, -1, texts.astype(object)) if none.any() else texts


def _as_texts(values: np.ndarray) -> list[str]:
    missing = find_missing(values).tolist()
    return ["" if gap else str(value) for value, gap in zip(values.tolist(), missing, strict=True)]
