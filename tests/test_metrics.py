import copy
import itertools
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import check_scoring
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from sklearn_hilander import metrics
from sklearn_hilander.metrics import (
    bcubed_f_score,
    bcubed_f_scorer,
    bcubed_precision_recall_fscore,
    pairwise_f_score,
    pairwise_f_scorer,
    pairwise_precision_recall_fscore,
)

TRIPLES = [pairwise_precision_recall_fscore, bcubed_precision_recall_fscore]
SCORERS = [pairwise_f_scorer, bcubed_f_scorer]

label = st.integers(-1, 4)
two_labelings = st.lists(st.tuples(label, label), min_size=1, max_size=14).map(
    lambda rows: tuple(map(list, zip(*rows, strict=True)))
)
quick = settings(max_examples=60, deadline=None)


def together(labels, i, j):
    return i == j or (labels[i] == labels[j] and labels[i] != -1)


def harmonic_mean(precision, recall):
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def pairwise_by_hand(true, pred):
    pairs = list(itertools.combinations(range(len(true)), 2))
    in_true = {pair for pair in pairs if together(true, *pair)}
    in_pred = {pair for pair in pairs if together(pred, *pair)}
    precision = len(in_true & in_pred) / len(in_pred) if in_pred else 1.0
    recall = len(in_true & in_pred) / len(in_true) if in_true else 1.0
    return precision, recall, harmonic_mean(precision, recall)


def bcubed_by_hand(true, pred):
    rows = range(len(true))
    precisions, recalls = [], []
    for i in rows:
        of_class = {j for j in rows if together(true, i, j)}
        of_cluster = {j for j in rows if together(pred, i, j)}
        precisions.append(len(of_class & of_cluster) / len(of_cluster))
        recalls.append(len(of_class & of_cluster) / len(of_class))
    precision, recall = float(np.mean(precisions)), float(np.mean(recalls))
    return precision, recall, harmonic_mean(precision, recall)


def test_all_is_sorted_and_complete():
    assert metrics.__all__ == sorted(metrics.__all__)
    assert all(callable(getattr(metrics, name)) for name in metrics.__all__)


@quick
@given(two_labelings)
def test_agrees_with_brute_force(labelings):
    assert pairwise_precision_recall_fscore(*labelings) == pytest.approx(
        pairwise_by_hand(*labelings)
    )
    assert bcubed_precision_recall_fscore(*labelings) == pytest.approx(bcubed_by_hand(*labelings))


@pytest.mark.parametrize("labelings", [([0, 0, 0, 1], [5, 5, 1, -1]), ([0, 1], [1, 0])])
def test_f_is_the_third_value_and_all_are_floats(labelings):
    assert pairwise_f_score(*labelings) == pairwise_precision_recall_fscore(*labelings)[2]
    assert bcubed_f_score(*labelings) == bcubed_precision_recall_fscore(*labelings)[2]
    for triple in TRIPLES:
        assert [type(value) for value in triple(*labelings)] == [float] * 3


@pytest.mark.parametrize("triple", TRIPLES)
@quick
@given(two_labelings)
def test_swapping_the_sides_swaps_precision_and_recall(triple, labelings):
    precision, recall, f = triple(*labelings)
    assert triple(*reversed(labelings)) == pytest.approx((recall, precision, f))


@pytest.mark.parametrize("triple", TRIPLES)
@quick
@given(two_labelings, st.data())
def test_row_order_and_names_do_not_matter(triple, labelings, data):
    true, pred = labelings
    order = data.draw(st.permutations(range(len(true))))
    names = data.draw(st.permutations([10, 2.5, "a", ("b", 3), True]))
    expected = pytest.approx(triple(true, pred))
    assert triple([true[i] for i in order], [pred[i] for i in order]) == expected
    renamed = np.empty(len(pred), dtype=object)
    renamed[:] = [-1 if value == -1 else names[value] for value in pred]
    assert triple(true, renamed) == expected


@pytest.mark.parametrize("triple", TRIPLES)
@quick
@given(two_labelings)
def test_f_is_one_exactly_for_the_same_partition(triple, labelings):
    true, pred = labelings
    rows = range(len(true))
    same = all(together(true, i, j) == together(pred, i, j) for i in rows for j in rows)
    assert (triple(true, pred)[2] == 1.0) == same
    assert triple(true, true) == (1.0, 1.0, 1.0)
    assert all(0.0 <= value <= 1.0 for value in triple(true, pred))


