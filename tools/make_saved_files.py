"""Write the saved files that the tests read, with the present version.

    python -m tools.make_saved_files

Run it once a released version, and whenever the format changes before a release. Folders of
versions that were released are never written again: they say what must stay readable.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sklearn_hilander import HiLanderClustering, __version__
from sklearn_hilander.datasets import make_identities

FOLDER = Path(__file__).parent.parent / "tests" / "data" / "saved"
CASES = {
    "relational": dict(),
    "relational_euclidean": dict(metric="euclidean"),
    "gcn": dict(architecture="gcn"),
    "gat": dict(architecture="gat"),
    "paper_gcn": dict(architecture="paper-gcn"),
}


def main() -> None:
    """Write each case with clusters, one without, and what they are to give."""
    folder = FOLDER / __version__.split(".dev")[0]
    folder.mkdir(parents=True, exist_ok=True)
    X, y = make_identities(150, 8, mean_size=6, spread=0.6, random_state=0)
    X = np.round(X, 4)
    learned, seen = y % 2 == 0, np.arange(len(y)) % 4 > 0
    unseen, new = X[~learned & seen], X[~learned & ~seen]
    X, y = X[learned], y[learned]
    expected = {"X": unseen, "new": new}
    for name, params in CASES.items():
        clusterer = HiLanderClustering(5, max_iter=1, hidden_dim=4, random_state=0, **params)
        clusterer.fit(X, y).fit(unseen)
        clusterer.save(folder / f"{name}.safetensors")
        expected[f"{name}/labels"] = clusterer.labels_
        expected[f"{name}/new"] = clusterer.predict(new)
    clusterer.set_params(architecture="gat").fit(X, y)
    clusterer.save(folder / "model_only.safetensors", clusters=False)
    expected["model_only/labels"] = clusterer.fit(unseen).labels_
    untrained = HiLanderClustering(5, pretrained=None).fit(unseen)
    untrained.save(folder / "untrained.safetensors")
    expected["untrained/labels"] = untrained.labels_
    expected["untrained/new"] = untrained.predict(new)
    # Constraints that the clusters keep to anyway: a fit without them gives the same.
    apart = [[0, int(np.flatnonzero(untrained.labels_)[0])]]
    untrained.fit(unseen, cannot_link=apart, groups=[f"é{row}" for row in range(len(unseen))])
    untrained.save(folder / "constrained.safetensors")
    expected["constrained/labels"] = untrained.labels_
    expected["constrained/new"] = untrained.predict(new)
    np.savez_compressed(folder / "expected.npz", **expected)


if __name__ == "__main__":
    main()
