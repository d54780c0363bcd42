"""Rows that are let go of while nobody reads them, and made again when somebody does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class RowSource:
    """Where the rows of a clustering come from.

    They take more memory than anything else that is held for each row. Whoever is handed a source
    in their place holds none of them himself.

    Parameters
    ----------
    make : callable
        () -> ndarray of shape (n_rows, n_features), float32; the same bits whenever it is called.
    rows : ndarray of shape (n_rows, n_features), float32, optional
        What it makes, where that is at hand.
    """

    def __init__(self, make: Callable[[], np.ndarray], rows: np.ndarray | None = None) -> None:
        self._make = make
        self._rows = rows
        self._before: RowSource | None = None

    @classmethod
    def of(cls, rows: np.ndarray) -> RowSource:
        """Rows that somebody else holds anyway: nothing is freed by letting go of them."""
        return cls(lambda: rows)

    def __call__(self) -> np.ndarray:
        """The rows, held from now on."""
        if self._rows is None:
            self._rows = self._make()
        return self._rows

    def let_go(self) -> None:
        """Hold the rows no longer, nor what they were made from."""
        self._rows = None
        if self._before is not None:
            self._before.let_go()

    def through(self, change: Callable[[np.ndarray], np.ndarray]) -> RowSource:
        """A source of the changed rows, which lets go of those before the change."""

        def make() -> np.ndarray:
            rows = self()
            changed = change(rows)
            if changed is not rows:
                self.let_go()
            return changed

        changed = RowSource(make)
        changed._before = self
        return changed