@pytest.mark.parametrize("triple", TRIPLES)
@quick
@given(two_labelings)
def test_noise_rows_count_as_singletons(triple, labelings):
    apart = [
        [100 + i if value == -1 else value for i, value in enumerate(labels)]
        for labels in labelings
    ]
    assert triple(*labelings) == pytest.approx(triple(*apart))


def test_noise_by_hand():
    # Of the 3 true pairs one is found; the noise rows are no pair.
    assert pairwise_precision_recall_fscore([0, 0, 0, 1], [5, 5, -1, -1]) == (1.0, 1 / 3, 0.5)
    assert pairwise_precision_recall_fscore([-1, -1], [0, 0]) == (0.0, 1.0, 0.0)
    precision, recall, _ = bcubed_precision_recall_fscore([0, 0, 0, 1], [5, 5, -1, -1])
    assert precision == 1.0
    assert recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1) / 4)


@pytest.mark.parametrize(
    "pred",
    [
        np.array([-1.0, -1.0, 0.0]),
        np.array([-1, -1, 0], dtype=np.int8),
        np.array([-1, -1, "a"], dtype=object),
        [-1, -1, "a"],
        (-1, -1, "a"),
        pd.Series([-1, -1, 0], index=[7, 7, 9]),
        pd.Series([-1, -1, "a"], dtype=object),
    ],
)
def test_noise_is_found_in_every_container(pred):
    assert pairwise_precision_recall_fscore([0, 0, 0], pred) == (1.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "pred",
    [
        ["x", "x", "-1"],
        [b"x", b"x", b"y"],
        [None, None, "y"],
        [1, 1.0, 2],
        np.array([False, False, True]),
        np.array([255, 255, 0], dtype=np.uint8),
        np.array(["x", "x", "y"]),
        pd.Series(["x", "x", "y"]),
        pd.Series(["x", "x", "y"], dtype="category"),
        pd.Series(["x", "x", "y"], dtype="string"),
        pd.Series([3, 3, 4], dtype="Int64"),
    ],
)
def test_kinds_of_labels(pred):
    for triple in TRIPLES:
        assert triple([0, 0, 1], pred) == (1.0, 1.0, 1.0)


def test_string_minus_one_is_a_label():
    assert pairwise_f_score(["-1", "-1", "0"], ["-1", "-1", "0"]) == 1.0
    assert pairwise_f_score([0, 0, 1], ["-1", "-1", "0"]) == 1.0


@pytest.mark.parametrize(
    ("true", "pred", "expected"),
    [
        ([0], [3], (1.0, 1.0, 1.0)),
        ([0, 1, 2], [2, 1, 0], (1.0, 1.0, 1.0)),
        ([0, 0, 0], [0, 1, 2], (1.0, 0.0, 0.0)),
        ([0, 1, 2], [0, 0, 0], (0.0, 1.0, 0.0)),
        ([0, 0, 1, 1], [0, 1, 0, 1], (0.0, 0.0, 0.0)),
    ],
)
def test_pairwise_without_pairs(true, pred, expected):
    assert pairwise_precision_recall_fscore(true, pred) == expected


@pytest.mark.parametrize("triple", TRIPLES)
def test_bad_labels(triple):
    good = [0, 0, 1]
    for position, name in enumerate(["labels_true", "labels_pred"]):

        def call(bad, position=position):
            return triple(bad, good) if position == 0 else triple(good, bad)

        for empty in ([], np.array([], dtype=int), pd.Series([], dtype=object)):
            with pytest.raises(ValueError, match=f"{name} is empty"):
                call(empty)
        for not_flat in ([[0], [0], [1]], np.zeros((3, 2)), pd.DataFrame({"a": good}), [["a"]] * 3):
            with pytest.raises(ValueError, match=f"{name} must be 1-d"):
                call(not_flat)
        with pytest.raises(ValueError, match=f"(?s){name}.*NaN"):
            call([0.0, np.nan, 1.0])
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            call([0, 1])


