from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_clusters
from sklearn.metrics import adjusted_rand_score

from sklearn_hilander._clusters._growth import ClusterSettings, grow_by_relations
from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._levels._lander import Lander
from sklearn_hilander._linkage._linkage_model import STAGES, Links
from sklearn_hilander._linkage._linkage_training import N_FOLDS, LabelledGraph, assign_folds
from sklearn_hilander._linkage._perceptron_training import PerceptronSettings
from sklearn_hilander._models._model import Model
from sklearn_hilander._rounds import _decoder_choice
from sklearn_hilander._rounds._cluster_rounds import cluster_by_relations
from sklearn_hilander._rounds._decoder_choice import choose_decoder, f_of_classes
from sklearn_hilander._rounds._judge import THRESHOLDS
from sklearn_hilander._rounds._relational import RelationalModel, graph_builder
from sklearn_hilander._rounds._relational_training import train_relational
from sklearn_hilander._rows._row_source import RowSource
from sklearn_hilander.metrics import bcubed_f_score, pairwise_f_score

SETTINGS = PerceptronSettings(hidden_dim=24, learning_rate=1e-2, batch_size=512)
build_graph = graph_builder(12)


def labelled(X, y, *, weights=None, seed=0):
    weights = np.ones(len(X)) if weights is None else weights
    return LabelledGraph(build_graph(unit_rows(X)), np.asarray(y), weights, assign_folds(y, seed))


def train(X, y, *, max_iter=1, weights=None, seed=0):
    return train_on([labelled(X, y, weights=weights, seed=seed)], max_iter=max_iter, seed=seed)


def train_on(data, *, max_iter=1, seed=0, **options):
    losses = []
    model, threshold, loss_curve = train_relational(
        data,
        build_graph,
        max_iter=max_iter,
        settings=SETTINGS,
        seed=seed,
        on_network=losses.append,
        **options,
    )
    return model, threshold, loss_curve, losses


def cluster(X, model, threshold, *, weights=None, build=build_graph, max_levels=None):
    weights = np.ones(len(X)) if weights is None else weights
    found = cluster_by_relations(
        RowSource.of(unit_rows(X)), weights, model, build, threshold, max_levels
    )
    return list(found.levels), found.density, found.graph


def cluster_settings(threshold, *, n_neighbors=12, max_levels=None):
    return ClusterSettings(
        n_neighbors=n_neighbors,
        linkage_threshold=threshold,
        max_levels=max_levels,
        min_cluster_size=1,
        metric="cosine",
        algorithm="brute",
        n_threads=1,
        device=torch.device("cpu"),
        faithful=False,
    )


@pytest.fixture(scope="module")
def data():
    """20 classes to learn from, and 20 others."""
    X, y = make_clusters(np.random.default_rng(0), n_clusters=40, size=10, n_features=16)
    seen = y < 20
    return X[seen], y[seen], X[~seen], y[~seen] - 20


@pytest.fixture(scope="module")
def trained(data):
    return train(*data[:2], max_iter=2)


class AllInOnePart:
    """Nothing is held back."""

    kind = "none"

    def cut(self, graphs, n_neighbors, *, in_doubt):
        assert not in_doubt
        (graph,) = graphs
        assert graph.n_neighbors == n_neighbors
        return None, graph, graph

    def __call__(self, links, start, judge, constraints, cut, on_cut):
        assert cut is None
        return np.zeros(len(start.labels), dtype=np.int64)


@dataclass
class StandIn:
    """Known probabilities; the judge is average linkage and remembers what it saw."""

    p: np.ndarray
    linkage_threshold = 0.5
    decoder = AllInOnePart()

    def __post_init__(self):
        self.seen = []

    def may_be_too_sure_of(self, n_samples):
        return False

    def linkage(self, graph, build_graph, source):
        return Links(graph, self.p, (graph.features,))

    def judge(self, clusters, relations):
        self.seen.append(clusters)
        return relations[:, 0]


