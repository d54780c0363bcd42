"""Train the model that is shipped: `HiLanderClustering().fit(X)` clusters with it.

It learns from a mixture of data sets of many dimensions, class sizes and difficulties: synthetic
identities, synthetic classes of several parts, drawn characters in three embeddings, handwritten
digits, and sentences of Python's own documentation. Everything is made from a seed, offline; the
sentences also depend on the version of Python.

    python -m tools.train_default_model --out sklearn_hilander/weights/default.safetensors
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from sklearn_hilander import HiLanderClustering, _perceptron
from sklearn_hilander._architectures import ARCHITECTURES
from sklearn_hilander._linkage_model import LabelledGraph, assign_folds
from sklearn_hilander._model import Model
from sklearn_hilander._pairs import unit_rows
from sklearn_hilander._perceptron import PerceptronSettings
from sklearn_hilander._relational import graph_builder
from sklearn_hilander._relational_training import train_relational
from sklearn_hilander.datasets import load_glyphs, make_identities
from sklearn_hilander.encoding import ClassifierEncoder

N_IDENTITIES, N_SEVERAL_PARTS = 20, 10
# How much the pairs of a kind of data count: real images most, and classes of several parts least,
# which say little about where a class ends.
IMPORTANCE = {"identities": 1.0, "parts": 0.5, "sentences": 1.0, "images": 2.5}
N_NEIGHBORS, HIDDEN_DIM, LEARNING_RATE, BATCH_SIZE, N_STEPS = 40, 64, 3e-3, 2048, 1_000
MAX_SENTENCES, MIN_SENTENCE = 120, 30
MODULES = (
    "os socket email.message argparse logging decimal datetime random threading subprocess "
    "unittest asyncio sqlite3 xml.dom.minidom http.client json collections typing ast ssl tarfile "
    "zipfile statistics pathlib calendar string re shutil tempfile csv configparser ctypes pdb "
    "gettext locale imaplib smtplib ftplib mailbox fractions heapq queue selectors codecs difflib "
    "textwrap"
).split()

Rows = tuple[np.ndarray, np.ndarray]


def many_identities(seed: int) -> Iterator[Rows]:
    """Draw the parameters of `make_identities` over wide ranges."""
    n_made = 0
    while n_made < N_IDENTITIES:
        seed += 1
        random = np.random.default_rng(seed)
        mean_size = float(np.exp(random.uniform(np.log(2), np.log(200))))
        n_samples = int(np.clip(mean_size * random.integers(20, 150), 1_000, 3_500))
        n_features = int(np.exp(random.uniform(np.log(16), np.log(1_024))))
        try:
            made = make_identities(
                n_samples,
                n_features,
                mean_size=mean_size,
                size_distribution=str(random.choice(["lognormal", "geometric", "constant"])),
                size_variation=float(random.uniform(0.3, 1.2)),
                nn_rate=float(random.choice([0.5, 0.6, 0.7, 0.8, 0.88, 0.93, 0.96, 0.98])),
                spread_variation=float(random.uniform(0, 0.5)),
                noise_rank=int(np.exp(random.uniform(np.log(2), np.log(max(3, n_features / 2))))),
                isotropic=float(random.uniform(0.05, 0.9)),
                superclass_size=float(random.choice([1, 1, 3, 6, 12])),
                superclass_similarity=float(random.uniform(0.2, 0.8)),
                outliers=float(random.choice([0, 0, 0.05, 0.2])),
                max_size=max(int(mean_size) + 1, 500),
                random_state=seed,
            )
        except ValueError:
            # Not every rate can be had with every other parameter.
            continue
        n_made += 1
        yield made


def classes_of_parts(seed: int) -> Iterator[Rows]:
    """Classes that are several clouds each, of spectra that fall by a power."""
    n_made = 0
    while n_made < N_SEVERAL_PARTS:
        seed += 1
        X, y = _draw_parts(np.random.default_rng(seed))
        if 0.4 < nearest_neighbor_rate(X, y) < 0.99:
            n_made += 1
            yield X, y


def _draw_parts(random: np.random.Generator) -> Rows:
    d = int(np.exp(random.uniform(np.log(24), np.log(800))))
    mean_size = float(np.exp(random.uniform(np.log(4), np.log(250))))
    n_samples = int(np.clip(mean_size * random.integers(12, 120), 900, 2_600))
    n_classes = max(6, round(n_samples / mean_size))
    share = random.lognormal(sigma=random.uniform(0.1, 1), size=n_classes)
    sizes = np.maximum(1, np.round(share / share.sum() * n_samples)).astype(int)
    spectra = [np.arange(1, d + 1) ** -random.uniform(0, 0.9) for _ in range(3)]
    of_center, of_part, of_row = (np.sqrt(s / s.sum()) for s in spectra)
    part_size = random.uniform(3, 25)
    part_spread, row_spread = random.uniform(0.2, 1.3), random.uniform(0.4, 1.8)
    centers = random.standard_normal((n_classes, d)) * of_center
    if random.random() < 0.4:
        n_groups = max(2, n_classes // int(random.integers(3, 9)))
        groups = random.standard_normal((n_groups, d)) * of_center
        shared = random.uniform(0.3, 0.8)
        of_class = groups[random.integers(n_groups, size=n_classes)]
        centers = np.sqrt(1 - shared) * centers + np.sqrt(shared) * of_class
    rows = []
    for center, size in zip(centers, sizes, strict=True):
        n_parts = 1 + random.poisson(size / part_size)
        parts = random.standard_normal((n_parts, d)) * of_part * part_spread
        parts = parts * random.lognormal(sigma=0.3)
        part = random.choice(n_parts, size, p=random.dirichlet(np.ones(n_parts)))
        noise = random.standard_normal((size, d)) * of_row * row_spread
        noise *= random.lognormal(sigma=0.25, size=(size, 1)) * random.lognormal(sigma=0.2)
        rows.append(center + parts[part] + noise)
    X = np.concatenate(rows)
    X += random.uniform(0, 1.2) * random.standard_normal(d) * of_center
    y = np.repeat(np.arange(n_classes), sizes)
    order = random.permutation(len(y))
    return X[order].astype(np.float32), y[order]


def nearest_neighbor_rate(X: np.ndarray, y: np.ndarray) -> float:
    """Share of rows whose nearest other row is of their class, among classes of two or more."""
    nearest = NearestNeighbors(n_neighbors=1).fit(unit_rows(X)).kneighbors()[1][:, 0]
    many = np.bincount(y)[y] > 1
    return float((y[nearest] == y)[many].mean())


def characters(seed: int) -> Iterator[Rows]:
    """Characters as pixels along main axes, and as two encoders see them."""
    glyphs = load_glyphs(random_state=seed)
    order = np.random.default_rng(seed).permutation(glyphs.target.max() + 1)

    def rows_of(start: int, stop: int) -> np.ndarray:
        return np.flatnonzero(np.isin(glyphs.target, order[start:stop]))

    seen = rows_of(0, 900)
    pixels = PCA(64, random_state=seed).fit(glyphs.data[seen])
    rows = rows_of(900, 1_200)
    yield pixels.transform(glyphs.data[rows]), glyphs.target[rows]
    for number, (max_iter, n_components, n_classes) in enumerate([(3, 32, 300), (10, 64, 900)]):
        seen = rows_of(0, n_classes)
        encoder = ClassifierEncoder(
            n_components, max_iter=max_iter, image_shape=(28, 28), random_state=seed + number
        ).fit(glyphs.data[seen], glyphs.target[seen])
        for start in (1_200 + 300 * number, 2_250):
            rows = rows_of(start, start + 250)
            yield encoder.transform(glyphs.data[rows]), glyphs.target[rows]


def sentences() -> Iterator[Rows]:
    """Sentences of Python's documentation, as TF-IDF along main axes; a class is a topic."""
    topics = importlib.import_module("pydoc_data.topics").topics
    found = {name: _split(text)[:60] for name, text in topics.items()}
    yield _embed({name: s for name, s in found.items() if len(s) >= 5}, 128)
    found = {}
    for name in MODULES:
        texts = {text for doc in _docstrings(name) for text in (_split(doc) or [doc])}
        found[name] = sorted(texts)[:MAX_SENTENCES]
    yield _embed(found, 200, ngram_range=(1, 2))