def test_large_counts_do_not_overflow():
    # Two clusters of m, each an even mix of two classes of m.
    m = 3_000_000
    true = np.repeat(np.array([0, 1], dtype=np.int8), m)
    pred = np.tile(np.array([0, 1], dtype=np.int8), m)
    expected = (m // 2 - 1) / (m - 1)
    assert pairwise_precision_recall_fscore(true, pred) == pytest.approx((expected,) * 3, rel=1e-12)


def test_memory_does_not_grow_with_classes_times_clusters():
    # A dense table would hold 9e10 counts.
    n = 300_000
    singletons = np.arange(n)
    pairs = singletons // 2
    precision, recall, _ = bcubed_precision_recall_fscore(pairs, singletons)
    assert (precision, recall) == (1.0, 0.5)
    assert pairwise_precision_recall_fscore(pairs, np.full(n, -1)) == (1.0, 0.0, 0.0)


def test_arguments_are_left_alone():
    true, pred = np.array([0, -1, 1, 1]), np.array([-1, -1, 2, 2])
    true_before, pred_before = true.copy(), pred.copy()
    pairwise_f_score(true, pred)
    np.testing.assert_array_equal(true, true_before)
    np.testing.assert_array_equal(pred, pred_before)


@pytest.fixture(scope="module")
def blobs():
    X, y = make_blobs(
        n_samples=90,
        centers=[[10 * i, 10 * (i % 2)] for i in range(6)],
        cluster_std=0.3,
        random_state=0,
    )
    return X, np.array(list("abcdef"))[y]


@pytest.mark.parametrize("scorer", SCORERS)
def test_grid_search_over_a_pipeline(scorer, blobs):
    X, y = blobs
    search = GridSearchCV(
        make_pipeline(StandardScaler(), DBSCAN(min_samples=2)),
        {"dbscan__eps": [1e-6, 0.3, 100.0]},
        scoring=scorer,
        cv=GroupKFold(3),
        n_jobs=1,
        error_score="raise",
    ).fit(X, y, groups=y)
    assert search.best_params_ == {"dbscan__eps": 0.3}
    assert search.best_score_ == 1.0
    assert (search.cv_results_["mean_test_score"][[0, 2]] < 1.0).all()


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda clusterer: clusterer,
        make_pipeline,
        lambda clusterer: make_pipeline("passthrough", clusterer),
        lambda clusterer: make_pipeline(StandardScaler(), Normalizer(), "passthrough", clusterer),
        lambda clusterer: make_pipeline(StandardScaler(), make_pipeline(Normalizer(), clusterer)),
        lambda clusterer: Pipeline([("scale", StandardScaler()), ("cluster", clusterer)]),
    ],
)
def test_clusterer_without_predict_in_cross_validation(scorer, wrap, blobs):
    X, y = blobs
    estimator = wrap(AgglomerativeClustering(n_clusters=2))
    scores = cross_val_score(
        estimator, X, y, groups=y, cv=GroupKFold(3), scoring=scorer, error_score="raise"
    )
    np.testing.assert_array_equal(scores, [1.0, 1.0, 1.0])


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorer_uses_the_fitted_transformers(scorer):
    # By the fitted scale the two samples are close; scaled anew they would be apart.
    fitted = make_pipeline(StandardScaler(), DBSCAN(eps=0.5, min_samples=1)).fit([[0.0], [100.0]])
    X, y = [[0.0], [1.0]], ["a", "a"]
    assert scorer(fitted, X, y) == 1.0
    assert scorer(fitted.fit(X), X, y) < 1.0


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorer_leaves_the_estimator_as_it_was(scorer, blobs):
    X, y = blobs
    nested = make_pipeline(Normalizer(), StandardScaler(), AgglomerativeClustering(3))
    for estimator in (DBSCAN(min_samples=2), make_pipeline(StandardScaler(), nested)):
        estimator.fit(X)
        before = pickle.dumps(estimator)
        scorer(estimator, X[:40] * 3 + 1, y[:40])
        assert pickle.dumps(estimator) == before


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorer_does_not_draw_from_the_estimators_generator(scorer, blobs):
    X, y = blobs
    generator = np.random.RandomState(0)
    estimator = KMeans(6, n_init=1, random_state=generator).fit(X)
    before = copy.deepcopy(generator.get_state(legacy=False))
    first = scorer(estimator, X, y)
    np.testing.assert_equal(generator.get_state(legacy=False), before)
    assert scorer(estimator, X, y) == first


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorer_is_accepted_and_picklable(scorer):
    assert pickle.loads(pickle.dumps(scorer)) is scorer
    assert check_scoring(DBSCAN(), scoring=scorer) is scorer


@pytest.mark.parametrize("scorer", SCORERS)
def test_scorer_reports_bad_y(scorer, blobs):
    X, y = blobs
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        scorer(DBSCAN().fit(X), X, y[:-1])


def test_large_labels_in_a_list_stay_apart():
    large = [2**63 + 1] * 2 + [2**63 + 2] * 2 + [-5]
    assert pairwise_f_score(large, [0, 0, 1, 1, 2]) == 1
