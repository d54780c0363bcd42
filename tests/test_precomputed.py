"""``metric="precomputed"``: a graph of distances instead of embeddings."""

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import make_clusters
from sklearn.base import clone
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KNeighborsTransformer, kneighbors_graph, radius_neighbors_graph
from sklearn.pipeline import make_pipeline

from sklearn_hilander import HiLanderClustering, SavedFileError
from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._rows._distance_order import _refined
from sklearn_hilander.metrics import pairwise_f_score

MODELS = [{}, {"architecture": "untrained"}]
models = pytest.mark.parametrize("model", MODELS, ids=["relational", "untrained"])


def precomputed(**params):
    return HiLanderClustering(metric="precomputed", random_state=0, **params)


def graph_of(X, k=15, metric="euclidean"):
    return kneighbors_graph(X, k, mode="distance", metric=metric)


@models
@pytest.mark.parametrize("metric", ["cosine", "euclidean", "cityblock"])
def test_clusters_are_found_whatever_the_distance(rng, model, metric):
    X, y = make_clusters(rng, n_clusters=8, size=15)
    labels = precomputed(**model).fit_predict(graph_of(X, metric=metric))
    assert pairwise_f_score(y, labels) > 0.7


@models
def test_unit_and_order_and_form_do_not_matter(rng, model):
    X, _ = make_clusters(rng, n_clusters=5, size=12, spread=0.25)
    graph = graph_of(X)
    labels = precomputed(**model).fit_predict(graph)
    # A power of two: every bit but the exponents is the same.
    scaled = precomputed(**model).fit_predict(graph * 1024.0)
    np.testing.assert_array_equal(scaled, labels)
    for form in (sp.coo_matrix, sp.csc_array, sp.lil_array):
        np.testing.assert_array_equal(precomputed(**model).fit_predict(form(graph)), labels)
    order = rng.permutation(len(X))
    mixed = precomputed(**model).fit_predict(graph[order][:, order])
    assert pairwise_f_score(labels[order], mixed) == 1


@models
@pytest.mark.parametrize("n_neighbors", [None, 1, 5])
def test_the_order_of_rows_with_tied_distances_does_not_matter(rng, model, n_neighbors):
    bits = (rng.random((7, 64)) < 0.5)[rng.integers(0, 7, 60)] ^ (rng.random((60, 64)) < 0.15)
    hamming = (bits[:, None] != bits).sum(axis=-1).astype(float)
    X, _ = make_clusters(rng, n_clusters=5, size=12, spread=0.25)
    for distances in (sp.csr_array(hamming), graph_of(X)):
        clusterer = precomputed(n_neighbors=n_neighbors, **model)
        labels = clusterer.fit_predict(distances)
        order = rng.permutation(60)
        mixed = clusterer.fit_predict(distances[order][:, order])
        assert pairwise_f_score(labels[order], mixed) == 1


@pytest.mark.parametrize("seed", range(100))
def test_rows_are_told_apart_as_far_as_distances_can(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 16))
    D = np.triu(rng.integers(1, 3, (n, n)) * (rng.random((n, n)) < rng.random()), 1)
    D += D.T
    colors = [0] * n
    for _ in range(n):
        around = [sorted((colors[j], D[i, j]) for j in np.flatnonzero(D[i])) for i in range(n)]
        keys = [(colors[i], *around[i]) for i in range(n)]
        colors = [sorted(keys).index(key) for key in keys]

    def refined(D):
        rows, columns = np.nonzero(D)
        pointers = np.searchsorted(rows, np.arange(n + 1))
        marks = D[rows, columns].astype(np.uint64)
        return _refined(np.zeros(n, dtype=np.uint64), pointers, columns, marks)

    found = refined(D)
    one, other = np.array(colors), found
    np.testing.assert_array_equal(one[:, None] == one, other[:, None] == other)
    order = rng.permutation(n)
    np.testing.assert_array_equal(refined(D[order][:, order]), found[order])


