"""Nothing is left behind: no file handle, no temporary file, no thread, no setting, no memory."""

import contextlib
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_clusters, run_alone
from threadpoolctl import threadpool_info

from sklearn_hilander import HiLanderClustering, SavedFileError

X, Y = make_clusters(np.random.default_rng(0), n_clusters=8, size=6, n_features=6)
QUICK = dict(n_neighbors=5, max_iter=1, hidden_dim=4, random_state=0)
ARCHITECTURES = ["untrained", "gcn", "relational"]
on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks into /proc, which Linux alone has"
)


def everything(architecture, folder, **params):
    """Every call that opens a file or starts a thread, and calls that fail half-way."""
    path = folder / "file"
    clusterer = HiLanderClustering(architecture=architecture, **{**QUICK, **params})
    clusterer.fit(X, Y)
    clusterer.save(path)
    HiLanderClustering.load(path).predict(X[:5] + 0.01)
    HiLanderClustering(pretrained=path).fit(X)
    clusterer.set_params(algorithm="hnsw").fit(X)
    with pytest.raises(ValueError, match="NaN"):
        clusterer.fit(np.full_like(X, np.nan))
    with pytest.raises(ValueError, match="inconsistent"):
        clusterer.fit(X, Y[:-1])
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SavedFileError):
        HiLanderClustering.load(path)
    with pytest.raises(SavedFileError):
        clusterer.set_params(checkpoint=path).fit(X, Y)
    path.unlink()
    clusterer.fit(X, Y)
    clusterer.set_params(random_state=np.random.RandomState(0))
    with pytest.raises(SavedFileError):
        clusterer.save(path)
    with pytest.raises(OSError, match="No such file"):
        clusterer.set_params(random_state=0).save(folder / "nowhere" / "file")


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """What is made once a process: torch opens what it needs and makes a folder of its own."""
    path = tmp_path_factory.mktemp("warm") / "file"
    HiLanderClustering(architecture="gcn", **QUICK).fit(X, Y).save(path)
    HiLanderClustering.load(path)


@pytest.fixture
def folder(warm, tmp_path, monkeypatch):
    """The working directory and that for temporary files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def open_files():
    """What each file handle of this process leads to."""
    found = []
    for handle in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(str(handle.readlink()))
    return sorted(found)


@on_linux
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_file_is_left(architecture, folder):
    before = open_files()
    everything(architecture, folder)
    assert open_files() == before
    assert list(folder.iterdir()) == []


def settings():
    """Numbers of threads, and the settings of torch that a fit touches."""
    pools = sorted((pool["filepath"], pool["num_threads"]) for pool in threadpool_info())
    return (
        pools,
        torch.get_num_threads(),
        torch.get_deterministic_debug_mode(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.random.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),  # noqa: NPY002 (that of others)
        np.geterr(),
    )


@pytest.mark.parametrize(
    ("architecture", "n_jobs"), [("untrained", None), ("gcn", 2), ("relational", 2)]
)
def test_settings_are_put_back(architecture, n_jobs, folder):
    before = settings()
    everything(architecture, folder, n_jobs=n_jobs)
    assert settings() == before


@on_linux
def test_threads_are_bounded(folder):
    def count():
        return len(list(Path("/proc/self/task").iterdir()))

    for architecture in ("untrained", "gcn"):
        everything(architecture, folder, n_jobs=2)
    # torch and numpy keep the threads that they once made, and make no more.
    before, python_threads = count(), threading.active_count()
    for architecture in ("untrained", "gcn"):
        everything(architecture, folder, n_jobs=2)
    assert count() <= before
    assert threading.active_count() == python_threads


# Python and torch keep things for later: the first fits do not count. Free blocks between those in
# use are the allocator's: it is asked to give them back where it can be asked.
FITS = """
import ctypes, gc, resource, sys
from pathlib import Path
import numpy as np
from sklearn_hilander import HiLanderClustering

trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda pad: 0)

def resident():
    gc.collect()
    trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

rng = np.random.default_rng(0)
y = np.repeat(np.arange(6), 4)
def once(clusterer, labels):
    X = rng.normal(size=(24, 1000))
    clusterer.fit(X, labels)
    clusterer.predict(X[:5] + 0.01)
    clusterer.probabilities_, clusterer.hierarchy_
clusterers = [
    (HiLanderClustering(random_state=0), None),
    (HiLanderClustering(architecture="gcn", max_iter=1, hidden_dim=4, random_state=0), y),
]
seen = []
for number in range(300):
    once(*clusterers[number % 2])
    if number >= 99 and number % 20 == 19:
        seen.append(resident())
print(*seen)
"""
# glibc's allocator, where it is the one: what is freed goes back to the system at once, from every
# thread's share, so that what is resident is what is in use. Others do not look at these.
STEADY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
# A kept copy of the rows of each fit alone would be 200 times 0.19 MB.
SLACK = 6e6


@on_linux
def test_memory_is_flat_over_two_hundred_fits():
    printed = run_alone([sys.executable, "-c", FITS], **STEADY)
    seen = np.array([int(size) for size in printed.split()])
    assert len(seen) == 11
    # The median of the last three: a single figure may catch a block that is about to go.
    assert np.median(seen[-3:]) - np.median(seen[:3]) < SLACK, seen
