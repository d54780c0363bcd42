"""Numbers computed by the authors' implementation, reproduced with its weights."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_hilander._levels._decode import decode_forest
from sklearn_hilander._levels._hierarchy import grow_hierarchy, iterate_levels
from sklearn_hilander._levels._lander import Lander
from sklearn_hilander._levels._losses import lander_losses, linkage_mask
from sklearn_hilander._levels._reference import reference_state_dict
from sklearn_hilander._levels._scoring import LanderScorer, OracleScorer
from sklearn_hilander._search._neighbors import build_neighbor_graph
from sklearn_hilander.metrics import pairwise_f_score

DATA = Path(__file__).parent / "data"
TOLERANCE = 1e-5
MODELS = {
    "lander_gcn_cluster": dict(encoder="gcn", mean_features=True, n_neighbors=7),
    "lander_gcn": dict(encoder="gcn", mean_features=False, n_neighbors=5),
    "lander_gat": dict(encoder="gat", mean_features=False, n_neighbors=7),
}


@pytest.fixture(scope="module", params=MODELS)
def golden(request):
    setting = dict(MODELS[request.param])
    n_neighbors = setting.pop("n_neighbors")
    arrays = np.load(DATA / f"{request.param}.npz")
    weights = {
        name.removeprefix("weights/"): torch.from_numpy(arrays[name])
        for name in arrays.files
        if name.startswith("weights/")
    }
    lander = Lander(arrays["X"].shape[1], hidden_dim=32, **setting)
    lander.load_state_dict(reference_state_dict(weights))
    lander.eval()
    return arrays, lander, n_neighbors


def edges(graph):
    """Edges (neighbour -> sample) sorted by sample, then neighbour: order of the files."""
    n_neighbors = graph.n_neighbors
    samples = torch.arange(graph.n_nodes).repeat_interleave(n_neighbors)
    order = torch.argsort(samples * graph.n_nodes + graph.indices.reshape(-1))
    order = order[graph.similarities.reshape(-1)[order] > 0]
    return order, graph.indices.reshape(-1)[order], samples[order]


def sorted_edges(values, order):
    return values.reshape(-1)[order].numpy()


def assert_close(actual, expected):
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=TOLERANCE)


def test_training_hierarchy_and_losses(golden):
    arrays, lander, n_neighbors = golden
    X, y = torch.from_numpy(arrays["X"]), torch.from_numpy(arrays["y"])
    oracle = OracleScorer(y)
    levels = list(
        iterate_levels(
            X,
            oracle,
            build_graph=partial(build_neighbor_graph, n_neighbors=n_neighbors, algorithm="brute"),
            decode=lambda level, scores: decode_forest(level.graph, scores, 0.0, strict=True),
            max_levels=4,
            min_nodes=n_neighbors + 2,
        )
    )
    assert len(levels) == arrays["train/n_levels"]
    for depth, (level, _) in enumerate(levels):
        part = f"train/level{depth}"
        order, sources, targets = edges(level.graph)
        np.testing.assert_array_equal(sources, arrays[f"{part}/src"])
        np.testing.assert_array_equal(targets, arrays[f"{part}/dst"])
        assert_close(level.peak_features, arrays[f"{part}/features"])
        assert_close(level.mean_features, arrays[f"{part}/cluster_features"])
        np.testing.assert_array_equal(y[level.peaks], arrays[f"{part}/labels"])
        assert_close(sorted_edges(level.graph.similarities, order), arrays[f"{part}/raw_affine"])
        same, density = oracle.same_class(level), oracle(level).density
        np.testing.assert_array_equal(sorted_edges(same, order), arrays[f"{part}/labels_conn"])
        assert_close(density, arrays[f"{part}/density"])
        mask = linkage_mask(level.graph, density)
        np.testing.assert_array_equal(sorted_edges(mask, order), arrays[f"{part}/mask_conn"])
        x = lander.node_input(level.peak_features, level.mean_features)
        logits, predicted = lander(x, level.graph)
        linkage_loss, density_loss = lander_losses(logits, predicted, same, density, mask)
        assert_close(linkage_loss.detach(), arrays[f"{part}/loss_linkage"])
        assert_close(density_loss.detach(), arrays[f"{part}/loss_density"])


def clustering_runs(arrays):
    return sorted(
        {
            name.rsplit("/", 1)[0]
            for name in arrays.files
            if name.endswith("/labels") and name.startswith("infer/")
        }
    )


def test_clustering(golden):
    arrays, lander, n_neighbors = golden
    X = torch.from_numpy(arrays["X"])
    runs = clustering_runs(arrays)
    assert runs
    for run in runs:
        _, tau, early = run.split("/")
        tau = float(tau.removeprefix("tau"))
        scores_of = {}

        def scorer(level, scores_of=scores_of):
            scores_of[level.depth] = LanderScorer(lander)(level)
            return scores_of[level.depth]

        hierarchy, trace = grow_hierarchy(
            X,
            scorer,
            n_neighbors=n_neighbors,
            early_stop=early == "early1",
            build_graph=partial(build_neighbor_graph, n_neighbors=n_neighbors, algorithm="brute"),
            decode=lambda level, scores, tau=tau: decode_forest(
                level.graph, scores, tau, strict=True
            ),
            max_levels=10,
            min_nodes=n_neighbors + 2,
        )
        assert hierarchy.n_levels == arrays[f"{run}/n_levels"]
        for level, forest in trace:
            part = f"{run}/level{level.depth}"
            order, sources, targets = edges(level.graph)
            np.testing.assert_array_equal(sources, arrays[f"{part}/src"])
            np.testing.assert_array_equal(targets, arrays[f"{part}/dst"])
            scores = scores_of[level.depth]
            assert_close(sorted_edges(level.graph.similarities, order), arrays[f"{part}/cosine"])
            assert_close(sorted_edges(scores.linkage, order), arrays[f"{part}/link_probability"])
            assert_close(scores.density, arrays[f"{part}/density"])
            assert pairwise_f_score(arrays[f"{part}/level_labels"], forest.labels.numpy()) == 1.0
            np.testing.assert_array_equal(np.sort(arrays[f"{part}/peaks"]), forest.roots)
        assert pairwise_f_score(arrays[f"{run}/labels"], hierarchy.labels[-1]) == 1.0


def test_equal_peak_and_mean_features_may_be_given_once(golden):
    arrays, lander, n_neighbors = golden
    X = torch.from_numpy(arrays["X"])
    graph = build_neighbor_graph(X, n_neighbors)
    once, twice = lander.node_input(X, X), lander.node_input(X, X.clone())
    assert once.shape == X.shape
    assert_close(lander.score(once, graph).linkage, lander.score(twice, graph).linkage)


def test_partial_evaluation_equals_whole(golden):
    arrays, lander, n_neighbors = golden
    X = torch.from_numpy(arrays["X"])
    graph = build_neighbor_graph(X, n_neighbors)
    x = lander.node_input(X, X)
    whole = lander.score(x, graph)
    nodes = torch.arange(3, len(X), 7)
    part = lander.score(x, graph, nodes)
    assert_close(part.linkage, whole.linkage[nodes])
    assert_close(part.density, whole.density[nodes])