@models
@pytest.mark.parametrize("exponent", [-1000, -140, 130, 1000])
def test_units_that_float32_does_not_hold(rng, tmp_path, model, exponent):
    X, _ = make_clusters(rng, n_clusters=5, size=12, spread=0.25)
    distances = pairwise_distances(X)
    distances = (distances + distances.T) / 2
    new = pairwise_distances(X[:9] + 0.05, X)
    plain = precomputed(**model).fit(distances)
    other = precomputed(**model).fit(np.ldexp(distances, exponent))
    np.testing.assert_array_equal(other.labels_, plain.labels_)
    other.save(tmp_path / "file")
    for clusterer in (other, HiLanderClustering.load(tmp_path / "file")):
        joined = clusterer.predict(np.ldexp(new, exponent))
        np.testing.assert_array_equal(joined, plain.predict(new))


@models
def test_itself_among_its_neighbors_makes_no_difference(rng, model):
    X, _ = make_clusters(rng, n_clusters=5, size=12, spread=0.25)
    alone = kneighbors_graph(X, 10, mode="distance", include_self=False)
    labels = precomputed(**model).fit_predict(alone)
    with_self = KNeighborsTransformer(n_neighbors=10, mode="distance").fit_transform(X)
    assert np.diff(with_self.indptr)[0] == np.diff(alone.indptr)[0] + 1
    np.testing.assert_array_equal(precomputed(**model).fit_predict(with_self), labels)


@models
def test_dense_distances_are_those_of_the_graph(rng, model):
    X, _ = make_clusters(rng, n_clusters=5, size=12, spread=0.25)
    params = dict(n_neighbors=10, **model)
    distances = pairwise_distances(X)
    distances = (distances + distances.T) / 2
    nearest = KNeighborsTransformer(mode="distance", n_neighbors=10, metric="precomputed")
    graph = nearest.fit_transform(distances)
    dense = precomputed(**params).fit_predict(distances)
    distances[[3, 4], [4, 3]] = 0.0
    copies = precomputed(**params).fit(distances)
    assert copies.labels_[3] == copies.labels_[4]
    np.testing.assert_array_equal(precomputed(**params).fit_predict(graph), dense)


@models
def test_no_cluster_spans_two_components(rng, model):
    X, _ = make_clusters(rng, n_clusters=3, size=20)
    # Two graphs of the same rows: whatever the embeddings are, no path joins them.
    graph = graph_of(X, 6)
    both = sp.block_diag([graph] * 4 + [sp.csr_array((5, 5))], format="csr")
    clusterer = precomputed(linkage_threshold=0.01, **model).fit(both)
    assert clusterer.n_clusters_ >= 4 + 5
    part = np.r_[np.repeat(np.arange(4), len(X)), 4 + np.arange(5)]
    for label in range(clusterer.n_clusters_):
        assert len(np.unique(part[clusterer.labels_ == label])) == 1


@models
def test_rows_with_differing_numbers_of_neighbors(rng, model):
    X, y = make_clusters(rng, n_clusters=8, size=20)
    graph = radius_neighbors_graph(X, 1.0, mode="distance")
    counts = np.diff(graph.indptr)
    assert counts.min() < counts.max()
    assert pairwise_f_score(y, precomputed(**model).fit_predict(graph)) > 0.8


@models
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_and_no_edges(model, n):
    for graph in (sp.csr_array((n, n)), 1.0 - np.eye(n)):
        labels = precomputed(**model).fit(graph).labels_
        assert labels[0] == 0
        assert len(labels) == n
    assert precomputed(**model).fit(sp.csr_array((n, n))).n_clusters_ == n


@models
def test_rows_at_distance_zero_share_a_cluster(rng, model):
    X, _ = make_clusters(rng, n_clusters=4, size=12)
    X[30] = X[0]
    graph = kneighbors_graph(X, 8, mode="distance", metric="cityblock")
    assert graph[0, 30] == 0
    clusterer = precomputed(**model).fit(graph)
    assert clusterer.labels_[0] == clusterer.labels_[30]
    assert clusterer.outlier_scores_[30] == 0
    # Also against the scorer: all others are far.
    apart = sp.csr_array(([0.0, 5.0, 5.0], ([0, 1, 2], [1, 2, 0])), shape=(4, 4))
    labels = precomputed(linkage_threshold=0.99, **model).fit_predict(apart)
    assert labels[0] == labels[1] != labels[3]


