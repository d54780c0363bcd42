import numpy as np
import pytest
from conftest import make_clusters
from sklearn.metrics import roc_auc_score

from sklearn_hilander._graph._pairs import sigmoid, unit_rows
from sklearn_hilander._linkage._linkage_model import STAGES, run_stages
from sklearn_hilander._linkage._linkage_training import (
    N_FOLDS,
    LabelledGraph,
    assign_folds,
    out_of_fold,
    outside_fold,
    train_linkage,
)
from sklearn_hilander._linkage._perceptron_training import PerceptronSettings
from sklearn_hilander._rounds._relational import graph_builder
from sklearn_hilander._rows._row_source import RowSource

SETTINGS = PerceptronSettings(hidden_dim=16, learning_rate=2e-2, batch_size=256)
build_graph = graph_builder(10)


def train(X, y, seed=0):
    losses = []
    data = LabelledGraph(build_graph(unit_rows(X)), y, np.ones(len(X)), assign_folds(y, seed))
    model, (links,) = train_linkage(
        [data],
        build_graph,
        settings=SETTINGS,
        seed=seed,
        on_network=losses.append,
    )
    return model, links, losses


def auc(y, links):
    same = y[links.graph.i] == y[links.graph.j]
    assert 0 < same.mean() < 1
    return roc_auc_score(same, links.probability)


@pytest.fixture(scope="module")
def data():
    """Classes to learn from, and as many others."""
    X, y = make_clusters(np.random.default_rng(0), n_clusters=30, size=8, n_features=16)
    seen = y < 15
    return X[seen], y[seen], X[~seen], y[~seen]


@pytest.fixture(scope="module")
def trained(data):
    return train(*data[:2])


@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("seed", [0, 1])
def test_folds_hold_whole_classes(rng, n_classes, seed):
    y = 10 * rng.permutation(np.arange(5 * n_classes) % n_classes) - 7
    fold_of = assign_folds(y, seed)
    assert fold_of.shape == y.shape
    folds_of_class = [set(fold_of[y == value]) for value in np.unique(y)]
    assert all(len(folds) == 1 for folds in folds_of_class)
    sizes = np.bincount([next(iter(folds)) for folds in folds_of_class], minlength=N_FOLDS)
    assert len(sizes) == N_FOLDS
    assert sizes.max() - sizes.min() <= 1
    np.testing.assert_array_equal(fold_of, assign_folds(y, seed))


def test_folds_depend_on_the_seed():
    y = np.arange(30)
    assert (assign_folds(y, 0) != assign_folds(y, 1)).any()


def test_outside_fold():
    fold_i, fold_j = np.array([0, 0, 1, 2, 1]), np.array([0, 1, 2, 2, 1])
    np.testing.assert_array_equal(outside_fold(0, fold_i, fold_j), [2, 3, 4])
    np.testing.assert_array_equal(outside_fold(1, fold_i, fold_j), [0, 3])
    np.testing.assert_array_equal(outside_fold(2, fold_i, fold_j), [0, 1, 4])
    # Nothing left: rather all than none.
    np.testing.assert_array_equal(outside_fold(1, fold_i[2:3], fold_j[2:3]), [0])


def test_out_of_fold_asks_those_that_did_not_train_on_the_ends(rng):
    class Networks:
        def log_odds(self, features):
            return features[:, 0] + 100 * 10 ** np.arange(3)[:, None]

    features = rng.normal(size=(6, 2))
    fold_i, fold_j = np.array([0, 1, 2, 0, 1, 2]), np.array([0, 1, 2, 1, 2, 0])
    out = out_of_fold(Networks(), features, fold_i, fold_j)
    offset = [100, 1000, 10_000, 550, 5500, 5050]
    np.testing.assert_allclose(out, features[:, 0] + offset)


def test_stages_see_the_probabilities_of_the_one_before(data):
    graph = build_graph(unit_rows(data[0]))
    seen = []

    def stage(graphs, features, number):
        assert len(graphs) == 1
        seen.append((number, features[0][:]))
        return [np.full(len(rows), 0.1 * (number + 1), dtype=np.float32) for rows in features]

    (links,) = run_stages([graph], build_graph, stage)
    assert [number for number, _ in seen] == list(range(sum(STAGES)))
    widths = [features.shape[1] for _, features in seen]
    first_of_whitened = STAGES[0]
    for number, features in seen:
        on_whitened = number >= first_of_whitened
        assert len(features) == len(links.graph.i if on_whitened else graph.i)
        if number not in (0, first_of_whitened):
            before = first_of_whitened if on_whitened else 0
            extra = features[:, widths[before] :]
            assert extra.shape[1] > 0
            np.testing.assert_array_equal(features[:, : widths[before]], seen[before][1])
            # The first relation to probabilities is the probability itself.
            # Kept to three digits.
            np.testing.assert_allclose(extra[:, 0], sigmoid(np.float32(0.1 * number)), rtol=1e-3)
    mean = np.mean([0.1 * (number + 1) for number in range(STAGES[0], sum(STAGES))])
    np.testing.assert_allclose(links.probability, sigmoid(mean), rtol=1e-4)


