"""What clearly needs more memory than there is is refused, with the way out."""

import sys

import numpy as np
import pytest
from conftest import run_alone

from sklearn_hilander import HiLanderClustering, _memory
from sklearn_hilander._memory import available_memory, clustering_need, training_need

QUICK = dict(max_iter=1, hidden_dim=4, random_state=0)


@pytest.fixture
def left(monkeypatch):
    """Say how many bytes are available; those asked for."""

    def say(n_bytes):
        monkeypatch.setattr(_memory, "available_memory", lambda: n_bytes)

    return say


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.fixture
def system(monkeypatch, tmp_path):
    """A machine with 3 GB to spare and no limits."""
    monkeypatch.setattr(_memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(_memory, "_CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(_memory, "resource", None)
    meminfo = "MemTotal: 4000000 kB\nMemAvailable: 2000000 kB\nSwapFree: 1000000 kB\n"
    write(tmp_path / "proc", meminfo=meminfo)
    return tmp_path


def test_of_the_system(system):
    assert available_memory() == 3_000_000 * 1024


def test_of_control_groups_of_version_2(system):
    write(system / "proc" / "self", cgroup="0::/user/job\n")
    job = system / "cgroup" / "user" / "job"
    write(job, memory__max="max\n", memory__current="5\n")
    assert available_memory() == 3_000_000 * 1024
    # That of a group around it holds, too; files that can be dropped are no loss.
    stat = "anon 300\ninactive_file 100\n"
    write(job.parent, memory__max="1000\n", memory__current="400\n", memory__stat=stat)
    assert available_memory() == 700
    write(job, memory__max="100\n", memory__current="110\n")
    assert available_memory() == 0


def test_of_control_groups_of_version_1(system):
    write(system / "proc" / "self", cgroup="3:cpu:/\n4:cpuset,memory:/docker/abc\n0::/\n")
    # As seen in a container: the path is one of the machine around it.
    root = system / "cgroup" / "memory"
    taken = {"memory__usage_in_bytes": "400\n", "memory__stat": "total_inactive_file 100\n"}
    write(root, memory__limit_in_bytes="9223372036854771712\n", **taken)
    assert available_memory() == 3_000_000 * 1024
    write(root, memory__limit_in_bytes="1000\n", **taken)
    assert available_memory() == 700


def test_what_cannot_be_read_is_no_limit(system):
    write(system / "proc" / "self", cgroup="rubbish\n")
    write(system / "proc", meminfo="rubbish\n")
    total = available_memory()
    assert total is None or total > 2**20


def test_of_this_machine():
    available = available_memory()
    if available is None:
        pytest.skip("the system does not say how much memory it has")
    assert 2**20 < available < 2**50


ARCHITECTURES = ["relational", "gcn", "gat", "none"]


@pytest.mark.parametrize("encoder", ARCHITECTURES)
def test_needs_grow_with_everything(encoder):
    def needs(n_rows=10_000, n_features=128, n_neighbors=20, hidden_dim=64, batch_size=512):
        given = (n_rows, n_features, n_neighbors, encoder, hidden_dim)
        return clustering_need(*given), training_need(*given, batch_size)

    base = needs()
    assert 0 < base[0] <= base[1]
    for more in (dict(n_rows=20_000), dict(n_features=512), dict(n_neighbors=40)):
        assert needs(**more)[0] > base[0]
        assert needs(**more)[1] > base[1]
    # In proportion to the rows, in the end: the exact search works in blocks.
    assert needs(n_rows=2_000_000)[0] == pytest.approx(2 * needs(n_rows=1_000_000)[0], rel=0.2)


@pytest.mark.parametrize("architecture", ["relational", "gcn", "gat", "untrained"])
def test_refused_with_figures_and_the_way_out(architecture, clusters, left):
    X, y = clusters
    clusterer = HiLanderClustering(5, architecture=architecture, **QUICK).fit(X, y)
    before = dict(vars(clusterer))
    left(10_000)
    with pytest.raises(MemoryError, match=r"72 rows of 16 features.*MB of memory.*=None\)\."):
        clusterer.fit(X)
    with pytest.raises(MemoryError, match=r"Meta-training on 72 rows.*Train on fewer classes"):
        clusterer.fit(X, y)
    assert vars(clusterer) == before
    left(10**9)
    np.testing.assert_array_equal(clusterer.predict(X), before["labels_"])


def test_says_how_many_rows_fit(left):
    left(2 * 10**9)
    with pytest.raises(MemoryError, match=r"about ([\d,]+) rows of 1,000,000\.") as caught:
        _memory.check_clustering_memory((1_000_000, 256), 40, "relational")
    assert "needs about 8.0 GB of memory, and 2.0 GB are available" in str(caught.value)
    fit = int(str(caught.value).split("enough for about ")[1].split(" ")[0].replace(",", ""))
    assert 0.85 * 2e9 < clustering_need(fit, 256, 40, "relational") <= 2e9
    # What it says is not refused then.
    _memory.check_clustering_memory((fit, 256), 40, "relational")


def test_a_close_call_is_tried(left):
    need = clustering_need(50_000, 64, 9, "none")
    left(need / 1.2)
    _memory.check_clustering_memory((50_000, 64), 9, "none")
    left(need / 1.3)
    with pytest.raises(MemoryError):
        _memory.check_clustering_memory((50_000, 64), 9, "none")


def test_copies_do_not_count(left):
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(50, 8)), 400, axis=0)
    need = clustering_need(50, 8, 40, "none")
    assert clustering_need(len(X), 8, 40, "none") > 50 * need
    left(max(need, len(X) * 100))
    assert HiLanderClustering(40).fit(X).n_clusters_ <= 50


def test_embeddings_are_guarded(left, rng):
    X = rng.normal(size=(40, 1_000))
    left(40 * 1_000)
    with pytest.raises(MemoryError, match=r"Scaling the rows.*partial_fit"):
        HiLanderClustering().fit(X)


def test_new_rows_are_guarded(left, rng):
    X = rng.normal(size=(40, 8))
    clusterer = HiLanderClustering().fit(X)
    before = dict(vars(clusterer))
    new = rng.normal(size=(400, 8))
    left(5_000)
    for call in (clusterer.predict, clusterer.partial_fit):
        with pytest.raises(MemoryError, match="in parts"):
            call(new)
    assert vars(clusterer) == before


def test_unknown_is_not_refused(left, rng):
    left(None)
    HiLanderClustering().fit(rng.normal(size=(40, 8)))


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from sklearn_hilander import HiLanderClustering
X = np.random.default_rng(0).normal(size=(60_000, 16)).astype(np.float32)
clusterer = HiLanderClustering(max_iter=1).fit(X[:100])
labels = clusterer.labels_.copy()
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 2**28,) * 2)
clusterer.set_params(pretrained="default", n_neighbors=40)
try:
    clusterer.fit(X)
except MemoryError as error:
    print(error)
assert (clusterer.labels_ == labels).all()
assert (clusterer.fit_predict(X[:100]) >= 0).all()
print("alive")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_under_a_limit_on_address_space():
    message, end = run_alone([sys.executable, "-c", LIMITED]).splitlines()
    assert message.startswith("Clustering 60,000 rows of 16 features with n_neighbors=40 needs")
    assert "partial_fit" in message
    assert end == "alive"
