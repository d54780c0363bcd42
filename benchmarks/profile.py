"""Where time and memory of clustering go, stage by stage, with the model of the package.

CPU seconds of each stage without those of the stages inside of it, and the highest resident memory
above that of the rows since the stage before it was over (Linux). With ``--calls`` the functions
that take the most CPU time of their own are listed too; measuring them makes everything slower.

    python -m benchmarks.profile --size 100000 --n-jobs 1
    python -m benchmarks.profile --size 20000 --calls 30
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from collections.abc import Callable

from benchmarks.machine import describe_machine, peak_memory_mb, start_of_memory
from benchmarks.scale import make_rows, timed_stages


def profile(call: Callable[[], object], n_calls: int = 0) -> dict[str, tuple[float, float, int]]:
    """CPU seconds, MB above the start, and number of calls of each stage, and of the whole."""
    peaks: dict[str, tuple[float, int]] = {}
    before = start_of_memory()
    highest = 0.0

    def on_call(name: str) -> None:
        nonlocal highest
        peak = peak_memory_mb() - before
        highest = max(highest, peak)
        largest, n = peaks.get(name, (0.0, 0))
        peaks[name] = max(largest, peak), n + 1
        start_of_memory(trim=False)

    stages: dict[str, float] = {}
    profiler = cProfile.Profile(time.process_time)
    start = time.process_time()
    with timed_stages(stages, on_call):
        if n_calls:
            profiler.runcall(call)
        else:
            call()
    total = time.process_time() - start
    on_call("whole")
    if n_calls:
        pstats.Stats(profiler, stream=sys.stdout).sort_stats("tottime").print_stats(n_calls)
    found = {name: (seconds, *peaks.get(name, (0.0, 0))) for name, seconds in stages.items()}
    rest = total - sum(stages.values())
    return found | {"rest": (rest, 0.0, 0), "whole": (total, highest, 1)}


def main() -> None:
    """Print a table of stages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=100_000, help="rows")
    parser.add_argument("--n-features", type=int, default=256)
    parser.add_argument("--n-jobs", type=int, default=1)
    parser.add_argument("--calls", type=int, default=0, help="functions to list")
    args = parser.parse_args()
    from sklearn_hilander import HiLanderClustering

    X, _ = make_rows(args.size, args.n_features, 20, seed=1)
    clusterer = HiLanderClustering(n_jobs=args.n_jobs)
    # What is made once a process is not counted.
    clusterer.fit(X[:300])
    found = profile(lambda: clusterer.fit(X), args.calls)
    print(describe_machine())
    whole = found["whole"][0]
    print(f"{'stage':24}{'CPU s':>9}{'share':>8}{'peak MB':>10}{'calls':>8}")
    for name, (seconds, peak, n_calls) in found.items():
        print(f"{name:24}{seconds:9.1f}{seconds / whole:8.0%}{peak:10.0f}{n_calls:8}")


if __name__ == "__main__":
    main()
