"""Labels to files, written as a whole."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_hilander._tables._files import import_pandas, listed

LABEL_SUFFIXES = (".csv", ".parquet", ".npy", ".npz")


def write_labels(
    path: Path,
    labels: np.ndarray,
    *,
    ids: Sequence[str] | None = None,
    probabilities: np.ndarray | None = None,
) -> None:
    """Write the cluster of each row.

    Parameters
    ----------
    path : Path
        ``.csv``, ``.parquet``: columns ``row`` or ``id``, ``cluster`` and, if there are any,
        ``probability``. ``.npy``: the labels alone. ``.npz``: arrays with the columns' names.
    labels : ndarray of shape (n_samples,), int64
    ids : sequence of str, optional
    probabilities : ndarray of shape (n_samples,), optional
    """
    columns: dict[str, Any] = {"row": np.arange(len(labels))} if ids is None else {"id": list(ids)}
    columns["cluster"] = labels
    if probabilities is not None:
        columns["probability"] = probabilities
    suffix = path.suffix.lower()
    if suffix == ".npy":
        write_atomically(path, lambda file: np.save(file, labels))
    elif suffix == ".npz":
        write_atomically(path, lambda file: np.savez(file, **columns))
    elif suffix == ".parquet":
        frame = import_pandas(path, parquet=True).DataFrame(columns)
        write_atomically(path, lambda file: frame.to_parquet(file, index=False))
    elif suffix == ".csv":
        write_atomically(path, lambda file: file.write(_as_csv(columns).encode("utf-8")))
    else:
        raise ValueError(f"{path}: labels are written to {listed(LABEL_SUFFIXES)} files.")


def write_atomically(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file as a whole: what stood there before stays if writing fails.

    Of a link, the file that it leads to is replaced.
    """
    named, path = path, path.resolve()
    try:
        opened = tempfile.NamedTemporaryFile(dir=path.parent, suffix=path.suffix, delete=False)
    except OSError as error:
        # Of a name that the user knows.
        raise type(error)(error.errno, error.strerror, str(named)) from error
    with opened as file:
        temporary = Path(file.name)
        try:
            write(file)
        except BaseException:
            file.close()
            temporary.unlink()
            raise
    # Temporary files are the owner's alone; a result is as readable as any new file.
    umask = os.umask(0)
    os.umask(umask)
    temporary.chmod(0o666 & ~umask)
    temporary.replace(path)


def _as_csv(columns: dict[str, Any]) -> str:
    """Columns as CSV with a header."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    if "probability" in columns:
        probabilities = [f"{value:.6g}" for value in columns["probability"]]
        columns = columns | {"probability": probabilities}
    writer.writerows(zip(*columns.values(), strict=True))
    return file.getvalue()
