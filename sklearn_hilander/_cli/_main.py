"""From arguments to an exit code."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Sequence

from sklearn_hilander._cli._commands import run_cluster, run_fit
from sklearn_hilander._cli._parser import build_parser
from sklearn_hilander._cli._progress import Progress

DONE, FAILED, BAD_INPUT, MISSING_PACKAGE, INTERRUPTED = 0, 1, 3, 4, 130
_COMMANDS = {"fit": run_fit, "cluster": run_cluster}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; None for those that the program was started with.

    Returns
    -------
    int
        Exit code: 0 done, 3 bad input, 4 missing package, 130 interrupted.

    Raises
    ------
    SystemExit
        With code 2 for a wrong command, 0 for ``--help`` and ``--version``.
    Exception
        Whatever no input of a user's should bring about.
    """
    options = build_parser().parse_args(arguments)
    progress = Progress(quiet=options.quiet)
    try:
        with warnings.catch_warnings():
            # As a line, without the place in the code, which says nothing to the user.
            warnings.showwarning = lambda message, *_, **__: progress.warn(str(message))
            _COMMANDS[options.command](options, progress)
    except KeyboardInterrupt:
        progress.fail("interrupted")
        return INTERRUPTED
    except (ImportError, OSError, ValueError) as error:
        if options.traceback:
            traceback.print_exc()
        progress.fail(_in_words(error))
        return MISSING_PACKAGE if isinstance(error, ImportError) else BAD_INPUT
    return DONE


def _in_words(error: Exception) -> str:
    """A message that names the file, without an error number."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error) or type(error).__name__
