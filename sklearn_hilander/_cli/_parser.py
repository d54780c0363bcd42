"""Arguments of the command line."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import sklearn_hilander
from sklearn_hilander._models._architectures import ARCHITECTURES

EXIT_CODES = """\
exit codes:
  0    done
  1    an error of this program: please report it, with the traceback
  2    the command is wrong; see --help
  3    a file cannot be read or written, or does not hold what it should
  4    a package is missing that this kind of file needs
  130  interrupted
"""

_DESCRIPTION = """\
Learn from labelled embeddings how to cluster, then cluster embeddings of classes never seen.

Embeddings are read from .npy, .npz (array X, classes y), .csv and .parquet (a row a sample).
"""
_EXAMPLES = """\
examples:
  sklearn-hilander fit known.npz model.safetensors
  sklearn-hilander cluster new.npy --model model.safetensors --out labels.csv --report report.html
  sklearn-hilander cluster new.csv --id-column file --text-column title --out labels.csv

"""


def build_parser() -> argparse.ArgumentParser:
    """The parser; the chosen command is in ``command``."""
    parser = argparse.ArgumentParser(
        "sklearn-hilander",
        description=_DESCRIPTION,
        epilog=_EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = f"%(prog)s {sklearn_hilander.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{fit,cluster}")
    _add_fit(commands)
    _add_cluster(commands)
    return parser


def _add_fit(commands: argparse._SubParsersAction) -> None:
    fit = commands.add_parser(
        "fit",
        help="learn from labelled rows how to cluster, and save the model",
        description="Learn from labelled rows how to cluster, and save the model.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.add_argument("meta", type=Path, metavar="META", help="labelled rows")
    fit.add_argument("model", type=Path, metavar="MODEL", help="where to save (.safetensors)")
    labels = fit.add_mutually_exclusive_group()
    labels.add_argument(
        "--label-column", metavar="NAME", help="column or array of the classes (default: y)"
    )
    labels.add_argument(
        "--labels", type=Path, metavar="FILE", help="the classes, in a file of their own"
    )
    fit.add_argument(
        "--ignore-column",
        action="append",
        default=[],
        metavar="NAME",
        help="column that is no feature; may be given several times",
    )
    fit.add_argument(
        "--architecture",
        choices=sorted(ARCHITECTURES),
        default="relational",
        help="what learns; see the user guide (default: %(default)s)",
    )
    fit.add_argument(
        "--max-iter", type=_at_least_1, metavar="N", help="passes or epochs of learning"
    )
    fit.add_argument(
        "--metric",
        choices=("cosine", "euclidean"),
        default="cosine",
        help="how near two rows are (default: %(default)s)",
    )
    _add_common(fit)


def _add_cluster(commands: argparse._SubParsersAction) -> None:
    cluster = commands.add_parser(
        "cluster",
        help="cluster rows, with a saved model or without",
        description="Cluster rows, with a saved model or without, and write the cluster of each.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    cluster.add_argument("rows", type=Path, metavar="X", help="rows to cluster")
    cluster.add_argument(
        "--model",
        type=Path,
        metavar="FILE",
        help="what `fit` saved; without it, the model that comes with the package clusters",
    )
    cluster.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FILE",
        help="where the clusters go: .csv, .parquet, .npy or .npz",
    )
    cluster.add_argument("--report", type=Path, metavar="FILE", help="an HTML page to look at")
    shown = cluster.add_mutually_exclusive_group()
    shown.add_argument(
        "--images", type=Path, metavar="FILE", help=".npy of the rows' images, for the report"
    )
    shown.add_argument(
        "--texts", type=Path, metavar="FILE", help=".txt of the rows' texts, a line a row"
    )
    shown.add_argument("--text-column", metavar="NAME", help="column of the rows' texts")
    cluster.add_argument("--title", default="Clusters", help="of the report (default: %(default)s)")
    cluster.add_argument("--id-column", metavar="NAME", help="column of the rows' names")
    cluster.add_argument(
        "--label-column",
        metavar="NAME",
        help="column of true classes, where known, to compare with (default: y, if there is one)",
    )
    cluster.add_argument(
        "--ignore-column",
        action="append",
        default=[],
        metavar="NAME",
        help="column that is no feature; may be given several times",
    )
    cluster.add_argument(
        "--min-cluster-size",
        type=_at_least_1,
        metavar="N",
        help="smaller clusters count as none, -1 (default: the model's; else 1)",
    )
    cluster.add_argument(
        "--metric",
        choices=("cosine", "euclidean"),
        help="how near two rows are (default: the model's; else cosine)",
    )
    _add_common(cluster)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--n-neighbors",
        type=_at_least_1,
        metavar="N",
        help="how many neighbours of each row are looked at (default: the model's; else what suits "
        "the architecture)",
    )
    parser.add_argument(
        "--linkage-threshold",
        type=_probability,
        metavar="P",
        help="join above this probability; higher is more cautious (default: as learned)",
    )
    parser.add_argument(
        "--random-state",
        type=_seed,
        default=0,
        metavar="N",
        help="seed of all that is random (default: 0)",
    )
    parser.add_argument(
        "--n-jobs", type=int, metavar="N", help="threads; -1 for all cores (default: torch's own)"
    )
    parser.add_argument("--device", default="auto", help="a torch device (default: %(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress on standard error")
    parser.add_argument(
        "--traceback", action="store_true", help="on an error, show where it came from"
    )


def _at_least_1(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is under 1")
    return number


def _seed(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**32:
        raise argparse.ArgumentTypeError(f"{number} is not from 0 to 4294967295")
    return number


def _probability(text: str) -> float:
    number = float(text)
    if math.isnan(number) or not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to under 1")
    return number


# argparse names the type in its own message: invalid integer value.
_at_least_1.__name__ = _seed.__name__ = "integer"
_probability.__name__ = "number"
