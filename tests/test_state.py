"""A call that fails or is interrupted changes nothing, at whatever point that happens."""

import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_clusters

import sklearn_hilander
from sklearn_hilander import HiLanderClustering
from sklearn_hilander._state import unchanged_on_failure

PACKAGE = str(Path(sklearn_hilander.__file__).parent)
X, Y = make_clusters(np.random.default_rng(0))
NEW = X[::3] + 0.01
TRAINED = dict(architecture="gcn", max_iter=1, hidden_dim=4, n_neighbors=5)
CALLS = {
    "fit": lambda clusterer: clusterer.fit(X[::2]),
    "fit with labels": lambda clusterer: clusterer.fit(X[::2], Y[::2]),
    "partial_fit": lambda clusterer: clusterer.partial_fit(NEW, min_growth=None),
    "partial_fit, all anew": lambda clusterer: clusterer.partial_fit(NEW),
    "recluster": lambda clusterer: clusterer.recluster(),
    "relabel": lambda clusterer: clusterer.relabel(linkage_threshold=0.9, min_cluster_size=2),
    "predict": lambda clusterer: clusterer.predict(NEW),
    "score": lambda clusterer: clusterer.score(NEW, Y[::3]),
    "soft_membership": lambda clusterer: clusterer.soft_membership(NEW),
}
N_POINTS = 9


def run(call, clusterer, interrupt_at=None):
    """Number of the package's functions that a call enters; it is interrupted at one of them."""
    entered = 0

    def count(frame, event, _):
        nonlocal entered
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            entered += 1
            if entered == interrupt_at:
                raise KeyboardInterrupt

    sys.setprofile(count)
    try:
        call(clusterer)
    finally:
        sys.setprofile(None)
    return entered


def state(clusterer, path):
    """Every bit of what was learned and found."""
    clusterer.save(path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Clusters, some rows of which came later, to start from afresh for every call."""
    path = tmp_path_factory.mktemp("state") / "file"
    HiLanderClustering(random_state=0).fit(X[6:]).partial_fit(X[:6]).save(path)
    return path


@pytest.mark.parametrize("name", CALLS)
def test_interrupted_at_any_point(name, file, tmp_path):
    def start():
        clusterer = HiLanderClustering.load(file)
        # Parameters are the caller's: no call changes them.
        return clusterer.set_params(**TRAINED) if name == "fit with labels" else clusterer

    call, path = CALLS[name], tmp_path / "file"
    before = state(start(), path)
    complete = start()
    # The first call in a process may do more than later ones.
    call(start())
    n_entered = run(call, complete)
    after = state(complete, path)
    n_before = 0
    for point in np.linspace(1, n_entered, N_POINTS).astype(int):
        clusterer = start()
        with pytest.raises(KeyboardInterrupt):
            run(call, clusterer, point)
        found = state(clusterer, path)
        n_before += found == before
        # All of it was done where no more than tidying up was left.
        assert found in (before, after), point
        # And it goes on from there.
        if found == before:
            call(clusterer)
            assert state(clusterer, path) == after
    assert n_before >= N_POINTS - 2


def test_everything_is_put_back():
    class Estimator:
        pass

    estimator = Estimator()
    estimator.kept, estimator.replaced = kept, _ = [1], [2]
    with pytest.raises(KeyboardInterrupt), unchanged_on_failure(estimator):
        estimator.replaced, estimator.added = [3], [4]
        del estimator.kept
        raise KeyboardInterrupt
    assert vars(estimator) == {"kept": [1], "replaced": [2]}
    assert estimator.kept is kept
    with unchanged_on_failure(estimator):
        estimator.added = [4]
    assert estimator.added == [4]
