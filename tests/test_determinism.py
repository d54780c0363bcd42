"""The same input, parameters and seed: the same bits."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_clusters
from joblib import Parallel, delayed

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._device import thread_limit
from sklearn_hilander._saved._model_arrays import model_arrays

# Wide enough, and rows enough, for torch and numpy to share the work among threads.
X, Y = make_clusters(np.random.default_rng(0), n_clusters=25, size=12, n_features=24)
METRICS = ("cosine", "euclidean")
SETTINGS = {
    "untrained": dict(architecture="untrained"),
    "default": dict(),
    "relational": dict(architecture="relational", max_iter=1, hidden_dim=4),
    "gcn": dict(architecture="gcn", max_iter=2, hidden_dim=256),
    "gat": dict(architecture="gat", max_iter=2, hidden_dim=256),
}


def run(name, n_jobs=None, metric="cosine"):
    """Every result as bytes."""
    clusterer = HiLanderClustering(9, metric=metric, n_jobs=n_jobs, random_state=0)
    clusterer.set_params(**SETTINGS[name])
    clusterer.fit(X[::2], None if name in ("untrained", "default") else Y[::2])
    weights = {key: array.tobytes() for key, array in model_arrays(clusterer._model).items()}
    labels = [clusterer.labels_, clusterer.predict(X), clusterer.fit_predict(X[1::2])]
    return weights, clusterer.loss_curve_, [part.tobytes() for part in labels]


@pytest.mark.parametrize("name", SETTINGS)
def test_over_runs(name):
    first = run(name, 2)
    for _ in range(1 if name in ("relational", "default") else 4):
        assert run(name, 2) == first


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("name", ["untrained", "default", "gcn", "gat"])
def test_labels_over_twenty_runs(name, metric):
    clusterer = HiLanderClustering(9, metric=metric, random_state=0, **SETTINGS[name])
    if name in ("gcn", "gat"):
        clusterer.fit(X[::2], Y[::2])
    # Threads that wait for each other make the relations of many rows slow.
    rows = X[::4] if name == "default" else X
    first = clusterer.fit_predict(rows)
    for number in range(19):
        clusterer.set_params(n_jobs=1 + number % 2)
        np.testing.assert_array_equal(clusterer.fit_predict(rows), first)


@pytest.mark.parametrize("name", ["relational", "gcn"])
def test_training_over_twenty_runs(name):
    X, y = make_clusters(np.random.default_rng(1), n_clusters=6, size=5, n_features=8)
    params = {**SETTINGS[name], "hidden_dim": 4, "n_neighbors": 4, "max_iter": 1}

    def learned():
        clusterer = HiLanderClustering(**params, n_jobs=1, random_state=0).fit(X, y)
        arrays = model_arrays(clusterer._model)
        return {key: array.tobytes() for key, array in arrays.items()}, clusterer.labels_.tobytes()

    first = learned()
    for _ in range(19):
        assert learned() == first


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        *((name, metric) for name in ("untrained", "gcn", "gat") for metric in METRICS),
        ("default", "cosine"),
        ("relational", "cosine"),
    ],
)
def test_labels_over_one_and_two_threads(name, metric):
    assert run(name, 1, metric)[2] == run(name, 2, metric)[2]


def test_inside_and_outside_of_workers():
    # torch of this process uses another number of threads than that of a worker.
    with thread_limit(2):
        expected = [run(name, 1) for name in SETTINGS]
    inside = Parallel(n_jobs=2, backend="loky")(delayed(run)(name, 1) for name in SETTINGS)
    assert inside == expected


def test_approximate_search():
    def labels(n_jobs):
        clusterer = HiLanderClustering(algorithm="hnsw", n_jobs=n_jobs, random_state=0)
        return clusterer.set_params(**SETTINGS["untrained"]).fit_predict(X)

    first = labels(2)
    for number in range(19):
        np.testing.assert_array_equal(labels(1 + number % 2), first)


def test_torchs_compiler_is_left_alone():
    # It takes seconds to import, and no eager kernel needs it.
    program = (
        "import sys; import numpy as np; from sklearn_hilander import HiLanderClustering as H;"
        "X = np.random.default_rng(0).normal(size=(60, 4));"
        "H(random_state=0).fit(X).predict(X + 0.1);"
        "assert not {'torch._inductor', 'torch._dynamo'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent.parent, check=True)


def test_settings_of_torch_are_put_back():
    def settings():
        return (
            torch.get_num_threads(),
            torch.get_deterministic_debug_mode(),
            torch.utils.deterministic.fill_uninitialized_memory,
        )

    before = settings()
    with thread_limit(2, repeatable=True) as n_threads:
        assert n_threads == torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
    assert settings() == before
    with pytest.raises(KeyboardInterrupt), thread_limit(2, repeatable=True):
        raise KeyboardInterrupt
    assert settings() == before
