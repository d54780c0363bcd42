"""Peak memory of clustering and of meta-training, beside what the guard estimates.

Every figure is the highest resident memory above that before the call, in a process of its own
(Linux). The last column is the estimate of ``sklearn_hilander._memory``.

    python -m benchmarks.memory
    python -m benchmarks.memory --sizes 2000 8000 --n-features 32 256 --what relational gcn-fit
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import subprocess
import sys
from contextlib import suppress
from itertools import product
from pathlib import Path

from benchmarks.machine import describe_machine

# (architecture, neighbours or None, with labels)
WHAT = {
    "relational": ("relational", None, False),
    "relational-10": ("relational", 10, False),
    "untrained": ("untrained", None, False),
    "untrained-40": ("untrained", 40, False),
    "gcn": ("gcn", None, False),
    "gat": ("gat", None, False),
    "relational-fit": ("relational", None, True),
    "gcn-fit": ("gcn", None, True),
    "gat-fit": ("gat", None, True),
    "untrained-fit": ("untrained", None, True),
}


def resident(field: str) -> int:
    """A field of the process's status in bytes, as VmRSS or VmHWM."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(field)


def measure(what: str, n_samples: int, n_features: int, algorithm: str) -> dict:
    """One peak, in this process."""
    from sklearn_hilander import HiLanderClustering
    from sklearn_hilander._memory import clustering_need, training_need
    from sklearn_hilander.datasets import make_identities

    architecture, n_neighbors, labels = WHAT[what]
    X, y = make_identities(n_samples, n_features, mean_size=20, nn_rate=0.9, random_state=1)
    small, small_y = X[:300], y[:300]
    clusterer = HiLanderClustering(
        n_neighbors, architecture=architecture, algorithm=algorithm, max_iter=1, n_jobs=1,
        random_state=0,
    )  # fmt: skip
    if architecture == "relational" and not labels:
        clusterer.set_params(pretrained="default")
    elif not labels and architecture != "untrained":
        wide, wide_y = make_identities(300, n_features, mean_size=20, nn_rate=0.9, random_state=2)
        clusterer.fit(wide, wide_y)
    # What is made once a process is not counted.
    clusterer.fit(small, small_y if labels else None)
    gc.collect()
    with suppress(OSError, AttributeError):
        # What making the rows has left to the allocator would hide what the call takes.
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    clusterer.fit(X, y if labels else None)
    found = {"peak": resident("VmHWM") - before}
    known = clusterer._architecture()
    hidden_dim = 0 if known.encoder == "none" else known.hidden_dim
    n_neighbors = clusterer._parameter("n_neighbors", known)
    given = (n_samples, n_features, n_neighbors, known.encoder, hidden_dim)
    if labels:
        return found | {"estimate": training_need(*given, known.batch_size)}
    return found | {"estimate": clustering_need(*given)}


def main() -> None:
    """Print a table of peaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2_000, 4_000, 8_000])
    parser.add_argument("--n-features", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--what", nargs="+", choices=WHAT, default=list(WHAT))
    parser.add_argument("--algorithm", default="auto")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        found = measure(args.what[0], args.sizes[0], args.n_features[0], args.algorithm)
        print(json.dumps(found))
        return
    print(describe_machine())
    print(f"{'what':16} {'rows':>8} {'features':>9} {'peak MB':>9} {'estimate MB':>12}", flush=True)
    for what, n_features, size in product(args.what, args.n_features, args.sizes):
        command = [
            sys.executable, "-m", "benchmarks.memory", "--one", "--what", what,
            "--sizes", str(size), "--n-features", str(n_features), "--algorithm", args.algorithm,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        peak, estimate = found["peak"] / 1e6, found["estimate"] / 1e6
        print(f"{what:16} {size:8,} {n_features:9,} {peak:9.0f} {estimate:12.0f}", flush=True)


if __name__ == "__main__":
    main()
