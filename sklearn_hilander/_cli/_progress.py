"""Progress on standard error."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

_NAME = "sklearn-hilander"
_TICK_SECONDS = 0.5
# To the start of the line, and nothing right of there.
_CLEAR = "\r\x1b[K"


class Progress:
    """Writes what is being done, and for how long, to standard error.

    On a terminal, the last line also counts the seconds while a computation runs.

    Parameters
    ----------
    quiet : bool
        Write errors only.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self._start = self._said_at = time.monotonic()
        self._is_ticking = False
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Write a line with the seconds since the start."""
        if not self.quiet:
            self._said_at = time.monotonic()
            self._write(f"[{self._said_at - self._start:6.1f} s] {text}")

    def warn(self, text: str) -> None:
        """Write a warning."""
        if not self.quiet:
            self._write(f"{_NAME}: warning: {text}")

    def fail(self, text: str) -> None:
        """Write an error."""
        self._write(f"{_NAME}: error: {text}")

    @contextmanager
    def estimator(self) -> Iterator[int]:
        """Take what an estimator prints; gives the `verbose` that it should have."""
        with redirect_stdout(_Lines(self)), self._ticking():
            yield int(not self.quiet)

    @contextmanager
    def _ticking(self) -> Iterator[None]:
        """Count the seconds since the last line, where somebody may be looking."""
        if self.quiet or not sys.stderr.isatty():
            yield
            return
        stopped = threading.Event()

        def tick() -> None:
            while not stopped.wait(_TICK_SECONDS):
                seconds = time.monotonic() - self._said_at
                with self._lock:
                    self._is_ticking = True
                    # On the same line again and again: `_write` clears it.
                    print(f"{_CLEAR}  {seconds:7.0f} s", end="", file=sys.stderr, flush=True)

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            stopped.set()
            ticker.join()
            with self._lock:
                self._clear()

    def _clear(self) -> None:
        if self._is_ticking:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
            self._is_ticking = False

    def _write(self, line: str) -> None:
        with self._lock:
            self._clear()
            print(line, file=sys.stderr, flush=True)


class _Lines(io.TextIOBase):
    """A text file whose lines are said."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._rest = progress, ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._progress.say(line.removeprefix("[HiLanderClustering] "))
        return len(text)
