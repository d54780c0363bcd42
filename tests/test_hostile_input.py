"""Input that is not as it should be: a right result, or the right kind of error.

The tables name every kind. Each is clustered without labels in both metrics and, where training
could trip, learned from by the relational model and by the paper's network.
"""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from conftest import make_clusters

from sklearn_hilander import HiLanderClustering

QUICK = dict(architecture="gcn", max_iter=1, hidden_dim=8, random_state=0)
RELATIONAL = {**QUICK, "architecture": "relational"}
X, Y = make_clusters(np.random.default_rng(0))


def repeated_columns(n):
    return np.tile(X[:30], (1, n // X.shape[1]))


# Rows that must be clustered: finite numbers, whatever they are.
GOOD = {
    "one row": X[:1],
    "two rows": X[:2],
    "three rows": X[:3],
    "as many rows as neighbours": X[:9],
    "one more": X[:10],
    "two more": X[:11],
    "two copies of each": np.repeat(X, 2, axis=0),
    "more copies than neighbours": np.repeat(X[::6], 20, axis=0),
    "all rows equal": np.full((30, 3), 0.7),
    "all rows zero": np.zeros((30, 3)),
    "some rows zero": np.vstack([np.zeros((3, 16)), X]),
    "subnormal": X * 1e-310,
    "subnormal in float32": (X * 1e-42).astype(np.float32),
    "norms of 1e-30": X * 1e-30,
    "norms of 1e30": X * 1e30,
    "norms of 1e30 in float32": (X * 1e30).astype(np.float32),
    "norms of 1e300": X * 1e300,
    "norms from 1e-30 to 1e30": X * np.logspace(-30, 30, len(X))[:, None],
    "rows and their opposites": np.vstack([X, -X]),
    "two opposite rows": np.vstack([X[:1], -X[:1]]),
    "orthogonal rows": np.eye(20),
    "one feature": X[:, :1],
    "one feature that is constant": np.ones((20, 1)),
    "10,000 features": repeated_columns(10_000),
    "more features than rows": X[:12].repeat(4, axis=1),
}
# The same values in another form, which must give the same labels.
FORMS = {
    "float32 as float64": lambda X: X.astype(np.float32).astype(np.float64),
    "long double": lambda X: X.astype(np.longdouble),
    "object": lambda X: X.astype(object),
    "Fortran order": np.asfortranarray,
    "negative strides": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "every other of a larger one": lambda X: np.repeat(np.repeat(X, 2, 0), 2, 1)[::2, ::2],
    "list of lists": lambda X: X.tolist(),
    "tuple of arrays": tuple,
    "numbers as text": lambda X: X.astype(str).astype(object),
    "masked array without masked values": np.ma.masked_array,
    "data frame": pd.DataFrame,
    "data frame of mixed dtypes": lambda X: pd.DataFrame(X).astype({0: np.float32, 1: object}),
    "torch tensor": torch.from_numpy,
    "big-endian": lambda X: X.astype(">f8"),
}
DTYPES = ["float16", "float32", "float64", "int8", "int64", "uint8", "uint64", "bool"]
# What must be refused: kind of error, and what its message must hold.
BAD = {
    "NaN": (np.where(np.arange(72)[:, None] == 5, np.nan, X), ValueError, r"row 5 of X.*NaN"),
    "infinity": (np.where(np.arange(72)[:, None] == 5, np.inf, X), ValueError, r"row 5 of X.*inf"),
    "-infinity": (np.where(X < -0.4, -np.inf, X), ValueError, r"rows \d+, \d+, \d+ and \d+ more"),
    "NaN in float32": (np.full((4, 3), np.nan, np.float32), ValueError, "rows 0, 1, 2 and 1 more"),
    "missing value in a data frame": (pd.DataFrame({"a": [1, 2, None]}), ValueError, "row 2 of X"),
    "masked values": (np.ma.masked_array(X, mask=X > 0.7), ValueError, "masked values in rows"),
    "complex": (X * 1j, ValueError, "Complex data"),
    "words": ([["a", "b"], ["c", "d"]], ValueError, "rows 0, 1 of X: .*numbers.*convert string"),
    "a word": ([[1.0, 2.0], [3.0, "4,5"]], ValueError, "row 1 of X: .*numbers.*'4,5'"),
    "words in a data frame": (pd.DataFrame({"a": [1, 2], "b": ["3", "y"]}), ValueError, "row 1 of"),
    "mappings": (np.array([[{}, 1], [2, 3]], object), TypeError, "not 'dict'"),
    "one text": ("abc", ValueError, "convert"),
    "ragged lists": ([[1.0, 2.0], [3.0]], ValueError, "row 1 of X: not as many .*inhomogeneous"),
    "a ragged list of numbers": ([[1.0], 2.0], ValueError, "inhomogeneous"),
    "generator": ((row for row in X), TypeError, "X is a generator.*pass a list"),
    "iterator": (iter(X.tolist()), TypeError, "X is a list_iterator"),
    "sparse matrix": (sp.csr_array(X), TypeError, "[Ss]parse"),
    "sparse matrix in another form": (sp.coo_matrix(X), TypeError, "[Ss]parse"),
    "one dimension": (X[0], ValueError, "1D array"),
    "three dimensions": (X[None], ValueError, "dim 3"),
    "a number": (3.0, ValueError, "Expected 2D array"),
    "nothing": (None, ValueError, "Expected 2D array"),
    "no rows": (np.empty((0, 4)), ValueError, "0 sample"),
    "no features": (np.empty((4, 0)), ValueError, "0 feature"),
    "structured": (np.zeros(3, dtype=[("a", "f4")]), ValueError, "1D array"),
    "over the range of float64": ([["1e999", 1.0], [2.0, 3.0]], ValueError, "row 0 of X"),
}
LABELS = {
    "one class": np.zeros(20, dtype=int),
    "all singletons": np.arange(20),
    "singletons and one pair": np.r_[0, 0, np.arange(1, 19)],
    "all -1": np.full(20, -1),
    "half -1": np.where(np.arange(20) % 2, -1, np.arange(20) % 4),
    "words": np.array(["a", "b"] * 10),
    "objects": np.array(["a", "b"] * 10, dtype=object),
    "floats": np.tile([0.5, 1.5], 10),
    "bools": np.tile([True, False], 10),
    "far apart": np.tile([-(2**62), 2**62], 10),
    "unsigned": np.tile(np.array([0, 255], dtype=np.uint8), 10),
    "series": pd.Series(["a", "b"] * 10, index=range(100, 120)),
}
BAD_LABELS = {
    "too few": (np.zeros(71), ValueError, "inconsistent numbers of samples"),
    "NaN": (np.r_[np.nan, Y[1:]], ValueError, "y contains NaN.* in row 0:"),
    "infinity": (np.r_[Y[1:], np.inf], ValueError, "y contains .*infinity in row 71:"),
    "NaN among words": (np.array(["a", np.nan] * 36, object), ValueError, "in rows 1, 3, 5 and 33"),
    "NaN in a list of words": (["a", np.nan] * 36, ValueError, "in rows 1, 3, 5 and 33"),
    "None": (np.array([*Y[1:], None], object), ValueError, "y contains .*None.* in row 71:"),
    "missing integers": (pd.array([*Y[1:], None], dtype="Int64"), ValueError, "in row 71:"),
    "masked": (np.ma.masked_array(Y, mask=Y == Y[-1]), ValueError, "y has masked values in rows"),
    "words and numbers": (np.array([1, "a"] * 36, object), ValueError, "y mixes .*: int, str"),
    "complex": (Y * 1j, ValueError, "Complex data"),
    "generator": ((label for label in Y), TypeError, "y is a generator.*pass a list"),
    "sparse": (sp.csr_array(Y[:, None]), TypeError, "[Ss]parse"),
    "two columns": (np.stack([Y, Y], axis=1), ValueError, "y should be a 1d array"),
    "a number": (3, ValueError, "1d array"),
}
BAD_PARAMETERS = [
    ("n_neighbors", 0),
    ("n_neighbors", 2.5),
    ("linkage_threshold", 1.0),
    ("linkage_threshold", -0.1),
    ("linkage_threshold", np.nan),
    ("linkage_threshold", "never"),
    ("max_levels", 0),
    ("min_cluster_size", 0),
    ("metric", "manhattan"),
    ("algorithm", "kd_tree"),
    ("architecture", "transformer"),
    ("max_iter", 0),
    ("learning_rate", 0),
    ("learning_rate", np.nan),
    ("batch_size", 0),
    ("hidden_dim", 0),
    ("device", 3),
    ("device", "abacus"),
    ("device", "cuda:99"),
    ("device", "meta"),
    ("n_jobs", 1.5),
    ("memory", 3),
    ("checkpoint", 3),
    ("random_state", "seed"),
    ("verbose", -1),
    ("pretrained", "nowhere"),
    ("pretrained", 3),
]


def assert_clustered(clusterer, X):
    """What holds for every result: labels in order from 0, copies together, `predict` agrees."""
    labels = clusterer.labels_
    assert labels.shape == (len(X),)
    _, first = np.unique(labels, return_index=True)
    assert (np.diff(first) > 0).all()
    assert labels.max() + 1 == clusterer.n_clusters_ == len(first)
    rows = np.asarray(X, dtype=np.float64)
    _, same = np.unique(rows, axis=0, return_inverse=True)
    assert len(np.unique(np.stack([same.reshape(-1), labels]), axis=1).T) == same.max() + 1
    np.testing.assert_array_equal(clusterer.predict(X), labels)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", GOOD)
def test_rows_that_must_be_clustered(kind, metric):
    rows = GOOD[kind]
    for architecture in ("untrained", "relational"):
        clusterer = HiLanderClustering(metric=metric, architecture=architecture).fit(rows)
        assert_clustered(clusterer, rows)
    clusterer.set_params(**QUICK).fit(rows, np.arange(len(rows)) % 4)
    assert np.isfinite(clusterer.loss_curve_).all()
    assert_clustered(clusterer, rows)


@pytest.mark.parametrize(
    "kind",
    [
        "one row",
        "two rows",
        "three rows",
        "one more",
        "more copies than neighbours",
        "all rows zero",
        "some rows zero",
        "norms from 1e-30 to 1e30",
        "two opposite rows",
        "one feature",
        "10,000 features",
    ],
)
def test_rows_that_relations_must_be_learned_from(kind):
    rows = GOOD[kind]
    for metric in ("cosine", "euclidean"):
        clusterer = HiLanderClustering(metric=metric, **RELATIONAL)
        clusterer.fit(rows, np.arange(len(rows)) % 4)
        assert np.isfinite(clusterer.loss_curve_).all()
        assert_clustered(clusterer, rows)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", [kind for kind in GOOD if GOOD[kind].shape[1] == 16])
def test_rows_that_must_be_assigned(kind, metric):
    clusterer = HiLanderClustering(metric=metric, pretrained="default").fit(X)
    rows, known = GOOD[kind], clusterer.labels_
    labels = clusterer.predict(rows)
    assert labels.shape == (len(rows),)
    assert labels.min() >= 0
    opened = np.unique(labels[labels >= clusterer.n_clusters_])
    np.testing.assert_array_equal(opened, clusterer.n_clusters_ + np.arange(len(opened)))
    clusterer.partial_fit(rows, min_growth=None)
    np.testing.assert_array_equal(clusterer.labels_, np.r_[known, labels])
    np.testing.assert_array_equal(clusterer.predict(rows), labels)
    clusterer.partial_fit(rows)
    assert len(clusterer.labels_) == len(X) + 2 * len(rows)
    np.testing.assert_array_equal(clusterer.predict(rows), clusterer.labels_[-len(rows) :])


@pytest.mark.parametrize("algorithm", ["brute", "ivf", "hnsw"])
@pytest.mark.parametrize("kind", ["one row", "two rows", "one more", "two copies of each"])
def test_few_rows_in_either_search(kind, algorithm):
    clusterer = HiLanderClustering(algorithm=algorithm, random_state=0).fit(GOOD[kind])
    assert_clustered(clusterer, GOOD[kind])


@pytest.mark.parametrize("architecture", ["relational", "gcn", "untrained"])
def test_cells_are_not_for_euclidean_distances(architecture):
    params = dict(algorithm="ivf", metric="euclidean", architecture=architecture)
    with pytest.raises(ValueError, match="with metric='euclidean' take 'auto', 'brute' or 'hnsw'"):
        HiLanderClustering(**params).fit(X)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_what_is_known_of_the_result(metric):
    clusterer = HiLanderClustering(metric=metric)
    np.testing.assert_array_equal(clusterer.fit_predict(GOOD["one row"]), [0])
    np.testing.assert_array_equal(clusterer.fit_predict(GOOD["all rows equal"]), np.zeros(30))
    np.testing.assert_array_equal(clusterer.fit_predict(GOOD["all rows zero"]), np.zeros(30))


def test_what_is_known_of_the_result_by_cosine():
    clusterer = HiLanderClustering()
    expected = clusterer.fit_predict(X)
    for kind in ("subnormal", "norms of 1e-30", "norms of 1e30", "norms of 1e300"):
        labels = clusterer.fit_predict(GOOD[kind])
        if kind != "subnormal":  # which holds few digits of each value
            np.testing.assert_array_equal(labels, expected)
    # Zero rows have no direction: they are a cluster of their own.
    labels = clusterer.fit_predict(GOOD["some rows zero"])
    assert (labels[:3] == 0).all()
    assert (labels[3:] > 0).all()
    # What has no similarity is not joined.
    assert len(set(clusterer.fit_predict(GOOD["two opposite rows"]))) == 2
    assert len(set(clusterer.fit_predict(GOOD["orthogonal rows"]))) == 20
    opposite = clusterer.fit_predict(GOOD["rows and their opposites"])
    assert not set(opposite[: len(X)]) & set(opposite[len(X) :])


@pytest.mark.parametrize("form", FORMS)
def test_the_form_does_not_matter(form):
    rows = X.astype(np.float32).astype(np.float64)
    other = FORMS[form](rows)
    for labels in (None, Y):
        expected = HiLanderClustering(**QUICK).fit(rows, labels)
        clusterer = HiLanderClustering(**QUICK).fit(other, labels)
        np.testing.assert_array_equal(clusterer.labels_, expected.labels_)
        np.testing.assert_array_equal(clusterer.predict(other), expected.labels_)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_does_not_matter(dtype):
    rows = (X * 5).astype(dtype)
    expected = HiLanderClustering().fit_predict(rows.astype(float))
    np.testing.assert_array_equal(HiLanderClustering().fit_predict(rows), expected)


def test_a_read_only_file_is_neither_copied_back_nor_changed(tmp_path):
    np.save(tmp_path / "rows.npy", X.astype(np.float32))
    before = (tmp_path / "rows.npy").read_bytes()
    rows = np.load(tmp_path / "rows.npy", mmap_mode="r")
    clusterer = HiLanderClustering(**QUICK).fit(rows, Y)
    expected = HiLanderClustering(**QUICK).fit(np.array(rows), Y)
    np.testing.assert_array_equal(clusterer.labels_, expected.labels_)
    np.testing.assert_array_equal(clusterer.predict(rows), clusterer.labels_)
    assert (tmp_path / "rows.npy").read_bytes() == before


@pytest.mark.parametrize("kind", BAD)
def test_rows_that_must_be_refused(kind):
    rows, error, message = BAD[kind]
    clusterer = HiLanderClustering().fit(X)
    before = dict(vars(clusterer))
    calls = [lambda: clusterer.fit(rows), lambda: clusterer.fit(rows, Y)]
    if not isinstance(rows, pd.DataFrame):  # it has names of features, which comes first
        calls += [
            lambda: clusterer.predict(rows),
            lambda: clusterer.score(rows, Y),
            lambda: clusterer.partial_fit(rows),
            lambda: clusterer.soft_membership(rows),
        ]
        if rows is None:  # which means the fitted rows
            del calls[-1]
    for call in calls:
        with pytest.raises(error, match=f"(?s){message}"):
            call()
        assert vars(clusterer).keys() == before.keys()
        assert all(vars(clusterer)[name] is value for name, value in before.items())


def test_true_is_one_neighbor():
    labels = HiLanderClustering(n_neighbors=True).fit_predict(X)
    np.testing.assert_array_equal(labels, HiLanderClustering(n_neighbors=1).fit_predict(X))


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_must_be_learned_from(kind):
    for setting in (QUICK, RELATIONAL):
        clusterer = HiLanderClustering(5, **setting).fit(X[:20], LABELS[kind])
        assert np.isfinite(clusterer.loss_curve_).all()
        assert_clustered(clusterer, X[:20])


NONE = np.arange(20) % 2 == 0  # rows of no class
FOUR = np.arange(20) // 2 % 4 - 3  # classes, on both sides of -1
FOUR[FOUR == -1] = 7
NO_CLASS = {
    "integers": np.where(NONE, -1, FOUR),
    "floats": np.where(NONE, -1.0, FOUR + 0.5),
    "objects": np.where(NONE, -1, FOUR).astype(object),
    "nullable integers": pd.Series(np.where(NONE, -1, FOUR), dtype="Int64"),
    "among words": [-1 if none else f"{label}" for none, label in zip(NONE, FOUR, strict=True)],
    "among words, a tuple": tuple(np.where(NONE, -1, FOUR.astype(str).astype(object))),
}


@pytest.mark.parametrize("kind", NO_CLASS)
def test_a_row_labelled_minus_one_stands_alone(kind):
    for metric, rows in (("cosine", X[:20]), ("precomputed", 1 - np.eye(20))):
        clusterer = HiLanderClustering(metric=metric)
        codes = clusterer._check_training_input(rows, NO_CLASS[kind])[1]
        assert sorted(np.bincount(codes)) == [1] * 10 + [2, 2, 3, 3]
        assert len(set(codes[NONE])) == 10
        np.testing.assert_array_equal(
            codes[~NONE][:, None] == codes[~NONE], FOUR[~NONE][:, None] == FOUR[~NONE]
        )


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_labels_that_must_be_refused(kind):
    labels, error, message = BAD_LABELS[kind]
    clusterer = HiLanderClustering().fit(X)
    before = dict(vars(clusterer))
    with pytest.raises(error, match=message):
        clusterer.fit(X, labels)
    assert all(vars(clusterer)[name] is value for name, value in before.items())


@pytest.mark.parametrize(("parameter", "value"), BAD_PARAMETERS)
def test_parameters_out_of_range(parameter, value):
    clusterer = HiLanderClustering().fit(X)
    before = dict(vars(clusterer))
    clusterer.set_params(**{parameter: value})
    with pytest.raises(ValueError, match=parameter) as caught:
        clusterer.fit(X)
    # scikit-learn's own message, but for what it cannot know: devices and files.
    known = f"The {parameter!r} parameter of HiLanderClustering must be "
    assert str(caught.value).startswith(known) or parameter in ("device", "pretrained")
    clusterer.set_params(**{parameter: before[parameter]})
    assert all(vars(clusterer)[name] is value for name, value in before.items())


def test_a_value_out_of_range_is_tried_for_every_parameter():
    tried = {parameter for parameter, _ in BAD_PARAMETERS}
    assert tried == HiLanderClustering().get_params().keys()


@pytest.mark.parametrize("n_features", [1, 15, 17])
def test_wrong_number_of_columns(n_features):
    clusterer = HiLanderClustering().fit(X)
    rows = np.ones((3, n_features))
    before = dict(vars(clusterer))
    for call in (
        clusterer.predict,
        clusterer.partial_fit,
        clusterer.soft_membership,
        lambda rows: clusterer.score(rows, [0, 0, 1]),
    ):
        with pytest.raises(ValueError, match=f"X has {n_features} features.*expecting 16"):
            call(rows)
    assert all(vars(clusterer)[name] is value for name, value in before.items())


def test_feature_names():
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    clusterer = HiLanderClustering().fit(frame)
    assert list(clusterer.feature_names_in_) == list(frame.columns)
    with pytest.raises(ValueError, match="feature names"):
        clusterer.predict(frame[frame.columns[::-1]])


def test_input_is_not_changed():
    rows, labels = X.astype(np.float32), Y.copy()
    rows.setflags(write=False)
    labels.setflags(write=False)
    before = rows.copy()
    HiLanderClustering(**QUICK).fit(rows, labels).predict(rows)
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal(labels, Y)
