"""Progress on standard error."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_NAME = "sklearn-hilander"


class Progress:
    """Writes what is being done, and for how long, to standard error.

    Parameters
    ----------
    quiet : bool
        Write errors only.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._start = time.monotonic()

    def say(self, text: str) -> None:
        """Write a line with the seconds since the start."""
        if not self.quiet:
            print(f"[{time.monotonic() - self._start:6.1f} s] {text}", file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Write a warning."""
        if not self.quiet:
            print(f"{_NAME}: warning: {text}", file=sys.stderr, flush=True)

    def fail(self, text: str) -> None:
        """Write an error."""
        print(f"{_NAME}: error: {text}", file=sys.stderr, flush=True)

    @contextmanager
    def estimator(self) -> Iterator[int]:
        """Take what an estimator prints; gives the `verbose` that it should have."""
        with redirect_stdout(_Lines(self)):
            yield int(not self.quiet)


class _Lines(io.TextIOBase):
    """A text file whose lines are said."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._rest = progress, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._progress.say(line.removeprefix("[HiLanderClustering] "))
        return len(text)
