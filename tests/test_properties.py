"""What holds for any rows and parameters: hypothesis looks for those for which it does not."""

import os

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._rows._embeddings import canonical_embeddings
from sklearn_hilander._rows._row_scaler import fit_row_scaler
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.metrics import pairwise_f_score

QUICK = dict(max_iter=1, hidden_dim=4, random_state=0)
MODELS = ("none", "default", "relational", "gat")
WIDTH = 4  # of the rows that "gat" was trained on
DTYPES = ("float64", "float32", "float16", "int8", "bool")


@pytest.fixture(scope="module")
def models():
    """Models to take as `pretrained`, by name."""
    X, y = make_identities(120, WIDTH, mean_size=8, random_state=0)
    learned = {
        name: HiLanderClustering(5, architecture=name, **QUICK).fit(X, y)
        for name in ("relational", "gat")
    }
    return {"none": None, "default": "default", **learned}


@st.composite
def rows(draw, n_features, max_rows=24):
    """Rows of any dtype: few values, so that ties and copies are the rule; or any finite ones."""
    shape = (draw(st.integers(1, max_rows)), n_features)
    kind = draw(st.sampled_from(("few values", "any values", "around centers")))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if kind == "around centers":
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        centers = rng.normal(size=(3, n_features))
        X = centers[rng.integers(0, 3, shape[0])] + 0.1 * rng.normal(size=shape)
    elif kind == "few values":
        X = draw(hnp.arrays(np.int8, shape, elements=st.integers(-2, 2)))
    else:
        # Magnitudes from 1e-6 to 1e4: float16 holds them.
        X = draw(hnp.arrays(np.float64, shape, elements=st.floats(-1e4, 1e4).map(
            lambda value: 0.0 if abs(value) < 1e-6 else value)))  # fmt: skip
    if dtype.kind == "i":
        X = np.clip(X, -100, 100)
    X = X.astype(dtype)
    if draw(st.booleans()):
        X = X[draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[0] - 1)))]
    event(f"{kind}, {dtype}")
    return X


@st.composite
def cases(draw):
    """Rows, the name of a model, and parameters."""
    model = draw(st.sampled_from(MODELS))
    X = draw(rows(WIDTH if model == "gat" else draw(st.integers(1, 6))))
    parameters = dict(
        n_neighbors=draw(st.none() | st.integers(1, 30)),
        linkage_threshold=draw(st.just("auto") | st.floats(0, 0.99)),
        max_levels=draw(st.none() | st.integers(1, 3)),
        min_cluster_size=draw(st.integers(1, 4)),
        metric=draw(st.sampled_from(("cosine", "euclidean"))),
        algorithm=draw(st.sampled_from(("auto", "brute"))),
    )
    event(model)
    return X, model, parameters


def make(models, model, parameters):
    if model == "none":
        parameters = {**parameters, "architecture": "untrained"}
    return HiLanderClustering(pretrained=models[model], **parameters)


def alone(labels):
    """Noise as clusters of one row, so that partitions can be compared."""
    return np.where(labels < 0, labels.max() + 1 + np.arange(len(labels)), labels)


def same_partition(one, other):
    return pairwise_f_score(alone(one), alone(other)) == 1 and ((one < 0) == (other < 0)).all()


def distinct_rows(X):
    return np.unique(X.astype(np.float64), axis=0, return_inverse=True)[1].reshape(-1)


# More of them: HILANDER_EXAMPLES=5000 pytest tests/test_properties.py
any_number = settings(max_examples=int(os.environ.get("HILANDER_EXAMPLES", "60")), deadline=None)


@given(case=cases())
@any_number
def test_labels_and_attributes(models, case):
    X, model, parameters = case
    before = X.copy()
    clusterer = make(models, model, parameters).fit(X)
    labels = clusterer.labels_
    np.testing.assert_array_equal(X, before)
    assert labels.shape == (len(X),)
    assert labels.dtype == np.int64
    # Contiguous from 0, in the order of their first rows; -1 only under the minimum size.
    known, first, sizes = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    np.testing.assert_array_equal(known, np.arange(clusterer.n_clusters_))
    assert (np.diff(first) > 0).all()
    assert (sizes >= parameters["min_cluster_size"]).all()
    assert parameters["min_cluster_size"] > 1 or (labels >= 0).all()
    np.testing.assert_array_equal(clusterer.cluster_sizes_, sizes)
    # Copies together.
    pairs = np.unique(np.stack([distinct_rows(X), labels]), axis=1)
    assert pairs.shape[1] == distinct_rows(X).max() + 1
    # An exemplar lies in its cluster; strengths are probabilities.
    np.testing.assert_array_equal(labels[clusterer.exemplar_indices_], known)
    assert np.isfinite(clusterer.cluster_centers_).all()
    for strengths in (clusterer.probabilities_, clusterer.outlier_scores_):
        assert strengths.shape == labels.shape
        assert ((strengths >= 0) & (strengths <= 1)).all()
    assert (clusterer.probabilities_[labels < 0] == 0).all()
    # Levels merge and never split, the last one being what was found.
    for fine, coarse in zip(
        clusterer.hierarchy_.labels[:-1], clusterer.hierarchy_.labels[1:], strict=True
    ):
        assert len(np.unique(np.stack([fine, coarse]), axis=1).T) == fine.max() + 1


