"""``python -m sklearn_hilander``: the command line."""

import sys

from sklearn_hilander._cli import main

if __name__ == "__main__":
    sys.exit(main())
