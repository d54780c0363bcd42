"""Time the neighbour search alone beside faiss's exact index: the ratio is the figure.

    python -m benchmarks.search
    python -m benchmarks.search --rows 50000 --queries 50000 --threads 1 2 --repeats 3

faiss (faiss-cpu) is no requirement of the package: without it, its line says "not installed". Each
method and number of threads runs in a process of its own, so that no setting carries over.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from benchmarks.machine import describe_machine
from sklearn_hilander.datasets import make_identities

METHODS = ("brute", "mm and topk", "faiss")


def searcher(method: str, X: np.ndarray, n_queries: int, k: int, threads: int) -> Callable:
    """A call that finds the k nearest rows of the first rows."""
    if method == "faiss":
        import faiss

        faiss.omp_set_num_threads(threads)

        def search_faiss() -> np.ndarray:
            index = faiss.IndexFlatIP(X.shape[1])
            index.add(X)
            return index.search(X[:n_queries], k + 1)[1]

        return search_faiss
    import torch

    from sklearn_hilander._search._exact_search import search_exact

    torch.set_num_threads(threads)
    rows = torch.from_numpy(X)
    if method == "brute":
        return lambda: search_exact(rows[:n_queries], rows, k, "cosine", skip_self=True)[1].numpy()

    def search_plain() -> np.ndarray:
        return np.concatenate(
            [
                torch.topk(rows[start : min(start + 640, n_queries)] @ rows.T, k + 1)[1].numpy()
                for start in range(0, n_queries, 640)
            ]
        )

    return search_plain


def measure(method: str, args: argparse.Namespace, k: int, threads: int) -> dict:
    """Least CPU seconds and wall seconds of some calls, in this process."""
    X, _ = make_identities(args.rows, n_features=args.features, mean_size=20, random_state=0)
    X = np.ascontiguousarray(X / np.linalg.norm(X, axis=1, keepdims=True), dtype=np.float32)
    call = searcher(method, X, min(args.queries, len(X)), k, threads)
    times = []
    for _ in range(args.repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        found = call()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu, wall = np.min(times, axis=0).round(2).tolist()
    first = found[:1000]
    if first.shape[1] > k:
        # Itself is among them.
        first = first[:, 1:]
    return {
        "method": method, "k": k, "threads": threads, "cpu_s": cpu, "wall_s": wall,
        "neighbors": first.tolist(),
    }  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--queries", type=int, default=sys.maxsize)
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--neighbors", type=int, nargs="+", default=[10, 40])
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        method, k, threads = args.one
        print(json.dumps(measure(method, args, int(k), int(threads))))
        return
    print(json.dumps(describe_machine()))
    for threads in args.threads:
        for k in args.neighbors:
            rows = {method: run(method, args, k, threads) for method in args.methods}
            report(rows, k, threads)


def run(method: str, args: argparse.Namespace, k: int, threads: int) -> dict | None:
    """`measure` in a process of its own; None where the method is not installed."""
    if method == "faiss" and find_spec("faiss") is None:
        return None
    command = [sys.executable, "-m", "benchmarks.search", "--one", method, str(k), str(threads)]
    for name in ("rows", "queries", "features", "repeats"):
        command += [f"--{name}", str(getattr(args, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{method} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def report(rows: dict[str, dict | None], k: int, threads: int) -> None:
    """Print one line a method."""
    faiss, first = rows.get("faiss"), next(filter(None, rows.values()), None)
    for method, row in rows.items():
        name = f"k={k} threads={threads} {method:12}"
        if row is None:
            print(f"{name} not installed")
            continue
        pairs = zip(row["neighbors"], first["neighbors"], strict=True)
        same = np.mean([len(np.intersect1d(a, b)) / k for a, b in pairs])
        ratio = f"{row['cpu_s'] / faiss['cpu_s']:.2f} x faiss" if faiss else ""
        print(
            f"{name} CPU {row['cpu_s']:7.2f} s, wall {row['wall_s']:7.2f} s, "
            f"same neighbours {same:.4f} {ratio}",
            flush=True,
        )


if __name__ == "__main__":
    main()
