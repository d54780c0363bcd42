"""Linkage probabilities to partitions, and to trees that have them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._flows._stable_flow import share_kept
from sklearn_hilander._graph._pairs import unit_rows
from sklearn_hilander._rounds import _decoders
from sklearn_hilander._rounds._cluster_pairs import single_samples
from sklearn_hilander._rounds._decoders import DECODERS, Cut, Decoder
from sklearn_hilander._rounds._relational import graph_builder
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.metrics import pairwise_f_score


@pytest.mark.parametrize("kind", DECODERS)
def test_every_decoder_has_its_partition_at_the_calibrated_threshold(kind):
    """Whichever made the partition, there is a tree with it at that threshold."""
    X, y = make_identities(400, 24, mean_size=10, nn_rate=0.9, random_state=0)
    teacher = HiLanderClustering(max_iter=1, batch_size=128, random_state=0).fit(X, y)
    assert teacher.selected_ in DECODERS
    network = replace(teacher.lander_, decoder=Decoder(kind, 0.6), linkage_threshold=0.6)
    teacher._set_model(replace(teacher._model, network=network, linkage_threshold=0.6))
    X, y = make_identities(300, 24, mean_size=10, nn_rate=0.9, random_state=1)
    fitted = HiLanderClustering(pretrained=teacher).fit(X)
    assert fitted.selected_ == kind
    features = fitted._known.embeddings.features
    build_graph = graph_builder(40)
    cut, _, near = network.decoder.cut(build_graph.widening(lambda: features), 40)
    links = network.linkage(near, build_graph)
    start = single_samples(links, np.ones(len(features), np.float32))
    partition = network.decoder(links, start, network.judge, cut=cut)
    assert pairwise_f_score(partition[fitted._known.embeddings.inverse], fitted.labels_) == 1
    high = HiLanderClustering(pretrained=teacher, linkage_threshold=0.8).fit(X)
    cuts = [fitted.relabel(linkage_threshold=t).labels_ for t in (0.8, 0.6, 0.3)]
    for finer, coarser in pairwise(cuts):
        assert len(np.unique(np.stack([finer, coarser]), axis=1).T) == finer.max() + 1
    for threshold, cut in zip((0.8, 0.6, 0.3), cuts, strict=True):
        fresh = HiLanderClustering(pretrained=teacher, linkage_threshold=threshold).fit(X)
        np.testing.assert_array_equal(fresh.labels_, cut)
        np.testing.assert_array_equal(high.relabel(linkage_threshold=threshold).labels_, cut)


@pytest.mark.parametrize("kind", DECODERS)
def test_every_decoder_keeps_constraints(kind):
    X, y = make_identities(200, 24, mean_size=10, nn_rate=0.9, random_state=0)
    teacher = HiLanderClustering(max_iter=1, batch_size=128, random_state=0).fit(X, y)
    network = replace(teacher.lander_, decoder=Decoder(kind, 0.5), linkage_threshold=0.5)
    teacher._set_model(replace(teacher._model, network=network, linkage_threshold=0.5))
    first = HiLanderClustering(pretrained=teacher).fit_predict(X)
    rng = np.random.default_rng(0)
    together = np.array([rng.choice(np.flatnonzero(first == c), 2, replace=False)
                         for c in range(first.max() + 1) if (first == c).sum() > 1])  # fmt: skip
    apart = np.array([[0, row] for row in np.flatnonzero(first != first[0])[:5]])
    labels = HiLanderClustering(pretrained=teacher).fit_predict(
        X, cannot_link=together, must_link=apart[:1]
    )
    assert (labels[together[:, 0]] != labels[together[:, 1]]).all()
    assert labels[apart[0, 0]] == labels[apart[0, 1]]


@pytest.mark.parametrize(("mean_size", "nn_rate"), [(2, 0.98), (20, 0.9)])
def test_the_model_of_the_package_finds_small_classes_and_large_ones(mean_size, nn_rate):
    """At one threshold for both, pairs would be joined to crowds or classes stay in pieces."""
    X, y = make_identities(800, 32, mean_size=mean_size, nn_rate=nn_rate, random_state=0)
    clusterer = HiLanderClustering().fit(X)
    assert clusterer.selected_ == "stable"
    assert pairwise_f_score(y, clusterer.labels_) > 0.85


def test_what_a_flow_divides_is_joined_again_where_that_is_sure(monkeypatch):
    X, y = make_identities(600, 64, mean_size=30, size_variation=0.2, nn_rate=0.98, random_state=0)
    build = graph_builder(40)
    network = HiLanderClustering()._pretrained_model().network
    links = network.linkage(build(unit_rows(X.astype(np.float32))), build)
    start = single_samples(links, np.ones(len(X)))
    halves = Cut(2 * y + np.random.RandomState(0).randint(2, size=len(y)), fine=False)

    def f_score():
        return pairwise_f_score(y, network.decoder(links, start, network.judge, cut=halves))

    assert f_score() > 0.95
    monkeypatch.setattr(_decoders, "_SURE", 1.0)
    assert f_score() < 0.75


def test_linkage_too_sure_of_many_classes_is_cut_where_a_flow_is(capsys):
    """Only where held-out classes were easy and few, and the flow says otherwise."""
    X, y = make_identities(800, 32, mean_size=10, nn_rate=0.9, random_state=0)
    own = HiLanderClustering()._pretrained_model()
    teacher = HiLanderClustering().fit(X)

    def labels(threshold, score, n_learned=200):
        network = replace(
            own.network,
            decoder=Decoder("average", threshold),
            linkage_threshold=threshold,
            scores={"average": score},
            n_learned=n_learned,
        )
        teacher._set_model(replace(own, network=network, linkage_threshold=threshold))
        return HiLanderClustering(pretrained=teacher, verbose=1).fit_predict(X)

    sure = labels(0.02, 0.7)
    np.testing.assert_array_equal(labels(0.02, 0.95, n_learned=400), sure)
    np.testing.assert_array_equal(labels(0.02, 0.95, n_learned=0), sure)
    assert "flow" not in capsys.readouterr().out
    cut = labels(0.02, 0.95)
    assert "the cut by a flow, which keeps " in capsys.readouterr().out
    assert pairwise_f_score(y, sure) < 0.4
    assert pairwise_f_score(y, cut) > 0.75
    right = labels(0.5, 0.7)
    assert pairwise_f_score(y, right) > 0.75
    np.testing.assert_array_equal(labels(0.5, 0.95), right)


@pytest.mark.parametrize(
    ("labels", "parts", "share"),
    [([0, 0, 0, 1], [0, 0, 1, 2], 1 / 3), ([0, 1, 2], [0, 1, 2], 1), ([0, 0], [0, 1], 0)],
)
def test_share_of_the_pairs_that_a_cut_keeps(labels, parts, share):
    assert share_kept(np.array(labels), np.array(parts)) == pytest.approx(share)


def test_who_is_alone_stays_alone():
    """A walk that visits a sample goes where its weak links lead; it is not moved there."""
    X, y = make_identities(600, 64, mean_size=2, nn_rate=0.98, random_state=0)
    teacher = HiLanderClustering(max_iter=1, random_state=0).fit(X, y)
    clusterer, alone = HiLanderClustering(pretrained=teacher), []
    # Several sets: the share in one of them hangs on the rounding of the processor.
    for seed in (1, 3, 5):
        X, y = make_identities(400, 64, mean_size=2, nn_rate=0.98, random_state=seed)
        labels = clusterer.fit_predict(X)
        single = np.bincount(y)[y] == 1
        assert single.sum() > 50
        alone.append((np.bincount(labels)[labels][single] == 1).mean())
    assert np.mean(alone) > 0.9


def test_many_rows_in_small_clusters_are_linked_along_few_neighbors(monkeypatch):
    X, y = make_identities(600, 24, mean_size=6, size_variation=0.2, nn_rate=0.98, random_state=0)
    graph = graph_builder(40)(unit_rows(X.astype(np.float32)))
    decoder = Decoder("stable", 0.35)
    cut, given, every = decoder.cut([graph], 40)
    assert given is every is graph
    monkeypatch.setattr(_decoders, "_FEW_ROWS", 599)
    indices, similarities = graph.indices.copy(), graph.similarities.copy()
    same, given, near = decoder.cut([graph], 40)
    assert given is graph
    np.testing.assert_array_equal(same.labels, cut.labels)
    assert same.fine and cut.fine
    assert 10 <= near.n_neighbors < 20
    np.testing.assert_array_equal(near.indices, indices[:, : near.n_neighbors])
    np.testing.assert_array_equal(near.similarities, similarities[:, : near.n_neighbors])
    assert len(near.i) < len(graph.i)
    np.testing.assert_array_equal(graph.indices, indices)
    fitted = HiLanderClustering().fit(X)
    assert fitted.selected_ == "stable"
    assert pairwise_f_score(y, fitted.labels_) > 0.8
    assert fitted._known.graph_indices.shape == (len(X), 40)


@pytest.mark.parametrize(("size", "n_neighbors"), [(6, 24), (60, 40)])
def test_a_graph_of_fewer_neighbors_serves_as_well(tmp_path, size, n_neighbors):
    """Of many rows in small clusters not all neighbours are looked for; whatever follows works."""
    X, y = make_identities(1_500, 32, mean_size=size, nn_rate=0.98, random_state=0)
    clusterer = HiLanderClustering(algorithm="ivf").fit(X[:1_200])
    assert clusterer._known.graph_indices.shape == (1_200, n_neighbors)
    assert pairwise_f_score(y[:1_200], clusterer.labels_) > 0.8
    clusterer.save(tmp_path / "clusters.safetensors")
    loaded = HiLanderClustering.load(tmp_path / "clusters.safetensors")
    np.testing.assert_array_equal(loaded.predict(X[1_200:]), clusterer.predict(X[1_200:]))
    loaded.partial_fit(X[1_200:], min_growth=None)
    np.testing.assert_array_equal(loaded.labels_[:1_200], clusterer.labels_)
    assert len(loaded.labels_) == 1_500