@given(case=cases(), data=st.data())
@any_number
def test_predict_agrees_with_labels(models, case, data):
    X, model, parameters = case
    clusterer = make(models, model, parameters).fit(X)
    order = np.array(data.draw(st.permutations(range(len(X)))))[: data.draw(st.integers(1, 24))]
    np.testing.assert_array_equal(clusterer.predict(X), clusterer.labels_)
    np.testing.assert_array_equal(clusterer.predict(X[order]), clusterer.labels_[order])
    np.testing.assert_array_equal(
        clusterer.fit_predict(X), make(models, model, parameters).fit(X).labels_
    )


@given(case=cases(), data=st.data())
@any_number
def test_row_order_does_not_matter(models, case, data):
    X, model, parameters = case
    order = np.array(data.draw(st.permutations(range(len(X)))))
    labels = make(models, model, parameters).fit_predict(X)
    shuffled = make(models, model, parameters).fit_predict(X[order])
    assert same_partition(labels[order], shuffled)


@given(case=cases(), data=st.data())
@any_number
def test_scale_does_not_matter_to_the_cosine(models, case, data):
    X, model, parameters = case
    parameters["metric"] = "cosine"
    X = X.astype(np.float64)
    # Of each row by itself, by powers of two, which round nothing.
    exponents = data.draw(hnp.arrays(np.int64, len(X), elements=st.integers(-60, 60)))
    scaled = np.ldexp(X, exponents[:, None])
    labels = make(models, model, parameters).fit_predict(X)
    np.testing.assert_array_equal(make(models, model, parameters).fit_predict(scaled), labels)


@given(case=cases(), data=st.data())
@any_number
def test_new_rows_join_or_open(models, case, data):
    X, model, parameters = case
    new = data.draw(rows(X.shape[1], max_rows=10)).astype(X.dtype)
    clusterer = make(models, model, parameters).fit(X)
    known, n_clusters = clusterer.labels_, clusterer.n_clusters_
    labels = clusterer.predict(new)
    opened = np.unique(labels[labels >= n_clusters])
    np.testing.assert_array_equal(opened, n_clusters + np.arange(len(opened)))
    assert parameters["min_cluster_size"] > 1 or (labels >= 0).all()
    clusterer.partial_fit(new, min_growth=None)
    kept = clusterer.labels_[: len(X)]
    # Known rows stay where they are; what was too small may have grown large enough.
    np.testing.assert_array_equal(kept[known >= 0], known[known >= 0])
    np.testing.assert_array_equal(clusterer.predict(np.vstack([X, new])), clusterer.labels_)
    everything = distinct_rows(np.vstack([X, new]))
    pairs = np.unique(np.stack([everything, clusterer.labels_]), axis=1)
    assert pairs.shape[1] == everything.max() + 1


@given(case=cases(), data=st.data())
@any_number
def test_constraints_are_kept_or_refused(models, case, data):
    X, model, parameters = case
    parameters["min_cluster_size"] = 1
    row = st.integers(0, len(X) - 1)
    pairs = st.lists(st.tuples(row, row).filter(lambda pair: pair[0] != pair[1]), max_size=4)
    given_pairs = dict(must_link=data.draw(pairs) if len(X) > 1 else [],
                       cannot_link=data.draw(pairs) if len(X) > 1 else [])  # fmt: skip
    groups = np.array(data.draw(st.lists(st.integers(-1, 5), min_size=len(X), max_size=len(X))))
    clusterer = make(models, model, parameters)
    said = {name: pairs or None for name, pairs in given_pairs.items()}
    # Copies, by cosine also rows of one direction, are one row: to part them contradicts that.
    scaler = fit_row_scaler(X, parameters["metric"], parameters["n_neighbors"] or 9)
    together = canonical_embeddings(X, scaler).inverse
    try:
        labels = clusterer.fit_predict(X, groups=groups, **said)
    except ValueError as error:
        assert "rows" in str(error)
        event("refused")
        assert contradicts(together, given_pairs, groups)
        assert not hasattr(clusterer, "labels_")
        return
    assert not contradicts(together, given_pairs, groups)
    for a, b in given_pairs["must_link"]:
        assert labels[a] == labels[b]
    for a, b in given_pairs["cannot_link"]:
        assert labels[a] != labels[b]
    for group in set(groups.tolist()) - {-1}:
        members = labels[groups == group]
        assert len(np.unique(members)) == len(members)


def contradicts(together, pairs, groups):
    """Whether what must be together must be apart, too: by hand, one pair after the other."""
    part = together.copy()
    for a, b in pairs["must_link"]:
        part[part == part[b]] = part[a]
    apart = list(pairs["cannot_link"]) + [
        (a, b) for a in range(len(groups)) for b in range(a) if groups[a] == groups[b] != -1
    ]
    return any(part[a] == part[b] for a, b in apart)
