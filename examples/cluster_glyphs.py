"""The whole pipeline of the paper on real input, offline: letters in many fonts.

1. An encoder is trained as a classifier on some characters.
2. Its embeddings of other characters meta-train the clusterer.
3. Characters that neither has ever seen are clustered, beside DBSCAN, average linkage and HDBSCAN.

Run from the root of the repository: ``python -m examples.cluster_glyphs``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.peers import PEERS, figures
from sklearn_hilander import HiLanderClustering
from sklearn_hilander.datasets import load_glyphs
from sklearn_hilander.encoding import ClassifierEncoder
from sklearn_hilander.inspection import ContactSheetDisplay

N_CLASSES = {"encoder": 900, "meta": 300, "unseen": 500}


def split_characters(target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Rows of three disjoint sets of characters."""
    order = np.random.default_rng(seed).permutation(target.max() + 1)
    parts, start = {}, 0
    for name, n_classes in N_CLASSES.items():
        parts[name] = np.flatnonzero(np.isin(target, order[start : start + n_classes]))
        start += n_classes
    return parts


def timed(call, *args):
    """Result of a call, and its seconds."""
    start = time.perf_counter()
    return call(*args), time.perf_counter() - start


def print_table(rows: list[dict]) -> None:
    """Print one line a method."""
    print(
        f"\n{'method':<18}{'tuned':<20}{'pairwise F':>11}{'BCubed F':>10}{'NMI':>7}"
        f"{'clusters':>10}{'true':>6}{'noise':>7}{'seconds':>9}"
    )
    for row in rows:
        print(
            f"{row['method']:<18}{row['tuned']:<20}{row['pairwise_f']:>11.3f}"
            f"{row['bcubed_f']:>10.3f}{row['nmi']:>7.3f}{row['n_clusters']:>10}"
            f"{row['n_classes']:>6}{row['n_noise']:>7}{row['seconds']:>9.1f}"
        )


def majority_classes(labels: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Most frequent class of each cluster, shape (n_clusters,)."""
    return np.array([np.bincount(y[labels == c]).argmax() for c in range(labels.max() + 1)])


def draw_contact_sheet(images, labels, y, path, *, X=None, n_clusters=32, n_members=20, seed=0):
    """Clusters as rows of images; members of another class than the cluster's majority are framed.

    Half of the rows are the clusters with the most wrong members, half are drawn at random.
    """
    majority = majority_classes(labels, y)
    wrong = y != majority[labels]
    n_wrong = np.bincount(labels, weights=wrong)
    worst = np.argsort(-n_wrong, kind="stable")[: n_clusters // 2]
    rest = np.setdiff1d(np.flatnonzero(np.bincount(labels) > 1), worst)
    drawn = np.random.default_rng(seed).permutation(rest)[: n_clusters - len(worst)]
    figure, columns = plt.subplots(
        1, 2, figsize=(17, 0.42 * n_clusters / 2 + 1.3), layout="constrained"
    )
    for axes, chosen, title in zip(
        columns,
        (worst, drawn),
        ("Clusters with the most wrong members", "Clusters at random"),
        strict=True,
    ):
        ContactSheetDisplay.from_predictions(
            images,
            labels,
            X=X,
            framed=wrong,
            framed_first=True,  # they are what one looks for
            clusters=chosen,
            n_members=n_members,
            ax=axes,
            cmap="gray_r",
        )
        axes.set_title(title, fontsize=12)
    figure.suptitle(
        "Characters never seen in training, clustered. Framed: of another character than the "
        "cluster's most frequent one.",
        fontsize=12,
    )
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(__file__).parent / "output",
        help="folder for the picture and the table (default: examples/output)",
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()

    glyphs, seconds = timed(load_glyphs)
    X, y = glyphs.data, glyphs.target
    parts = split_characters(y, args.seed)
    print(
        f"Drew {len(X)} images of {y.max() + 1} characters in {seconds:.0f} s: "
        + ", ".join(
            f"{len(rows)} of {N_CLASSES[name]} to {use}"
            for (name, rows), use in zip(
                parts.items(), ("train the encoder", "meta-train", "cluster"), strict=True
            )
        ),
        flush=True,
    )

    # A margin spreads the many training classes, and with them classes never seen.
    encoder = ClassifierEncoder(
        image_shape=glyphs.images.shape[1:], max_iter=12, margin=0.2, random_state=args.seed
    )
    _, seconds = timed(encoder.fit, X[parts["encoder"]], y[parts["encoder"]])
    embeddings = {name: encoder.transform(X[rows]) for name, rows in parts.items()}
    print(f"Trained the encoder in {seconds:.0f} s", flush=True)

    X_meta, y_meta = embeddings["meta"], y[parts["meta"]]
    X_unseen, y_unseen = embeddings["unseen"], y[parts["unseen"]]
    clusterer = HiLanderClustering(random_state=args.seed)
    _, seconds = timed(clusterer.fit, X_meta, y_meta)
    print(f"Meta-trained the clusterer in {seconds:.0f} s", flush=True)

    labels, seconds = timed(clusterer.fit_predict, X_unseen)
    rows = [dict(method="Hi-LANDER", tuned="learned", seconds=seconds, **figures(y_unseen, labels))]
    for peer in PEERS:
        cluster = peer.fit(X_meta, y_meta)
        found, seconds = timed(cluster, X_unseen)
        rows.append(
            dict(method=peer.name, tuned=peer.tuned, seconds=seconds, **figures(y_unseen, found))
        )
    print_table(rows)
    (args.out / "glyphs.json").write_text(json.dumps(rows, indent=2) + "\n")

    picture = args.out / "glyphs.png"
    draw_contact_sheet(glyphs.images[parts["unseen"]], labels, y_unseen, picture, X=X_unseen)
    print(
        f"\nWhat is tuned was tuned on the {N_CLASSES['meta']} characters that Hi-LANDER learned "
        f"from; seconds are of clustering alone.\nContact sheet of the clusters: {picture}\n"
        f"Everything took {time.perf_counter() - begin:.0f} s."
    )


if __name__ == "__main__":
    main()