def _split(text: str) -> list[str]:
    parts = re.split(r"(?<=[.:])\s+|\n\n", re.sub(r"[ \t]+", " ", text))
    return [part.strip() for part in parts if len(part.strip()) > MIN_SENTENCE]


def _docstrings(name: str) -> Iterator[str]:
    module = importlib.import_module(name)
    for _, member in inspect.getmembers(module):
        inner = list(vars(member).values()) if inspect.isclass(member) else []
        for one in (member, *inner):
            home = getattr(one, "__module__", None) or ""
            if callable(one) and home.split(".")[0] == name.split(".")[0]:
                doc = inspect.getdoc(one)
                if doc:
                    yield doc


def _embed(texts_of: dict[str, list[str]], n_components: int, **options: object) -> Rows:
    texts = [text for texts in texts_of.values() for text in texts]
    y = np.repeat(np.arange(len(texts_of)), [len(texts) for texts in texts_of.values()])
    weights = TfidfVectorizer(sublinear_tf=True, min_df=2, **options).fit_transform(texts)
    X = TruncatedSVD(n_components, random_state=0).fit_transform(weights)
    full = np.linalg.norm(X, axis=1) > 1e-6
    return X[full].astype(np.float32), y[full]


def digits() -> Iterator[Rows]:
    """Handwritten digits, as pixels."""
    yield load_digits(return_X_y=True)


def make_mixture(seed: int, build_graph: Callable) -> list[LabelledGraph]:
    """All data sets, as graphs."""
    kinds = (
        ("identities", many_identities(100 + seed)),
        ("parts", classes_of_parts(seed)),
        ("sentences", sentences()),
        ("images", characters(seed)),
        ("images", digits()),
    )
    data = []
    for kind, made in kinds:
        for X, y in made:
            y = np.unique(y, return_inverse=True)[1].astype(np.int64)
            graph = build_graph(unit_rows(X))
            ones = np.ones(len(y), dtype=np.float32)
            data.append(LabelledGraph(graph, y, ones, assign_folds(y, seed), IMPORTANCE[kind]))
            print(f"{kind}: {len(y)} rows, {X.shape[1]} features, {y.max() + 1} classes")
    return data


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    start = time.perf_counter()
    build_graph = graph_builder(N_NEIGHBORS, metric="cosine", algorithm="brute")
    data = make_mixture(args.seed, build_graph)
    # So many data sets are worth more steps than one.
    _perceptron.n_training_steps = lambda n_rows, batch_size: N_STEPS
    network, threshold, curve = train_relational(
        data,
        build_graph,
        max_iter=ARCHITECTURES["relational"].max_iter,
        settings=PerceptronSettings(HIDDEN_DIM, LEARNING_RATE, BATCH_SIZE),
        seed=args.seed,
        on_network=lambda loss: print(f"loss {loss:.3f}", flush=True),
    )
    clusterer = HiLanderClustering()
    clusterer._set_model(Model(ARCHITECTURES["relational"], network, threshold, tuple(curve)))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    clusterer.save(args.out, clusters=False)
    print(f"threshold {threshold}; {args.out}: {args.out.stat().st_size / 1e6:.2f} MB")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