def test_what_training_reports(trained):
    model, threshold, loss_curve, losses = trained
    assert isinstance(model, RelationalModel)
    assert len(model.judges) == N_FOLDS
    assert threshold in THRESHOLDS
    assert len(loss_curve) == 2
    assert len(losses) == N_FOLDS * (sum(STAGES) + 2)
    assert np.isfinite(losses).all()
    of_judges = np.reshape(losses[-2 * N_FOLDS :], (2, N_FOLDS))
    np.testing.assert_allclose(loss_curve, of_judges.mean(axis=1))


def test_unseen_classes(data, trained):
    X, y, X_unseen, y_unseen = data
    model, threshold, *_ = trained
    for rows, classes in ((X, y), (X_unseen, y_unseen)):
        levels, _, _ = cluster(rows, model, threshold)
        assert adjusted_rand_score(classes, levels[-1]) > 0.9


def test_several_data_sets_of_several_dimensions(rng, data):
    X, y, X_unseen, y_unseen = data
    wide, of_wide = make_clusters(rng, n_clusters=8, size=20, n_features=30, spread=0.1)
    alone = labelled(np.eye(3), [0, 1, 2])
    assert len(alone.graph.i) == 0
    model, threshold, _, losses = train_on([labelled(X, y), alone, labelled(wide, of_wide)])
    assert len(losses) == N_FOLDS * (sum(STAGES) + 1)
    for rows, classes in ((X_unseen, y_unseen), (wide, of_wide)):
        levels, _, _ = cluster(rows, model, threshold)
        assert adjusted_rand_score(classes, levels[-1]) > 0.8


def test_networks_taught_to_one(data, trained):
    X, y, X_unseen, y_unseen = data
    one, threshold, _, _ = train_on([labelled(X, y)], max_iter=2, n_stages=(1, 2), as_one=True)
    assert (len(one.linkage.before), len(one.linkage.after)) == (1, 2)
    assert {len(networks) for networks in (*one.linkage.stages, one.judges)} == {1}
    levels, _, _ = cluster(X_unseen, one, threshold)
    assert adjusted_rand_score(y_unseen, levels[-1]) > 0.9


def test_f_of_classes():
    y = np.array([0, 0, 0, 0, 1, 1, 2])
    labels = np.array([5, 5, 5, 2, 2, 2, 0])
    precision = [(3 + 1 / 3) / 4, 2 / 3, 1]
    recall = [(9 + 1) / 16, 1, 1]
    expected = [2 * p * r / (p + r) for p, r in zip(precision, recall, strict=True)]
    np.testing.assert_allclose(f_of_classes(y, labels), expected)
    np.testing.assert_array_equal(f_of_classes(y, y), 1)


@pytest.mark.parametrize(("n_cut", "kind"), [(12, "judge"), (30, "average")])
def test_another_decoder_is_taken_where_it_is_better_by_more_than_chance(monkeypatch, n_cut, kind):
    """The judge cuts some classes in halves, average linkage ten others, the flow all."""
    y = np.repeat(np.arange(60), 10)
    halves = 2 * y + np.tile([0, 1], 300)
    of_kind = {
        "judge": np.where(y < n_cut, halves, 2 * y),
        "average": np.where(y >= 50, halves, 2 * y),
        "flow": halves,
    }

    def partitions(kind, *_, every):
        yield from ((t, of_kind[kind]) for t in (0.6, 0.4))

    monkeypatch.setattr(_decoder_choice, "partitions", partitions)
    school = SimpleNamespace(y=y, links=None, start=None, out_of_fold_judge=lambda judges: None)
    threshold, decoder, scores = choose_decoder([school], None)
    assert decoder.kind == kind
    assert threshold == 0.4
    assert list(scores) == ["judge", "average", "flow"]


@pytest.mark.parametrize(
    ("wrong", "good", "expected"),
    [
        # F is 1 at these thresholds: classes that stand so far apart do not say which is best.
        (0, (0.95, 0.8, 0.65, 0.5), 0.8),
        (0, (0.95, 0.7, 0.5), 0.7),
        (0, (0.5, 0.35), 0.5),
        # F is .9: half of it, or the nearest.
        (60, (0.95, 0.8, 0.65, 0.5, 0.35), 0.5),
        (60, (0.95, 0.8, 0.65), 0.65),
        # F is low: probabilities are too sure of new classes.
        (500, (0.95, 0.8, 0.65, 0.5, 0.35, 0.2, 0.15), 0.35),
    ],
)
def test_the_threshold_is_higher_where_held_out_classes_do_not_tell_it(
    monkeypatch, wrong, good, expected
):
    y = np.repeat(np.arange(60), 10)
    best = np.where(np.arange(600) < wrong, np.arange(600) % 20, 60 + y)

    def partitions(kind, *_, every):
        yield from ((t, best if t in good else np.zeros_like(y)) for t in THRESHOLDS)

    monkeypatch.setattr(_decoder_choice, "partitions", partitions)
    school = SimpleNamespace(y=y, links=None, start=None, out_of_fold_judge=lambda judges: None)
    threshold, _, _ = choose_decoder([school], None)
    assert threshold == expected