def test_a_pipeline_fits_and_predicts(rng):
    X, y = make_clusters(rng, n_clusters=8, size=20)
    new, where = make_clusters(np.random.default_rng(0), n_clusters=8, size=20)
    order = rng.permutation(len(X))
    X, y = X[order], y[order]
    pipeline = make_pipeline(
        KNeighborsTransformer(n_neighbors=40, mode="distance", metric="cosine"),
        HiLanderClustering(metric="precomputed", random_state=0),
    )
    labels = pipeline.fit_predict(X)
    assert pairwise_f_score(y, labels) > 0.9
    np.testing.assert_array_equal(pipeline.predict(X), labels)
    joined = pipeline.predict(new + 0.01 * rng.normal(size=new.shape))
    assert pairwise_f_score(np.r_[y, where], np.r_[labels, joined]) > 0.8
    far = pipeline.predict(-3 * X.mean(axis=0, keepdims=True) + 50 * rng.normal(size=(3, 16)))
    assert far.min() >= 0


def test_new_rows_by_their_distances_to_fitted_ones(rng):
    X, _ = make_clusters(rng, n_clusters=4, size=12)
    clusterer = precomputed().fit(graph_of(X, 8))
    n = clusterer.n_clusters_
    distances = pairwise_distances(np.vstack([X[5] + 1e-3, X[20], 100 + X[3], X[7] + 200]), X)
    distances[1, 20] = 0.0
    expected = [clusterer.labels_[5], clusterer.labels_[20], n, n + 1]
    np.testing.assert_array_equal(clusterer.predict(distances), expected)
    np.testing.assert_array_equal(clusterer.predict(sp.csr_array((2, 48))), [n, n + 1])
    small = precomputed(min_cluster_size=2).fit(graph_of(X, 8))
    assert small.predict(distances)[-1] == -1
    with pytest.raises(ValueError, match="48 features"):
        clusterer.predict(distances[:, :-1])


def test_labels_teach_on_one_graph_and_serve_on_another(rng):
    X, y = make_clusters(rng, n_clusters=12, size=12, spread=0.15)
    Z, z = make_clusters(np.random.default_rng(7), n_clusters=9, size=12, spread=0.15)
    params = dict(max_iter=1, hidden_dim=8, n_neighbors=12)
    clusterer = precomputed(**params).fit(graph_of(X), y)
    assert pairwise_f_score(z, clusterer.fit_predict(graph_of(Z))) > 0.8
    # What was learned are relations: embeddings of any kind will do as well.
    other = HiLanderClustering(pretrained=clusterer, random_state=0).fit(Z)
    assert pairwise_f_score(z, other.labels_) > 0.8
    assert clusterer.score(graph_of(X), y) > 0.8
    assert clusterer.n_features_in_ == len(Z)
    calibrated = precomputed(architecture="untrained").fit(graph_of(X), y)
    assert calibrated.score(graph_of(X), y) >= precomputed(pretrained=None).fit(graph_of(X)).score(
        graph_of(X), y
    )


def test_constraints_are_kept(rng):
    X, _ = make_clusters(rng, n_clusters=4, size=12)
    apart, together = [(0, 1)], [(0, 40)]
    for model in MODELS:
        labels = precomputed(**model).fit_predict(
            graph_of(X), cannot_link=apart, must_link=together
        )
        assert labels[0] != labels[1]
        assert labels[0] == labels[40]


@models
def test_what_can_be_asked_and_saved(rng, tmp_path, model):
    X, _ = make_clusters(rng, n_clusters=4, size=12)
    clusterer = precomputed(**model).fit(graph_of(X))
    for ask in (
        lambda c: c.labels_,
        lambda c: c.probabilities_,
        lambda c: c.exemplar_indices_,
        lambda c: c.soft_membership().toarray(),
        lambda c: c.hierarchy_.cut(3),
        lambda c: c.predict(pairwise_distances(X[:4] + 0.1, X)),
    ):
        clusterer.save(tmp_path / "file")
        loaded = HiLanderClustering.load(tmp_path / "file")
        np.testing.assert_array_equal(ask(loaded), ask(clusterer))
    assert loaded.metric == "precomputed"
    np.testing.assert_array_equal(clone(loaded).fit(graph_of(X)).labels_, clusterer.labels_)
    assert clusterer.relabel(linkage_threshold=0.9).n_clusters_ >= loaded.n_clusters_
    assert not hasattr(clusterer, "cluster_centers_")


