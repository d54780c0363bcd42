import copy
import functools

import numpy as np
import pytest
import torch
from conftest import make_clusters
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.cluster import HDBSCAN
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_hilander import Architecture, HiLanderClustering, _estimator
from sklearn_hilander._models import _calibration, _meta_training
from sklearn_hilander._rounds._relational import RelationalModel
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.encoding import ClassifierEncoder
from sklearn_hilander.metrics import pairwise_f_score

QUICK = dict(max_iter=1, batch_size=128, random_state=0)
LANDER = dict(architecture="gcn", max_iter=10, hidden_dim=32, random_state=0)


@pytest.fixture(scope="module")
def learned(digits):
    """By its settings, a clusterer that has learned from the digits; each caller has its own."""

    @functools.cache
    def fit_once(**settings):
        return HiLanderClustering(**settings).fit(digits[0], digits[1])

    return lambda settings: copy.deepcopy(fit_once(**settings))


@parametrize_with_checks([HiLanderClustering()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def assert_contiguous(labels):
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_learn_then_cluster_unseen_classes(digits):
    X_meta, y_meta, X_unseen, y_unseen = digits
    clusterer = HiLanderClustering(random_state=0).fit(X_meta, y_meta)
    np.testing.assert_array_equal(clusterer.labels_, clone(clusterer).fit_predict(X_meta, y_meta))
    assert len(clusterer.loss_curve_) == clusterer.n_iter_ == 2
    lander, curve = clusterer.lander_, clusterer.loss_curve_
    labels = clusterer.fit_predict(X_unseen)
    assert_contiguous(labels)
    assert clusterer.n_clusters_ == labels.max() + 1
    assert clusterer.lander_ is lander
    assert clusterer.loss_curve_ == curve
    noisy = HDBSCAN(min_cluster_size=5, copy=True).fit_predict(X_unseen)
    assert pairwise_f_score(y_unseen, labels) > pairwise_f_score(y_unseen, noisy)
    assert clusterer.score(X_unseen, y_unseen) == pairwise_f_score(y_unseen, labels)


def test_loss_falls_over_epochs(learned):
    clusterer = learned(LANDER)
    assert len(clusterer.loss_curve_) == clusterer.n_iter_ == 10
    assert clusterer.loss_curve_[-1] < clusterer.loss_curve_[0]


def test_a_new_fit_with_labels_forgets(digits, learned):
    X_meta, y_meta, X_unseen, y_unseen = digits
    one = HiLanderClustering(**QUICK).fit(X_unseen, y_unseen).fit(X_meta, y_meta)
    other = learned(QUICK)
    np.testing.assert_array_equal(one.labels_, other.labels_)
    assert one.loss_curve_ == other.loss_curve_


def test_hierarchy_ends_in_the_labels(digits):
    clusterer = HiLanderClustering().fit(digits[2])
    hierarchy = clusterer.hierarchy_
    assert hierarchy.n_clusters[-1] == clusterer.n_clusters_
    assert pairwise_f_score(hierarchy.labels[-1], clusterer.labels_) == 1
    for fine, coarse, peaks in zip(
        hierarchy.labels[:-1], hierarchy.labels[1:], hierarchy.peaks[1:], strict=True
    ):
        # Levels only merge, and each cluster holds its own peak.
        assert len(np.unique(np.stack([fine, coarse]), axis=1).T) == fine.max() + 1
        np.testing.assert_array_equal(coarse[peaks], np.arange(len(peaks)))


def test_without_labels_or_weights(clusters):
    X, y = clusters
    clusterer = HiLanderClustering(pretrained=None).fit(X)
    assert adjusted_rand_score(y, clusterer.labels_) > 0.9
    assert clusterer.lander_ is None
    assert clusterer.loss_curve_ == []
    assert clusterer.linkage_threshold_ == 0.5


def test_the_model_that_comes_with_the_package(rng):
    X, y = make_clusters(rng, n_clusters=30, size=15)
    clusterer = HiLanderClustering().fit(X)
    assert adjusted_rand_score(y, clusterer.labels_) > 0.9
    assert isinstance(clusterer.lander_, RelationalModel)
    # Of any width, and after cloning.
    narrow = clone(clusterer).fit(X[:, :7])
    assert narrow.lander_ is not None
    assert narrow.labels_.shape == (len(X),)


def test_training_goes_on_from_the_judge_of_a_pretrained_model(clusters):
    X, y = clusters
    params = dict(n_neighbors=12, random_state=0)
    afresh = HiLanderClustering(pretrained=None, **params).fit(X, y)
    on = HiLanderClustering(**params).fit(X, y)
    assert (afresh.n_iter_, on.n_iter_) == (3, 2)
    assert adjusted_rand_score(y, on.labels_) > 0.9
    # Linkage is learned from scratch, the judge is not.
    one, other = (fitted.lander_.linkage.stages[0].weights[0] for fitted in (afresh, on))
    assert torch.equal(one, other)
    # A second model to start from leads elsewhere; one of another width leads nowhere.
    further = HiLanderClustering(pretrained=on, **params).fit(X, y)
    assert not torch.equal(further.lander_.judges.weights[0], on.lander_.judges.weights[0])
    narrow = HiLanderClustering(hidden_dim=8, **params).fit(X, y)
    assert narrow.n_iter_ == 3
    assert narrow.lander_.judges.width == 8


def test_a_model_that_was_not_learned_here_gives_way(clusters, learned):
    X, _ = clusters
    clusterer = HiLanderClustering().fit(X)
    other = learned(QUICK)
    assert clusterer.set_params(pretrained=other).fit(X).lander_ is other.lander_
    # One that was learned here stays.
    network = other.lander_
    assert other.set_params(pretrained="default").fit(X).lander_ is network


def test_without_a_network_labels_choose_the_threshold(clusters):
    X, y = clusters
    clusterer = HiLanderClustering(architecture="untrained").fit(X, y)
    assert adjusted_rand_score(y, clusterer.labels_) > 0.9
    assert clusterer.lander_ is None
    assert clusterer.linkage_threshold_ in _calibration.THRESHOLD_GRID
    assert clusterer.set_params(pretrained="default").fit(X).lander_ is None


@given(seed=st.integers(0, 10**6), n_clusters=st.integers(1, 6), size=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_properties_of_fit_and_predict(seed, n_clusters, size):
    rng = np.random.default_rng(seed)
    X, _ = make_clusters(rng, n_clusters, size, n_features=5)
    X = np.vstack([X, X[rng.integers(0, len(X), size=4)]])
    clusterer = HiLanderClustering(5).fit(X)
    labels = clusterer.labels_
    assert_contiguous(labels)
    _, distinct = np.unique(X, axis=0, return_inverse=True)
    assert len(np.unique(np.stack([distinct.reshape(-1), labels]), axis=1).T) == distinct.max() + 1
    order = rng.permutation(len(X))
    np.testing.assert_array_equal(clusterer.predict(X[order]), labels[order])
    np.testing.assert_array_equal(clusterer.predict(X[order[:3]]), labels[order[:3]])
    shuffled = HiLanderClustering(5).fit_predict(X[order])
    assert pairwise_f_score(labels[order], shuffled) == 1
    assert pairwise_f_score(labels, HiLanderClustering(5).fit_predict(X * 4.0)) == 1


@pytest.mark.parametrize("setting", [QUICK, LANDER], ids=["relational", "gcn"])
def test_row_order_does_not_matter_to_a_trained_model(digits, rng, setting, learned):
    X_meta, y_meta, X_unseen, _ = digits
    clusterer = learned(setting)
    order = rng.permutation(len(X_meta))
    other = HiLanderClustering(**setting).fit(X_meta[order], y_meta[order])
    assert other.loss_curve_ == clusterer.loss_curve_
    assert pairwise_f_score(clusterer.labels_[order], other.labels_) == 1
    shuffle = rng.permutation(len(X_unseen))
    labels = clusterer.fit_predict(X_unseen)
    assert pairwise_f_score(labels[shuffle], clusterer.fit_predict(X_unseen[shuffle])) == 1


@pytest.mark.parametrize("trained", [False, True])
def test_predict_joins_known_clusters_and_opens_new_ones(rng, trained):
    X, y = make_clusters(rng, n_clusters=8, size=20, n_features=24, spread=0.08)
    known, new = y < 6, y >= 6
    fitted = known & (np.arange(len(y)) % 4 > 0)
    clusterer = HiLanderClustering(random_state=0)
    clusterer.fit(X[fitted], y[fitted] if trained else None)
    before = dict(vars(clusterer))
    labels = clusterer.predict(X[~fitted])
    joined, opened = labels[known[~fitted]], labels[new[~fitted]]
    assert (joined < clusterer.n_clusters_).mean() > 0.9
    assert (
        adjusted_rand_score(np.r_[y[fitted], y[~fitted & known]], np.r_[clusterer.labels_, joined])
        > 0.9
    )
    assert (opened >= clusterer.n_clusters_).all()
    np.testing.assert_array_equal(
        np.unique(labels[labels >= clusterer.n_clusters_]),
        np.arange(clusterer.n_clusters_, labels.max() + 1),
    )
    near = np.flatnonzero(~fitted)[labels < clusterer.n_clusters_]
    alone = [clusterer.predict(X[[i]])[0] for i in near]
    np.testing.assert_array_equal(alone, labels[labels < clusterer.n_clusters_])
    assert vars(clusterer).keys() == before.keys()
    assert all(vars(clusterer)[name] is value for name, value in before.items())


def test_min_cluster_size(clusters):
    X, _ = clusters
    outlier = -X.mean(axis=0, keepdims=True)
    clusterer = HiLanderClustering(min_cluster_size=5, pretrained=None).fit(np.vstack([outlier, X]))
    assert clusterer.labels_[0] == -1
    assert (clusterer.labels_[1:] >= 0).all()
    assert clusterer.n_clusters_ == clusterer.labels_.max() + 1
    np.testing.assert_array_equal(clusterer.predict(outlier), [-1])
    np.testing.assert_array_equal(clusterer.predict(outlier * [1, *[0.5] * 15]), [-1])


def test_pretrained(digits, learned):
    X_unseen, y_unseen = digits[2:]
    trained = learned(QUICK)
    for pretrained in (trained, FrozenEstimator(trained)):
        clusterer = clone(HiLanderClustering(pretrained=pretrained))
        labels = clusterer.fit_predict(X_unseen)
        np.testing.assert_array_equal(
            labels, clone(trained).set_params(pretrained=trained).fit_predict(X_unseen)
        )
        assert clusterer.linkage_threshold_ == trained.linkage_threshold_
    search = GridSearchCV(
        make_pipeline(HiLanderClustering(pretrained=trained, **QUICK)),
        {"hilanderclustering__linkage_threshold": [0.2, 0.6]},
        cv=GroupKFold(2),
    ).fit(X_unseen, y_unseen, groups=y_unseen)
    # Given labels, even a pretrained estimator learns from them.
    assert search.best_estimator_[-1].lander_ is not trained.lander_
    # Relations have no dimension; the paper's network is bound to the one it was trained on.
    narrow = HiLanderClustering(pretrained=trained).fit_predict(X_unseen[:, :30])
    assert_contiguous(narrow)
    bound = learned(LANDER)
    with pytest.raises(ValueError, match="meta-trained on 64"):
        HiLanderClustering(pretrained=bound).fit(X_unseen[:, :10])
    with pytest.raises(ValueError, match="pretrained must be a HiLanderClustering"):
        HiLanderClustering(pretrained=StandardScaler()).fit(X_unseen)


@pytest.mark.parametrize("scoring", [None, "adjusted_rand_score"])
def test_grid_search(digits, scoring):
    X, y = digits[0], digits[1]
    search = GridSearchCV(
        HiLanderClustering(**QUICK),
        {"n_neighbors": [5, 9], "linkage_threshold": [0.3, 0.7]},
        scoring=scoring,
        cv=GroupKFold(2),
        error_score="raise",
    ).fit(X, y, groups=y)
    assert set(search.best_params_) == {"n_neighbors", "linkage_threshold"}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_after_an_encoder_in_a_pipeline(digits):
    pipeline = make_pipeline(
        ClassifierEncoder(max_iter=2, random_state=0), HiLanderClustering(**QUICK)
    )
    labels = pipeline.fit_predict(digits[0], digits[1])
    np.testing.assert_array_equal(pipeline.predict(digits[0]), labels)
    assert_contiguous(labels)


def test_memory_trains_once_a_fold(digits, tmp_path, monkeypatch):
    X, y = digits[0], digits[1]
    calls = tmp_path / "calls"

    original = _meta_training.train_relational

    def counted(*args, **kwargs):
        with calls.open("a") as file:
            file.write("x")
        return original(*args, **kwargs)

    monkeypatch.setattr(_meta_training, "train_relational", counted)
    search = GridSearchCV(
        HiLanderClustering(memory=str(tmp_path / "m"), **QUICK),
        {"linkage_threshold": [0.1, 0.3, 0.5, 0.7]},
        cv=GroupKFold(2),
        refit=False,
    ).fit(X, y, groups=y)
    assert len(search.cv_results_["params"]) == 4
    assert len(calls.read_text()) == 2


def test_failed_calls_change_nothing(digits, learned):
    X, y = digits[0], digits[1]
    clusterer = learned(LANDER)
    before = dict(vars(clusterer))
    bad = X.copy()
    bad[7, 3] = np.nan
    for call in (
        lambda: clusterer.fit(bad),
        lambda: clusterer.fit(X[:, :5]),
        lambda: clusterer.fit(X, y[:-1]),
        lambda: clusterer.fit(X[0]),
        lambda: clusterer.predict(X[:, :5]),
        lambda: clusterer.predict(bad),
        lambda: clusterer.score(bad, y),
    ):
        with pytest.raises(ValueError):
            call()
        assert vars(clusterer).keys() == before.keys()
        assert all(vars(clusterer)[name] is value for name, value in before.items())


def test_interrupted_fit_changes_nothing(digits, monkeypatch, learned):
    X, y = digits[0], digits[1]
    clusterer = learned(QUICK)
    before = dict(vars(clusterer))

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_estimator, "cluster_rows", interrupt)
    with pytest.raises(KeyboardInterrupt):
        clusterer.fit(X[:, :9], y)
    assert all(vars(clusterer)[name] is value for name, value in before.items())


def test_seeds_decide(digits):
    X, y = digits[0], digits[1]
    one, same, other = (
        HiLanderClustering(**{**QUICK, "random_state": s}).fit(X, y) for s in (0, 0, 1)
    )
    assert one.loss_curve_ == same.loss_curve_
    np.testing.assert_array_equal(one.labels_, same.labels_)
    assert one.loss_curve_ != other.loss_curve_


def test_global_random_state_is_left_alone(digits):

    np.random.seed(3)  # noqa: NPY002 (the global state is what is tested)
    torch.manual_seed(3)
    numpy_before, torch_before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    HiLanderClustering(**QUICK).fit(digits[0], digits[1])
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_n_jobs_gives_the_threads_back(digits):

    before = torch.get_num_threads()
    one = HiLanderClustering(n_jobs=1).fit_predict(digits[2])
    assert torch.get_num_threads() == before
    np.testing.assert_array_equal(one, HiLanderClustering(n_jobs=2).fit_predict(digits[2]))


def test_verbose(digits, capsys):
    HiLanderClustering(verbose=1, **LANDER).fit(digits[0], digits[1])
    out = capsys.readouterr().out
    assert out.count("meta-training: loss") == 10
    assert f"level 0: {len(digits[0])} nodes merged to " in out


def test_fit_says_how_well_each_decoder_did_on_held_out_classes(capsys):
    X, y = make_identities(200, 16, mean_size=10, nn_rate=0.9, random_state=0)
    fitted = HiLanderClustering(max_iter=1, random_state=0, verbose=1).fit(X, y)
    scores = fitted.validation_scores_
    assert list(scores) == ["judge", "average", "flow"]
    assert all(0 < score <= 1 for score in scores.values())
    # What was selected may be one standard error under the best.
    assert scores[fitted.selected_] > max(scores.values()) - 0.1
    line = f"F on held-out classes: judge {scores['judge']:.3f}, average {scores['average']:.3f}, "
    assert line in capsys.readouterr().out
    assert HiLanderClustering().fit(X).validation_scores_ == {}


@pytest.mark.parametrize(
    "architecture",
    [
        "relational",
        "gcn",
        "gat",
        "paper-gcn",
        "paper-gat",
        Architecture("gcn", mean_features=False),
        Architecture("gat", mean_features=True),
    ],
    ids=str,
)
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_architectures_and_metrics(digits, architecture, metric):
    X_meta, y_meta, X_unseen, _ = digits
    clusterer = HiLanderClustering(
        architecture=architecture,
        metric=metric,
        max_iter=2,
        hidden_dim=16,
        batch_size=128,
        random_state=0,
    )
    labels = clusterer.fit(X_meta, y_meta).fit_predict(X_unseen)
    assert_contiguous(labels)
    np.testing.assert_array_equal(clusterer.predict(X_unseen), labels)


def test_progress_bar(digits, capsys):
    callback = pytest.importorskip("sklearn.callback", reason="callbacks came with 1.9")
    clusterer = HiLanderClustering(**LANDER)
    plain = clone(clusterer).fit(digits[0], digits[1])
    clusterer.set_callbacks(callback.ProgressBar()).fit(digits[0], digits[1])
    np.testing.assert_array_equal(clusterer.labels_, plain.labels_)
    assert "HiLanderClustering" in capsys.readouterr().out
    # A failed fit must leave no bar running, and the next fit must work.
    with pytest.raises(ValueError, match="NaN"):
        clusterer.fit(np.full((5, 3), np.nan))
    clusterer.fit(digits[0], digits[1])


def test_labels_minus_one_stand_alone(rng):
    X, y = make_clusters(rng)
    stray = rng.normal(size=(10, X.shape[1]))
    clusterer = HiLanderClustering(**QUICK)
    minus = clusterer.fit(np.vstack([X, stray]), np.r_[y, [-1] * 10]).loss_curve_
    alone = clusterer.fit(np.vstack([X, stray]), np.r_[y, 100 + np.arange(10)]).loss_curve_
    assert minus == alone


@pytest.mark.parametrize("setting", [QUICK, LANDER], ids=["relational", "gcn"])
@pytest.mark.parametrize("step", [1, 4])
def test_interrupted_training_leaves_what_was_usable(digits, monkeypatch, setting, step, learned):
    X, y = digits[0], digits[1]
    clusterer = learned(setting)
    before, expected = dict(vars(clusterer)), clusterer.predict(digits[2])
    steps = []

    def interrupt(self, task, loss):
        steps.append(loss)
        if len(steps) == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(HiLanderClustering, "_report_step", interrupt)
        clusterer.fit(X[::2], y[::2])
    assert len(steps) == step
    assert vars(clusterer).keys() == before.keys()
    assert all(vars(clusterer)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(clusterer.predict(digits[2]), expected)
