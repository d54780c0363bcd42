"""Time what a fitted clusterer can be asked and told, beside the fit itself.

    python -m benchmarks.living --data FOLDER --pairs banking

The model is meta-trained on the first file of a pair and clusters the second. Milliseconds of
processor time, each asked once of a clusterer that has not been asked anything before.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from copy import deepcopy

from sklearn.base import clone

from benchmarks.pairs import add_pair_arguments, chosen_pairs, load
from sklearn_hilander import HiLanderClustering

Asked = Callable[[HiLanderClustering], object]

ASKED: dict[str, Asked] = {
    "exemplar_indices_": lambda c: c.exemplar_indices_,
    "cluster_centers_": lambda c: c.cluster_centers_,
    "probabilities_": lambda c: c.probabilities_,
    "outlier_scores_": lambda c: c.outlier_scores_,
    "soft_membership()": lambda c: c.soft_membership(),
    "relabel(min_cluster_size=5)": lambda c: c.relabel(min_cluster_size=5),
    "relabel, threshold raised": lambda c: c.relabel(
        linkage_threshold=(1 + c.linkage_threshold_) / 2
    ),
    "relabel, threshold halved": lambda c: c.relabel(linkage_threshold=c.linkage_threshold_ / 2),
    "hierarchy_.cut(n_clusters=20)": lambda c: c.hierarchy_.cut(n_clusters=20),
    "hierarchy_.to_linkage()": lambda c: c.hierarchy_.to_linkage(),
    "hierarchy_.to_pandas()": lambda c: c.hierarchy_.to_pandas(),
    "hierarchy_.to_networkx()": lambda c: c.hierarchy_.to_networkx(),
    "merge_candidates()": lambda c: c.merge_candidates(),
    "split_candidates()": lambda c: c.split_candidates(),
}


def milliseconds(call: Callable[[], object]) -> float:
    """Processor time of a call."""
    start = time.process_time()
    call()
    return 1000 * (time.process_time() - start)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_pair_arguments(parser, ["banking"])
    args = parser.parse_args()
    for name, (train, test) in chosen_pairs(parser, args).items():
        model = HiLanderClustering(random_state=0).fit(*load(train))
        X, _ = load(test)
        clusterer = HiLanderClustering(pretrained=model, random_state=0)
        clone(clusterer).fit(X)  # what a process does once is done
        took = milliseconds(lambda: clusterer.fit(X))  # noqa: B023 (called here)
        print(f"{name}: {len(X):,} rows, {X.shape[1]} features, {clusterer.n_clusters_} clusters")
        print(f"{took:10.1f} ms  fit")
        for what, ask in ASKED.items():
            fresh = deepcopy(clusterer)
            print(f"{milliseconds(lambda: ask(fresh)):10.1f} ms  {what}")  # noqa: B023


if __name__ == "__main__":
    main()
