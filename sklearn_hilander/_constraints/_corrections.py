"""What a person has said of the rows, kept so that it outlives a clustering."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_hilander._constraints._row_constraints import check_constraints
from sklearn_hilander._labels import as_given, find_none

_FORMAT = "sklearn_hilander.Constraints"
_VERSION = 1


class Constraints:
    """Must-links, cannot-links and groups, to be saved, merged and given to every clustering.

    ``fit(X, **constraints)`` passes them on; ``fit_predict``, ``predict`` and ``partial_fit`` take
    them likewise.

    Parameters
    ----------
    must_link : array-like of shape (n_pairs, 2), default=()
        Pairs of rows that share a cluster.
    cannot_link : array-like of shape (n_pairs, 2), default=()
        Pairs of rows that never share a cluster.
    groups : array-like of shape (n_samples,), optional
        Two rows of one group never share a cluster: two faces in one photo are two people. None,
        NaN and the number -1 are no group.

    Examples
    --------
    >>> from sklearn_hilander import Constraints, HiLanderClustering
    >>> from sklearn_hilander.datasets import make_identities
    >>> X, _ = make_identities(60, mean_size=10, random_state=0)
    >>> said = Constraints(must_link=[(0, 1)]).merge(Constraints(cannot_link=[(0, 2)]))
    >>> labels = HiLanderClustering().fit_predict(X, **said)
    >>> bool(labels[0] == labels[1] != labels[2])
    True
    """

    def __init__(
        self,
        must_link: ArrayLike = (),
        cannot_link: ArrayLike = (),
        groups: ArrayLike | None = None,
    ) -> None:
        self._must_link = _pairs("must_link", must_link)
        self._cannot_link = _pairs("cannot_link", cannot_link)
        self._groups = None if groups is None else _ids(groups)

    def __getitem__(self, name: str) -> Any:
        """Pairs as (n_pairs, 2) arrays, groups as a list or None."""
        try:
            return {
                "must_link": self._must_link,
                "cannot_link": self._cannot_link,
                "groups": self._groups,
            }[name]
        except KeyError:
            raise KeyError(name) from None

    def keys(self) -> tuple[str, ...]:
        """Names of the parameters, so that two asterisks pass them on."""
        return ("must_link", "cannot_link", "groups")

    def __eq__(self, other: object) -> bool:
        """Whether the same pairs and groups are constrained."""
        if not isinstance(other, Constraints):
            return NotImplemented
        return self._as_json() == other._as_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Numbers of pairs and groups."""
        n_groups = len({g for g in self._groups or () if g is not None})
        return (
            f"Constraints({len(self._must_link)} must-links, "
            f"{len(self._cannot_link)} cannot-links, {n_groups} groups)"
        )

    def merge(self, other: Constraints) -> Constraints:
        """Both together.

        Parameters
        ----------
        other : Constraints
            Of the same rows.

        Returns
        -------
        Constraints

        Raises
        ------
        ValueError
            If a row is in two different groups, or both have groups of different numbers of rows.
        """
        groups = self._groups if other._groups is None else other._groups
        if self._groups is not None and other._groups is not None:
            groups = [
                one if two is None else two
                for one, two in zip(*_same_length(self._groups, other._groups), strict=True)
            ]
            for row, (one, two) in enumerate(zip(self._groups, other._groups, strict=True)):
                if one is not None and two is not None and one != two:
                    raise ValueError(f"groups: row {row} is in group {one!r} and in {two!r}.")
        return Constraints(
            np.concatenate([self._must_link, other._must_link]),
            np.concatenate([self._cannot_link, other._cannot_link]),
            groups,
        )

    def take(self, rows: ArrayLike) -> Constraints:
        """The same constraints on some of the rows, in another order.

        Parameters
        ----------
        rows : array-like of int, or of bool of shape (n_samples,)
            Of the old rows, those that are the new ones; or of every old row, whether it is one. A
            pair with a row that is left out is dropped.

        Returns
        -------
        Constraints

        Raises
        ------
        ValueError
            If they are neither, or a mask of another number of rows.
        """
        n = 1 + int(max(pairs.max(initial=-1) for pairs in (self._must_link, self._cannot_link)))
        rows = self._row_numbers(np.asarray(rows), n)
        n = max(n, 1 + int(rows.max(initial=-1)))
        new_of = np.full(n, -1, dtype=np.int64)
        new_of[rows] = np.arange(len(rows))

        def moved(pairs: np.ndarray) -> np.ndarray:
            pairs = new_of[pairs]
            return pairs[(pairs >= 0).all(axis=1)]

        groups = None if self._groups is None else [self._groups[row] for row in rows.tolist()]
        return Constraints(moved(self._must_link), moved(self._cannot_link), groups)

    def _row_numbers(self, rows: np.ndarray, n_named: int) -> np.ndarray:
        """Rows to take, int64; pairs name rows under `n_named`."""
        if rows.ndim == 1 and rows.dtype.kind == "b":
            n = n_named if self._groups is None else len(self._groups)
            if len(rows) < n or (len(rows) > n and self._groups is not None):
                raise ValueError(f"rows are a mask of {len(rows)} rows; constraints are on {n}.")
            return np.flatnonzero(rows)
        if rows.ndim != 1 or (len(rows) and (rows.dtype.kind not in "iu" or rows.min() < 0)):
            raise ValueError("rows must be row numbers from 0, or a mask of all rows.")
        return rows.astype(np.int64)

    def save(self, path: str | PathLike) -> None:
        """Write a JSON file.

        Parameters
        ----------
        path : str or path-like
        """
        Path(path).write_text(json.dumps(self._as_json(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike) -> Constraints:
        """Read a file that ``save`` wrote.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        Constraints

        Raises
        ------
        ValueError
            If it is no such file.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a file of constraints: {error}") from error
        if not isinstance(content, dict) or content.get("format") != _FORMAT:
            raise ValueError(f"{path} is not a file of constraints.")
        if content.get("version") != _VERSION:
            raise ValueError(
                f"{path} has version {content.get('version')!r} of the format; this release reads "
                f"version {_VERSION}."
            )
        try:
            return cls(
                content.get("must_link", ()), content.get("cannot_link", ()), content.get("groups")
            )
        except ValueError as error:
            raise ValueError(f"{path} is not a file of constraints: {error}") from error

    def _as_json(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "must_link": self._must_link.tolist(),
            "cannot_link": self._cannot_link.tolist(),
            "groups": self._groups,
        }


def _pairs(name: str, pairs: Any) -> np.ndarray:
    """Pairs in ascending order, each once; (n_pairs, 2), int64."""
    array = np.asarray(pairs)
    largest = int(array.max(initial=0)) if array.dtype.kind in "iu" else 0
    must, cannot = (array if each == name else None for each in _NAMES)
    checked = check_constraints(largest + 1, must, cannot, None)
    if checked is None:
        return np.zeros((0, 2), dtype=np.int64)
    kept = checked.must if name == "must_link" else checked.cannot
    return np.unique(np.sort(kept, axis=1), axis=0)


_NAMES = ("must_link", "cannot_link")


def _ids(groups: Any) -> list:
    """Ids of groups as Python's own numbers and texts, None for what is no group."""
    array = as_given(groups)
    check_constraints(array.size, None, None, array)
    return [
        None if none else group.item() if isinstance(group, np.generic) else group
        for group, none in zip(array.tolist(), find_none(array).tolist(), strict=True)
    ]


def _same_length(one: list, other: list) -> tuple[list, list]:
    if len(one) != len(other):
        raise ValueError(f"groups are of {len(one)} and of {len(other)} rows: not the same rows.")
    return one, other
