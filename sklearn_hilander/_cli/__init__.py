"""The command line: ``sklearn-hilander``, or ``python -m sklearn_hilander``."""

from sklearn_hilander._cli._main import main

__all__ = ["main"]