def test_training_reports_every_network(trained):
    model, _, losses = trained
    assert len(model.stages) == sum(STAGES)
    assert (len(model.before), len(model.after)) == STAGES
    assert all(len(networks) == N_FOLDS for networks in model.stages)
    assert len(losses) == N_FOLDS * sum(STAGES)
    assert np.isfinite(losses).all()


def test_pairs_of_classes_not_trained_on_are_told_apart(data, trained):
    _, y, X_unseen, y_unseen = data
    model, links, _ = trained
    assert auc(y, links) > 0.9
    graph = build_graph(unit_rows(X_unseen))
    unseen = model(graph, build_graph)
    assert auc(y_unseen, unseen) > 0.9
    same = y_unseen[unseen.graph.i] == y_unseen[unseen.graph.j]
    p = unseen.probability
    assert p[same].mean() > p[~same].mean() + 0.3


def test_links_are_of_the_whitened_graph(data, trained):
    X_unseen = data[2]
    model = trained[0]
    graph = build_graph(unit_rows(X_unseen))
    links = model(graph, build_graph)
    n = len(X_unseen)
    assert links.probability.shape == links.graph.i.shape
    assert ((links.probability >= 0) & (links.probability <= 1)).all()
    assert all(view.shape == graph.features.shape for view in links.views)
    smooth, whitened, centred = links.views
    for rows in (smooth, whitened):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), np.ones(n), atol=1e-5)
    assert not np.allclose(whitened, graph.features, atol=0.1)
    np.testing.assert_allclose(centred.mean(axis=0), 0, atol=1e-6)


def test_same_seed_same_numbers(rng):
    X, y = make_clusters(rng, size=8)
    (model, links, losses), (again, links_again, losses_again) = train(X, y, 3), train(X, y, 3)
    assert losses == losses_again
    np.testing.assert_array_equal(links.probability, links_again.probability)
    unseen = build_graph(unit_rows(rng.normal(size=(20, 5))))
    np.testing.assert_array_equal(
        model(unseen, build_graph).probability, again(unseen, build_graph).probability
    )


@pytest.mark.parametrize("n_samples", [2, 3, 4, 30])
@pytest.mark.parametrize("n_features", [1, 3, 200])
def test_the_model_takes_any_number_of_rows_and_features(rng, trained, n_samples, n_features):
    # Rows on one side, so that there are edges.
    X = 1 + 0.3 * rng.random((n_samples, n_features))
    for k in (1, 25):
        build = graph_builder(k)
        links = trained[0](build(unit_rows(X)), build)
        assert len(links.probability) == len(links.graph.i)
        assert np.isfinite(links.probability).all()


def test_labels_that_mean_nothing_are_not_learnt(rng):
    """Scores of training pairs are made by networks of other classes: nothing leaks."""
    X = rng.normal(size=(160, 12))
    y = np.arange(160) % 20
    assert 0.3 < auc(y, train(X, y)[1]) < 0.7


def test_what_is_given_up_is_missed_by_nothing(data, trained):
    model = trained[0]
    graph, given_up = (build_graph(unit_rows(data[2])) for _ in range(2))
    links = model(graph, build_graph)
    bare = model(given_up, build_graph, RowSource.of(given_up.features))
    np.testing.assert_array_equal(bare.probability, links.probability)
    for view, expected in zip(bare.views, links.views, strict=True):
        np.testing.assert_array_equal(view, expected)
    for name in ("n_nodes", "n_neighbors", "i", "j", "ranks"):
        np.testing.assert_array_equal(getattr(bare.graph, name), getattr(links.graph, name))
    held = ("features", "indices", "similarities")
    assert all(getattr(bare.graph, name).size == 0 for name in held)
    assert all(getattr(links.graph, name).size > 0 for name in held)
    assert (given_up.indices.size, given_up.similarities.size) == (0, 0)
    assert "pairs" not in vars(given_up)
    assert given_up.features.shape == (len(data[2]), 0)
    assert graph.indices.shape == (len(data[2]), 10)
