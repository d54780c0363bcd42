"""What a file holds: arrays, or columns, by name."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

TABLE_SUFFIXES = (".npy", ".npz", ".csv", ".parquet")


def read_columns(path: Path, as_text: Iterable[str] = ()) -> dict[str, np.ndarray]:
    """Arrays or columns of a file by name; of a CSV, those of `as_text` as they stand."""
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return {"X": load_numpy(path)}
    if suffix == ".npz":
        return load_numpy(path)
    if suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path}: cannot read this kind of file; give {listed(TABLE_SUFFIXES)}.")
    frame = _read_frame(path, as_text)
    return {str(name): frame[name].to_numpy() for name in frame.columns}


def load_numpy(path: Path, mmap_mode: Literal["r"] | None = None) -> Any:
    """The array of an ``.npy``, or the arrays of an ``.npz`` by name; no pickles."""
    try:
        loaded = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return dict(loaded)
    except OSError:
        raise
    except Exception as error:  # zip, header and pickle errors are of many kinds
        # What numpy does not know it takes for a pickle, and says how to load it all the same.
        why = (
            ": it is damaged, of another kind, or holds objects"
            if "pickle" in str(error)
            else (f": {error}")
        )
        raise ValueError(f"{path} is no NumPy file of plain arrays{why}.") from error


def _read_frame(path: Path, as_text: Iterable[str]) -> Any:
    """A data frame of a CSV or Parquet file."""
    parquet = path.suffix.lower() == ".parquet"
    pandas = import_pandas(path, parquet=parquet)
    try:
        if parquet:
            return pandas.read_parquet(path)
        # As it stands: of names read as a header, pandas alters those that come twice.
        first = pandas.read_csv(path, header=None, nrows=1, dtype=str).iloc[0]
        if _is_row(first.isna().tolist(), first.tolist()):
            return pandas.read_csv(path, header=None)
        frame = pandas.read_csv(path)
        if texts := [name for name in as_text if name in frame.columns]:
            # 007 is no number there, and NA no gap.
            as_is = pandas.read_csv(path, usecols=texts, dtype=str, keep_default_na=False)
            frame[as_is.columns] = as_is
    except OSError as error:
        if type(error) in (FileNotFoundError, PermissionError, IsADirectoryError):
            raise
        raise ValueError(f"{path} cannot be read: {error}") from error
    except (ValueError, UnicodeError) as error:  # pandas' parser errors are ValueErrors
        raise ValueError(f"{path} cannot be read: {error}") from error
    # pandas takes surplus fields for the names of the rows.
    if not isinstance(frame.index, pandas.RangeIndex):
        raise ValueError(f"{path}: the lines have more fields than the header.")
    return frame


def import_pandas(path: Path, *, parquet: bool) -> Any:
    """The package, or an ImportError that says how to get it."""
    try:
        import pandas

        if parquet:
            import pyarrow  # noqa: F401
    except ImportError as error:
        packages = "pandas and pyarrow" if parquet else "pandas"
        raise ImportError(
            f"{path.suffix} files need {packages}: pip install sklearn-hilander[tables]"
        ) from error
    return pandas


def _is_row(is_gap: list[bool], fields: list) -> bool:
    """Whether the first line is numbers, and maybe gaps, and no header."""
    named = [field for field, gap in zip(fields, is_gap, strict=True) if not gap]
    # Of columns without names pandas writes the numbers, after an empty one for the rows'.
    numbered = is_gap[0] and named == [str(number) for number in range(len(fields) - 1)]
    return bool(named) and all(map(_is_number, named)) and not numbered


def _is_number(name: object) -> bool:
    """Whether a name reads as a number."""
    try:
        float(str(name))
    except ValueError:
        return False
    return True


def listed(names: Iterable) -> str:
    """Names in a sentence; of many, the first few."""
    names = list(names)
    return ", ".join(map(str, names[:8])) + (f" and {len(names) - 8} more" * (len(names) > 8))
