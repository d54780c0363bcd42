"""On a GPU: the labels of the CPU, where no two similarities are equal."""

import numpy as np
import pytest
import torch
from conftest import make_clusters

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._device import resolve_device
from sklearn_hilander._rounds import _relational
from sklearn_hilander._rows import _embeddings
from sklearn_hilander._search import _cells, _device_search
from sklearn_hilander._search._neighbors import build_neighbor_graph, query_neighbors

pytestmark = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs a GPU that torch can use, and there is none"
)
X, Y = make_clusters(np.random.default_rng(0), n_clusters=12, size=15, n_features=24)
NEW, _ = make_clusters(np.random.default_rng(1), n_clusters=5, size=15, n_features=24)
QUICK = dict(n_neighbors=8, max_iter=2, hidden_dim=16, random_state=0)


def test_auto_is_the_gpu():
    assert resolve_device("auto").type == "cuda"


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_search(metric, monkeypatch):
    monkeypatch.setattr(_device_search, "_PRODUCTS", 50 * len(X))  # several blocks
    rows = torch.nn.functional.normalize(torch.from_numpy(X).float())
    there = rows.cuda()
    for find in (
        lambda rows: build_neighbor_graph(rows, 10, metric=metric),
        lambda rows: query_neighbors(rows[:20], rows, 10, metric=metric),
    ):
        here, back = find(rows), find(there)
        assert back.indices.is_cuda
        assert torch.equal(back.indices.cpu(), here.indices)
        torch.testing.assert_close(back.similarities.cpu(), here.similarities, atol=1e-5, rtol=0)


def here_and_there(architecture):
    """One model on the CPU and on the GPU."""
    model = HiLanderClustering(architecture=architecture, device="cpu", **QUICK).fit(X, Y)
    return [
        HiLanderClustering(
            architecture=architecture, pretrained=model, device=device, **QUICK
        ).set_params(linkage_threshold=0.5)
        for device in ("cpu", "cuda")
    ]


@pytest.mark.parametrize("architecture", ["untrained", "gcn", "gat", "relational"])
def test_a_model_clusters_as_on_the_cpu(architecture):
    here, there = here_and_there(architecture)
    np.testing.assert_array_equal(there.fit_predict(X), here.fit_predict(X))
    np.testing.assert_array_equal(there.predict(NEW), here.predict(NEW))
    np.testing.assert_array_equal(there.partial_fit(NEW).labels_, here.partial_fit(NEW).labels_)
    np.testing.assert_allclose(there.probabilities_, here.probabilities_, atol=1e-4)


@pytest.mark.parametrize("architecture", ["untrained", "gcn", "relational"])
def test_many_rows_whose_order_in_memory_differs(architecture, monkeypatch):
    monkeypatch.setattr(_embeddings, "_HASH_ORDER_MAX_ROWS", 0)
    monkeypatch.setattr(_cells, "CELL_ROWS", 20)
    here, there = here_and_there(architecture)
    np.testing.assert_array_equal(there.fit_predict(X), here.fit_predict(X))
    np.testing.assert_array_equal(there.recluster().labels_, here.recluster().labels_)


@pytest.mark.parametrize("architecture", ["gcn", "relational"])
def test_training_there_is_good_for_clustering_anywhere(architecture, tmp_path):
    clusterer = HiLanderClustering(architecture=architecture, device="cuda", **QUICK).fit(X, Y)
    assert np.isfinite(clusterer.loss_curve_).all()
    expected = clusterer.fit_predict(NEW)
    clusterer.save(tmp_path / "model")
    for device in ("cuda", "cpu"):
        loaded = HiLanderClustering.load(tmp_path / "model").set_params(device=device)
        np.testing.assert_array_equal(loaded.fit_predict(NEW), expected)


def test_the_default_searches_there(monkeypatch):
    searched, real = [], _relational.build_neighbor_graph

    def watched(rows, *args, **kwargs):
        searched.append(rows.device.type)
        return real(rows, *args, **kwargs)

    monkeypatch.setattr(_relational, "build_neighbor_graph", watched)
    HiLanderClustering(pretrained="default", device="cuda").fit(X)
    assert set(searched) == {"cuda"}


def test_what_does_not_fit_is_searched_on_the_cpu():
    expected = HiLanderClustering(device="cpu").fit_predict(X)
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-9)
    try:
        with pytest.warns(RuntimeWarning, match="more memory than cuda"):
            labels = HiLanderClustering(device="cuda").fit_predict(X)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    np.testing.assert_array_equal(labels, expected)


def test_cells():
    rows = torch.nn.functional.normalize(torch.randn(3_000, 8, device="cuda"))
    exact = build_neighbor_graph(rows, 10, algorithm="brute")
    found = build_neighbor_graph(rows, 10, algorithm="ivf")
    assert found.indices.is_cuda
    hits = (found.indices[:, :, None] == exact.indices[:, None, :]).any(dim=1)
    assert hits.float().mean() > 0.95
    torch.testing.assert_close(found.similarities[:, 0], exact.similarities[:, 0], atol=0.1, rtol=0)


def test_little_memory_is_enough_for_many_rows():
    rows = torch.nn.functional.normalize(torch.randn(60_000, 32, device="cuda"))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    build_neighbor_graph(rows, 10)
    # All similarities at once would be 14 GB.
    assert torch.cuda.max_memory_allocated() - before < 1e9