def test_one_large_class_does_not_choose_the_threshold(monkeypatch):
    y = np.concatenate([np.zeros(400, int), np.repeat(np.arange(1, 81), 5)])
    # The large class whole and small ones in sixes; or in halves, and the small ones as they are.
    coarse, fine = (y + 5) // 6, np.where(y > 0, y + 1, np.arange(800) % 2)
    assert pairwise_f_score(y, coarse) - pairwise_f_score(y, fine) > 0.2
    assert bcubed_f_score(y, fine) > bcubed_f_score(y, coarse) + 0.02
    both = [(pairwise_f_score(y, of) + bcubed_f_score(y, of)) / 2 for of in (coarse, fine)]
    assert both[0] > both[1] + 0.02

    def partitions(kind, *_, every):
        yield from ((t, coarse if t < 0.25 else fine) for t in THRESHOLDS)

    monkeypatch.setattr(_decoder_choice, "partitions", partitions)
    school = SimpleNamespace(y=y, links=None, start=None, out_of_fold_judge=lambda judges: None)
    threshold, _, _ = choose_decoder([school], None)
    assert threshold >= 0.25


def test_one_pass_is_a_model_too(data):
    model, threshold, loss_curve, _ = train(*data[:2])
    assert len(loss_curve) == 1
    levels, _, _ = cluster(data[2], model, threshold)
    assert adjusted_rand_score(data[3], levels[-1]) > 0.8


@pytest.mark.parametrize("n_features", [10, 40, 200])
def test_other_dimensions_than_those_trained_on(rng, trained, n_features):
    spread = 0.5 / np.sqrt(n_features)
    X, y = make_clusters(rng, n_clusters=20, size=10, n_features=n_features, spread=spread)
    levels, _, _ = cluster(X, *trained[:2])
    assert adjusted_rand_score(y, levels[-1]) > 0.9


@pytest.mark.parametrize("n_neighbors", [5, 30])
def test_other_numbers_of_neighbors_than_trained_on(data, trained, n_neighbors):
    levels, _, _ = cluster(data[2], *trained[:2], build=graph_builder(n_neighbors))
    assert adjusted_rand_score(data[3], levels[-1]) > 0.7


def test_the_order_of_rows_and_the_axes_do_not_matter(rng, data, trained):
    X = data[2]
    order = rng.permutation(len(X))
    turned = X[order] @ np.linalg.qr(rng.normal(size=(16, 16)))[0]
    one, other = cluster(X, *trained[:2])[0], cluster(turned, *trained[:2])[0]
    assert adjusted_rand_score(one[-1][order], other[-1]) > 0.99


