"""The right error, or a right result, for input that is not as it should be."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from conftest import make_clusters
from sklearn.utils.validation import check_array

from sklearn_hilander import HiLanderClustering

QUICK = dict(max_iter=1, batch_size=128, random_state=0)
LABELS = {
    "one class": np.zeros(20, dtype=int),
    "all different": np.arange(20),
    "strings": np.array(["a", "b"] * 10),
    "objects": np.array(["a", "b"] * 10, dtype=object),
    "floats": np.tile([0.5, 1.5], 10),
    "bools": np.tile([True, False], 10),
    "all -1": np.full(20, -1),
    "singletons and one pair": np.r_[0, 0, np.arange(1, 19)],
}


@pytest.mark.parametrize("kind", LABELS)
def test_training_on_tiny_input(rng, kind):
    X = rng.normal(size=(20, 4))
    clusterer = HiLanderClustering(**QUICK).fit(X, LABELS[kind])
    assert np.isfinite(clusterer.loss_curve_).all()
    assert clusterer.labels_.shape == (20,)


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("n", [2, 3, 5, 9, 10, 11])
@pytest.mark.parametrize("algorithm", ["brute", "hnsw"])
def test_no_more_rows_than_neighbors(rng, n, labels, algorithm):
    X = rng.normal(size=(n, 4))
    y = np.arange(n) % 2 if labels else None
    clusterer = HiLanderClustering(9, algorithm=algorithm, **QUICK).fit(X, y)
    assert clusterer.labels_.shape == (n,)
    np.testing.assert_array_equal(clusterer.predict(X), clusterer.labels_)


@pytest.mark.parametrize("labels", [None, [0]])
def test_one_row(labels):
    clusterer = HiLanderClustering(**QUICK).fit([[1.0, 2.0]], labels)
    np.testing.assert_array_equal(clusterer.labels_, [0])
    np.testing.assert_array_equal(clusterer.predict([[1.0, 2.0], [-5.0, 1.0]]), [0, 1])


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_all_rows_equal(labels, metric):
    X = np.full((30, 3), 0.7)
    y = np.arange(30) % 3 if labels else None
    clusterer = HiLanderClustering(metric=metric, **QUICK).fit(X, y)
    np.testing.assert_array_equal(clusterer.labels_, np.zeros(30))


def test_zero_rows_form_a_cluster_of_their_own(clusters):
    X, _ = clusters
    X = np.vstack([np.zeros((3, X.shape[1])), X])
    clusterer = HiLanderClustering().fit(X)
    assert (clusterer.labels_[:3] == 0).all()
    assert (clusterer.labels_[3:] > 0).all()
    np.testing.assert_array_equal(clusterer.predict(X[:1]), [0])


@pytest.mark.parametrize("n_copies", [2, 20])
def test_copies_share_a_cluster(rng, n_copies):
    X, y = make_clusters(rng)
    X = np.repeat(X, n_copies, axis=0)
    labels = HiLanderClustering(5, **QUICK).fit_predict(X, np.repeat(y, n_copies))
    assert (labels.reshape(-1, n_copies) == labels[::n_copies, None]).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(clusters, value):
    X, y = clusters
    X[5, 2] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        HiLanderClustering().fit(X)
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        HiLanderClustering().fit(X, y)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (sp.random(20, 5, 0.5, format="csr", random_state=0), "[Ss]parse"),
        (np.arange(5.0), "1D array"),
        (np.empty((0, 4)), "0 sample"),
        (np.empty((4, 0)), "0 feature"),
        (np.ones((2, 2, 2)), "dim 3"),
        ([["a", "b"], ["c", "d"]], "convert"),
        (np.ones((3, 2)) * 1j, "Complex data"),
    ],
)
def test_wrong_kind_of_rows(X, message):
    with pytest.raises((ValueError, TypeError), match=message):
        HiLanderClustering().fit(X)


def test_wrong_number_of_columns(clusters):
    X, _ = clusters
    clusterer = HiLanderClustering().fit(X)
    with pytest.raises(ValueError, match="X has 3 features"):
        clusterer.predict(X[:, :3])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_neighbors", 0),
        ("linkage_threshold", 1.0),
        ("linkage_threshold", "never"),
        ("max_levels", 0),
        ("min_cluster_size", 0),
        ("metric", "manhattan"),
        ("algorithm", "kd_tree"),
        ("architecture", "transformer"),
        ("max_iter", 0),
        ("learning_rate", 0),
        ("batch_size", 0),
        ("hidden_dim", 0),
        ("device", 3),
        ("device", "abacus"),
        ("pretrained", "nowhere"),
    ],
)
def test_parameters_out_of_range(clusters, parameter, value):
    with pytest.raises(ValueError, match=parameter):
        HiLanderClustering(**{parameter: value}).fit(clusters[0])


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "bool"])
def test_dtypes_and_layouts(rng, dtype):
    X = (rng.normal(size=(40, 6)) * 5).astype(dtype)
    expected = HiLanderClustering().fit_predict(X.astype(float))
    for same in (X, np.asfortranarray(X), X[::-1][::-1], X.tolist(), pd.DataFrame(X)):
        np.testing.assert_array_equal(HiLanderClustering().fit_predict(same), expected)


def test_feature_names(clusters):
    X, _ = clusters
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    clusterer = HiLanderClustering().fit(frame)
    assert list(clusterer.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        clusterer.predict(frame[frame.columns[::-1]])


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_norms_at_the_ends(clusters, scale):
    X, _ = clusters
    X = check_array(X)
    expected = HiLanderClustering().fit_predict(X)
    np.testing.assert_array_equal(HiLanderClustering().fit_predict(X * scale), expected)


def test_input_is_not_changed(clusters):
    X, y = clusters
    X = X.astype(np.float32)
    X.setflags(write=False)
    before = X.copy()
    HiLanderClustering(**QUICK).fit(X, y).predict(X)
    np.testing.assert_array_equal(X, before)