def test_what_distances_do_not_suffice_for(rng):
    X, y = make_clusters(rng, n_clusters=4, size=12)
    clusterer = precomputed().partial_fit(graph_of(X))
    before = clusterer.labels_.copy()
    for call in (
        lambda: clusterer.partial_fit(graph_of(X)),
        clusterer.recluster,
        lambda: clusterer.soft_membership(graph_of(X)),
        lambda: clusterer.predict(graph_of(X), groups=np.arange(len(X))),
    ):
        with pytest.raises(ValueError, match=r"metric='precomputed'.*give embeddings"):
            call()
    np.testing.assert_array_equal(clusterer.labels_, before)
    for architecture in ("gcn", "paper-gat"):
        with pytest.raises(ValueError, match="networks see embeddings"):
            precomputed(architecture=architecture).fit(graph_of(X), y)
    of_rows = HiLanderClustering(architecture="gcn", max_iter=1, hidden_dim=4).fit(X, y)
    with pytest.raises(ValueError, match="networks see"):
        precomputed(pretrained=of_rows).fit(graph_of(X))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda D: D[:-1], "a square matrix; got 29 x 30"),
        (lambda D: -D, "negative distance"),
        (lambda D: np.where(D > 1, np.nan, D), "NaN"),
        (lambda D: np.where(D > 1, np.inf, D), "infinity"),
        (lambda D: D + np.eye(30), "row 0 is 1 away from itself"),
        (lambda D: D + np.triu(D), "not symmetric: row 0 is"),
        (lambda D: D[0], "1D"),
        (lambda D: D[:0], "0 sample"),
        (lambda D: D.astype(complex), "Complex"),
    ],
)
def test_hostile_distances(rng, spoil, message):
    distances = pairwise_distances(rng.normal(size=(30, 4)))
    forms = [lambda D: D]
    spoiled = spoil(distances)
    if spoiled.ndim == 2 and len(spoiled):
        forms.append(sp.csr_array)
    for form in forms:
        with pytest.raises(ValueError, match=message):
            precomputed().fit(form(spoiled))
    # Rows of another kind are not distances either.
    with pytest.raises(ValueError, match="square matrix"):
        precomputed().fit(rng.random((30, 4)))
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        HiLanderClustering().fit(sp.csr_array(distances))


def test_the_given_distances_are_not_altered(rng):
    graph = KNeighborsTransformer(mode="distance").fit_transform(rng.normal(size=(30, 4)))
    before = graph.copy()
    dense = pairwise_distances(rng.normal(size=(30, 4)))
    copy = dense.copy()
    precomputed().fit(graph).predict(graph)
    precomputed().fit(dense).predict(dense)
    np.testing.assert_array_equal(graph.data, before.data)
    np.testing.assert_array_equal(graph.indices, before.indices)
    np.testing.assert_array_equal(dense, copy)


def test_a_search_says_what_it_cannot_do(rng):
    X, y = make_clusters(rng, n_clusters=6, size=10)
    assert precomputed().__sklearn_tags__().input_tags.pairwise
    assert not HiLanderClustering().__sklearn_tags__().input_tags.pairwise
    grid = {"linkage_threshold": [0.3, 0.6]}
    search = GridSearchCV(precomputed(), grid, cv=KFold(3), error_score="raise")
    with pytest.raises(ValueError, match="Splits of a search"):
        search.fit(pairwise_distances(X), y)
    # String scorers go through predict: pairwise splits are then just what it wants.
    shuffled = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(
        precomputed(max_iter=1, n_neighbors=5),
        grid,
        cv=shuffled,
        scoring="adjusted_rand_score",
        error_score="raise",
    )
    assert search.fit(pairwise_distances(X), y).best_score_ > 0.5


def test_a_checkpoint_of_a_training_on_distances(rng, tmp_path, monkeypatch):
    X, y = make_clusters(rng, n_clusters=8, size=8)
    params = dict(max_iter=1, hidden_dim=4, n_neighbors=6)
    plain = precomputed(**params).fit(graph_of(X), y)
    kept = precomputed(checkpoint=tmp_path / "kept", **params)

    def stop(checkpoint, name, *args, **kwargs):
        save(checkpoint, name, *args, **kwargs)
        raise KeyboardInterrupt

    save = Checkpoint.save
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "save", stop)
        kept.fit(graph_of(X), y)
    with pytest.raises(SavedFileError, match="the values of X differ"):
        kept.fit(graph_of(X + rng.normal(size=X.shape)), y)
    np.testing.assert_array_equal(kept.fit(graph_of(X), y).labels_, plain.labels_)
    assert list(tmp_path.iterdir()) == []