def test_same_seed_same_numbers(rng):
    X, y = make_clusters(rng, n_clusters=6, size=5)
    unseen, _ = make_clusters(rng, n_clusters=6, size=5)
    state = torch.random.get_rng_state()
    np.random.seed(0)  # noqa: NPY002
    global_state = np.random.get_state()[1].copy()  # noqa: NPY002
    runs = [train(X, y, seed=seed) for seed in (3, 3, 4)]
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)  # noqa: NPY002
    found = [cluster(unseen, model, threshold) for model, threshold, *_ in runs]
    assert runs[0][1:] == runs[1][1:]
    assert runs[0][3] != runs[2][3]
    assert len(found[0][0]) == len(found[1][0])
    for one, other in zip(found[0][0], found[1][0], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert not np.array_equal(found[0][1], found[2][1])


@pytest.mark.parametrize(
    ("X", "y"),
    [
        pytest.param([[1, 0]], [0], id="one-row"),
        pytest.param([[1, 0], [1, 0.1]], [0, 0], id="two-rows-one-class"),
        pytest.param([[1, 0], [1, 0.1]], [0, 1], id="two-rows-two-classes"),
        pytest.param([[1, 0], [0, 1]], [0, 1], id="no-edge"),
        pytest.param([[1, 0], [1, 0.1], [1, 0.2]], [0, 0, 1], id="three-rows"),
        pytest.param(4 * np.ones((3, 3)) + np.eye(3), [0, 0, 1], id="three-corners"),
        pytest.param([[1, 0], [1, 0.1], [1, 0.2]], [0, 1, 2], id="three-classes"),
        pytest.param(np.ones((3, 2)), [0, 0, 1], id="equal-rows"),
        pytest.param(np.zeros((5, 2)), [0, 0, 1, 1, 2], id="zero-rows"),
        pytest.param([[1], [2], [-1], [-3]], [0, 0, 1, 1], id="one-feature"),
        pytest.param(None, np.zeros(30, dtype=int), id="one-class"),
        pytest.param(None, np.arange(30) % 2, id="two-classes"),
        pytest.param(None, np.arange(30), id="all-different"),
    ],
)
def test_hardly_anything_to_learn_from(rng, data, X, y):
    X = rng.normal(size=(30, 4)) if X is None else np.array(X, dtype=float)
    model, threshold, loss_curve, losses = train(X, y, max_iter=2)
    assert 0 < threshold < 1
    assert np.isfinite(loss_curve).all()
    assert np.isfinite(losses).all()
    if model is not None:
        labels = cluster(data[2], model, threshold)[0][-1]
        assert set(labels) == set(range(labels.max() + 1))


@pytest.mark.parametrize(
    ("X", "labels"),
    [
        pytest.param([[1, 0]], [0], id="one-row"),
        pytest.param([[1, 0], [0, 1]], [0, 1], id="no-edge"),
        pytest.param([[1, 0], [1, 0]], [0, 0], id="two-equal-rows"),
        pytest.param([[1, 0], [1, 0], [1, 0]], [0, 0, 0], id="three-equal-rows"),
        pytest.param([[1, 0], [1, 0.01], [0, 1]], [0, 0, 1], id="three-rows"),
        pytest.param(np.zeros((4, 3)), [0, 1, 2, 3], id="zero-rows"),
        pytest.param([[1], [2], [-1], [-3]], [0, 0, 1, 1], id="one-feature"),
    ],
)
def test_hardly_anything_to_cluster(trained, X, labels):
    X = np.array(X, dtype=float)
    levels, density, _ = cluster(X, *trained[:2])
    assert adjusted_rand_score(labels, levels[-1]) == 1
    assert density.shape == (len(X),)
    assert np.isfinite(density).all()


def test_density_is_the_sum_of_linkage_probabilities(rng, data):
    graph = build_graph(unit_rows(data[2]))
    p = rng.random(len(graph.i)).astype(np.float32)
    _, density, found = cluster(data[2], StandIn(p), 0.5)
    P = np.zeros((graph.n_nodes,) * 2)
    P[graph.i, graph.j] = P[graph.j, graph.i] = p
    np.testing.assert_allclose(density, P.sum(axis=1), rtol=1e-5)
    np.testing.assert_array_equal(found.indices, graph.indices)


def test_the_graph_comes_back_as_it_was_built(data, trained):
    graph = build_graph(unit_rows(data[2]))
    _, _, found = cluster(data[2], *trained[:2])
    np.testing.assert_array_equal(found.indices, graph.indices)
    np.testing.assert_array_equal(found.similarities, graph.similarities)


def test_weights_are_the_sizes_that_the_judge_sees(rng, data):
    graph = build_graph(unit_rows(data[2]))
    model = StandIn(rng.random(len(graph.i)).astype(np.float32))
    weights = rng.integers(1, 9, graph.n_nodes).astype(float)
    cluster(data[2], model, 0.3, weights=weights)
    np.testing.assert_array_equal(model.seen[0].sizes, weights)
    assert len(model.seen[-1].sizes) < len(weights)
    for clusters in model.seen:
        np.testing.assert_allclose(clusters.sizes, np.bincount(clusters.labels, weights))


def test_training_and_clustering_with_weights(data, trained):
    X, y, X_unseen, y_unseen = data
    weights = np.arange(len(X)) % 3 + 1.0
    few = y < 4
    plain, weighted = train(X[few], y[few])[3], train(X[few], y[few], weights=weights[few])[3]
    # The linkage of samples knows no weights, the judge does.
    assert plain[:-N_FOLDS] == weighted[:-N_FOLDS]
    assert plain[-N_FOLDS:] != weighted[-N_FOLDS:]
    levels, _, _ = cluster(X_unseen, *trained[:2], weights=weights)
    assert adjusted_rand_score(y_unseen, levels[-1]) > 0.8


def test_the_threshold_is_the_last_one_and_levels_are_bounded(data, trained):
    model = trained[0]
    n_levels = {}
    for threshold in (0.97, 0.5, 0.2):
        levels, _, _ = cluster(data[2], model, threshold)
        n_levels[threshold] = len(levels)
        assert len(levels) == sum(t > threshold for t in THRESHOLDS) + 1
        for fine, coarse in pairwise(levels):
            pairs = np.unique(np.stack([fine, coarse]), axis=1)
            assert pairs.shape[1] == fine.max() + 1
    first, _, _ = cluster(data[2], model, 0.2, max_levels=3)
    assert len(first) == 3
    for one, other in zip(first, levels, strict=False):
        np.testing.assert_array_equal(one, other)


def test_peaks_are_the_densest_members(data, trained):
    model, threshold, *_ = trained
    features = unit_rows(data[2])
    reported, stages = [], []
    hierarchy, graph = grow_by_relations(
        RowSource.of(features),
        model,
        cluster_settings(threshold),
        on_level=lambda *seen: reported.append(seen),
        on_stage=lambda what: stages.append((what.partition(" of ")[0], len(reported))),
    )
    # Each is said when it begins: no level is known before the last of them.
    assert [count for _, count in stages] == [0] * 6
    assert [what for what, _ in stages][::4] == ["the search for neighbours", "clusters"]
    levels, density, _ = cluster(data[2], model, threshold)
    assert hierarchy.n_levels == len(levels)
    for labels, peaks, expected in zip(hierarchy.labels, hierarchy.peaks, levels, strict=True):
        np.testing.assert_array_equal(labels, expected)
        np.testing.assert_array_equal(labels[peaks], np.arange(len(peaks)))
        for label, peak in enumerate(peaks):
            assert density[peak] == density[labels == label].max()
    counts = [len(features), *hierarchy.n_clusters]
    assert reported == [
        (depth, before, after) for depth, (before, after) in enumerate(pairwise(counts))
    ]
    assert graph.indices.shape == graph.similarities.shape == (len(features), 12)
    own = build_graph(features)
    np.testing.assert_array_equal(graph.indices.numpy(), own.indices)


def test_growing_from_one_row(trained):
    model, threshold, *_ = trained
    one = np.ones((1, 3), dtype=np.float32)
    hierarchy, graph = grow_by_relations(RowSource.of(one), model, cluster_settings(threshold))
    assert graph is None
    np.testing.assert_array_equal(hierarchy.labels[-1], [0])
    np.testing.assert_array_equal(hierarchy.peaks[-1], [0])


def test_growing_in_few_levels(data, trained):
    model, threshold, *_ = trained
    settings = cluster_settings(threshold, n_neighbors=8, max_levels=2)
    hierarchy, graph = grow_by_relations(RowSource.of(unit_rows(data[2])), model, settings)
    assert hierarchy.n_levels == 2
    assert graph.n_neighbors == 8


def test_where_rows_are_read():
    X, y = make_clusters(np.random.default_rng(0), n_clusters=6, size=8, n_features=8)
    relational, paper, untrained = Model(network=train(X, y)[0]), Model(network=Lander(8)), Model()
    here, there = torch.device("cpu"), torch.device("cuda")
    assert all(model.reads_rows_on_cpu(here) for model in (relational, paper, untrained))
    assert relational.reads_rows_on_cpu(there)
    assert not paper.reads_rows_on_cpu(there)
    assert not untrained.reads_rows_on_cpu(there)
