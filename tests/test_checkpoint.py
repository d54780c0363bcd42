"""A meta-training that is killed goes on where it was, and ends with the same bits."""

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import make_clusters, run_alone
from sklearn.base import clone

from sklearn_hilander import HiLanderClustering, SavedFileError
from sklearn_hilander._files._checkpoint import Checkpoint, _plan
from sklearn_hilander._files._persistence import read_file
from sklearn_hilander._saved._model_arrays import model_arrays

X, Y = make_clusters(np.random.default_rng(0), n_clusters=8, size=6, n_features=6)
NETWORK = dict(hidden_dim=8, batch_size=40, n_neighbors=4)
SETTINGS = {
    "relational": dict(max_iter=1, hidden_dim=4, n_neighbors=5),
    "gcn": dict(architecture="gcn", max_iter=3, **NETWORK),
    "gat": dict(architecture="gat", max_iter=3, **NETWORK),
    "one network": dict(architecture="gcn", max_iter=3, linkage_threshold=0.5, **NETWORK),
}
# Networks of each stage, judges, the judge of rows; or epochs without held-out classes, the
# threshold, and epochs with all.
WRITES = {"relational": 5 + 1 + 1, "gcn": 3 + 1 + 3, "gat": 3 + 1 + 3, "one network": 3}


def make(name, **params):
    return HiLanderClustering(**{"random_state": 0, **SETTINGS[name], **params})


def bits(clusterer):
    """All that was learned."""
    model = clusterer._model
    weights = {name: array.tobytes() for name, array in model_arrays(model).items()}
    judge = model.row_judge and model.row_judge.threshold
    labels = clusterer.labels_.tobytes()
    return weights, clusterer.loss_curve_, model.linkage_threshold, judge, labels


@pytest.fixture(scope="module")
def uninterrupted():
    return {name: bits(make(name).fit(X, Y)) for name in SETTINGS}


@pytest.fixture
def interrupted(monkeypatch):
    """Fit until so many states are written; the file goes on from there."""

    def fit(clusterer, n_writes=1, X=X, y=Y):
        write, left = Checkpoint.write, [n_writes]

        def counted(self):
            write(self)
            # The first write of a training is of nothing.
            left[0] -= bool(self._arrays)
            if left[0] == 0:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Checkpoint, "write", counted)
            clusterer.fit(X, y)
        return clusterer

    return fit


@pytest.mark.parametrize("name", SETTINGS)
def test_goes_on_after_every_write(name, tmp_path, uninterrupted, interrupted):
    path = tmp_path / "state"
    for _ in range(WRITES[name]):
        interrupted(make(name, checkpoint=path))
        assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert bits(make(name, checkpoint=path).fit(X, Y)) == uninterrupted[name]
    # It held the whole training; the fit that is done has deleted it.
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, pickle, random, signal, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_checkpoint import Checkpoint, X, Y, bits, make
name, path, out = sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
write, rng, n_kills, n_left = Checkpoint.write, random.Random(0), 0, 0
for _ in range(2):  # the first imports what the children then need not
    started = time.monotonic()
    make(name).fit(X, Y)
    longest = time.monotonic() - started
# A training that was at its end before it was killed often enough begins anew.
while not out.exists() or n_kills < 3 or n_left < 1:
    out.unlink(missing_ok=True)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        Checkpoint.write = lambda self: (write(self), os.write(tell, b"."))
        clusterer = make(name, checkpoint=path).fit(X, Y)
        part = out.with_suffix(".part")
        part.write_bytes(pickle.dumps(bits(clusterer)))
        part.replace(out)
        os._exit(0)
    os.close(tell)
    if n_kills < 6:
        n_writes = rng.choice([0, 1, 1, 2])
        for _ in range(n_writes):
            os.read(told, 1)
        time.sleep(rng.uniform(0, 0.01 if n_writes else longest / 2))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(told)
    assert status == 0 or os.WIFSIGNALED(status)
    n_kills += status != 0
    n_left += status != 0 and path.exists()
print(n_kills, n_left)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes as on POSIX")
@pytest.mark.parametrize("name", ["relational", "gcn"])
def test_goes_on_after_kills(name, tmp_path, uninterrupted):
    folder = tmp_path / "kept"
    folder.mkdir()
    tests = str(Path(__file__).parent)
    command = [sys.executable, "-c", KILLED, tests, name, folder / "state", tmp_path / "out"]
    printed = run_alone(command)
    assert pickle.loads((tmp_path / "out").read_bytes()) == uninterrupted[name]
    n_kills, n_left = map(int, printed.split())
    assert n_kills >= 3
    assert n_left >= 1
    # Nor is anything left of writes that were cut off.
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["relational", "gcn"])
def test_is_left_as_it_was_by_an_interrupt(name, tmp_path, interrupted):
    clusterer = make(name, checkpoint=tmp_path / "state").fit(X, Y)
    before = dict(vars(clusterer))
    labels = clusterer.predict(X[::3] + 0.01)
    interrupted(clusterer, 2, X=X[::2], y=Y[::2])
    assert vars(clusterer) == before
    assert (tmp_path / "state").exists()
    np.testing.assert_array_equal(clusterer.predict(X[::3] + 0.01), labels)
    again = clusterer.fit(X[::2], Y[::2])
    assert bits(again) == bits(make(name).fit(X[::2], Y[::2]))


def test_steps_that_are_kept_are_reported(tmp_path, interrupted, capsys):
    clusterer = make("one network", checkpoint=tmp_path / "state", verbose=1)
    interrupted(clusterer, 2)
    capsys.readouterr()
    clusterer.fit(X, Y)
    printed = capsys.readouterr().out
    for loss in clusterer.loss_curve_:
        assert f"loss {loss:.4f}" in printed
    assert printed.count("loss") == len(clusterer.loss_curve_) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(X=X + 1e-9), "the values of X differ"),
        (dict(X=X[:-1], y=Y[:-1]), "rows of X was 48 and is 47"),
        (dict(X=X.astype(np.float32)), "dtype of X was 'float64' and is 'float32'"),
        (dict(y=Y // 2), "the labels differ"),
        (dict(max_iter=4), "max_iter was 3 and is 4"),
        (dict(random_state=1), "seed was .* and is "),
        (dict(architecture="gat"), "architecture was .*gcn.* and is .*gat"),
        (dict(metric="euclidean", n_neighbors=3), "metric was .*; n_neighbors was 4 and is 3"),
        (dict(linkage_threshold="auto"), "calibrate was False and is True"),
    ],
)
def test_another_training(tmp_path, interrupted, change, message):
    path = tmp_path / "state"
    interrupted(make("one network", checkpoint=path))
    kept = path.read_bytes()
    rows, y = change.pop("X", X), change.pop("y", Y)
    other = make("one network", checkpoint=path).fit(X)
    before = dict(vars(other))
    other.set_params(**change)
    with pytest.raises(SavedFileError, match=f"(?s){message}.*Delete the file") as caught:
        other.fit(rows, y)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == kept
    assert {**vars(other), **{name: before[name] for name in change}} == before


def test_a_training_that_goes_on_from_another_model(tmp_path, interrupted):
    path = tmp_path / "state"
    params = dict(checkpoint=path, max_iter=1, n_neighbors=5, random_state=0)
    interrupted(HiLanderClustering(**params))
    with pytest.raises(SavedFileError, match="the pretrained models differ"):
        HiLanderClustering(pretrained=None, **params).fit(X, Y)
    again = HiLanderClustering(**params).fit(X, Y)
    assert bits(again) == bits(HiLanderClustering(**{**params, "checkpoint": None}).fit(X, Y))


def test_versions_tell_trainings_apart(tmp_path, interrupted, monkeypatch):
    interrupted(make("one network", checkpoint=tmp_path / "state"))
    monkeypatch.setattr(np, "__version__", "1.0")
    with pytest.raises(SavedFileError, match=r"version of numpy was '.*' and is '1\.0'"):
        make("one network", checkpoint=tmp_path / "state").fit(X, Y)


def test_what_does_not_matter_may_differ(tmp_path, interrupted, uninterrupted):
    path = tmp_path / "state"
    interrupted(make("one network", checkpoint=path, max_iter=np.int64(3), n_jobs=1), 2)
    others = dict(linkage_threshold=0.4, min_cluster_size=2, verbose=False, n_jobs=None)
    again = make("one network", checkpoint=str(path), **others).fit(X, Y)
    assert bits(again)[:2] == uninterrupted["one network"][:2]


def test_goes_on_with_the_seed_drawn_at_first(tmp_path, interrupted):
    path = tmp_path / "state"
    kept = interrupted(make("one network", random_state=None, checkpoint=path), 2)
    file = path.read_bytes()
    again = clone(kept).fit(X, Y)
    path.write_bytes(file)
    once_more = make("one network", random_state=np.random.RandomState(3), checkpoint=path)
    assert bits(once_more.fit(X, Y)) == bits(again)
    assert again.loss_curve_ != clone(kept).fit(X, Y).loss_curve_


def test_damage(tmp_path, interrupted):
    path = tmp_path / "state"
    interrupted(make("one network", checkpoint=path))
    whole = path.read_bytes()
    model = tmp_path / "model"
    fitted = make("one network").fit(X, Y)
    fitted.save(model)
    for damaged in (
        whole[:-9],
        whole[: len(whole) // 2],
        whole[:-20] + bytes(20),
        whole.replace(b"loss_curve", b"lost_curve"),
        b"",
        b"Dear diary",
        model.read_bytes(),
    ):
        path.write_bytes(damaged)
        with pytest.raises(SavedFileError, match=r"checkpoint cannot be used.*Delete the file"):
            make("one network", checkpoint=path).fit(X, Y)
        # It may be something else that is dear to someone.
        assert path.read_bytes() == damaged


def test_a_forged_state_is_refused(tmp_path, interrupted):
    path = tmp_path / "state"
    clusterer = make("one network", checkpoint=path)
    interrupted(clusterer)
    forged = Checkpoint(str(path), *_contents(path))
    for arrays in (
        {"loss_curve": np.zeros(1)},
        {name: array[..., :1] for name, array in forged._arrays.items()},
    ):
        forged.save("network", {name.removeprefix("network/"): arrays[name] for name in arrays})
        with pytest.raises(SavedFileError, match="'network' is not what this training leaves"):
            clusterer.fit(X, Y)


def _contents(path):
    header, arrays = read_file(str(path), _plan)
    return header["training"], header["seed"], arrays


def test_is_no_saved_estimator(tmp_path, interrupted):
    path = tmp_path / "state"
    interrupted(make("one network", checkpoint=path))
    with pytest.raises(SavedFileError):
        HiLanderClustering.load(path)
    with pytest.raises(SavedFileError):
        HiLanderClustering(pretrained=path).fit(X)


def test_a_path_that_cannot_be_written_is_found_out_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "load", None)  # never reached
    with pytest.raises(FileNotFoundError, match=r"checkpoint=.*cannot be written"):
        make("gcn", checkpoint=tmp_path / "nowhere" / "state").fit(X, Y)
    with pytest.raises(SavedFileError, match="not a regular file"):
        make("gcn", checkpoint=tmp_path).fit(X, Y)


def test_a_full_disk_leaves_the_state_before(tmp_path, monkeypatch, uninterrupted):
    path = tmp_path / "state"
    sync, left = os.fsync, [4]

    def full(handle):
        left[0] -= 1
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        sync(handle)

    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"checkpoint=.*No space"):
        patch.setattr(os, "fsync", full)
        make("gcn", checkpoint=path).fit(X, Y)
    assert [file.name for file in tmp_path.iterdir()] == ["state"]
    assert bits(make("gcn", checkpoint=path).fit(X, Y)) == uninterrupted["gcn"]


def test_diverged_training_is_not_kept(tmp_path):
    path = tmp_path / "state"
    with pytest.raises(SavedFileError, match="lower learning_rate"):
        make("one network", learning_rate=1e30, checkpoint=path).fit(X, Y)
    assert path.exists()


def test_with_memory(tmp_path, interrupted, uninterrupted):
    path, memory = tmp_path / "state", str(tmp_path / "memory")
    clusterer = make("gcn", checkpoint=path, memory=memory)
    interrupted(clusterer, 4)
    assert bits(clusterer.fit(X, Y)) == uninterrupted["gcn"]
    assert not path.exists()
    # A trained model is taken from memory; the file of a path of another name goes, too.
    found = make("gcn", checkpoint=tmp_path / "other", memory=memory).fit(X, Y)
    assert bits(found) == uninterrupted["gcn"]
    assert [file.name for file in tmp_path.iterdir()] == ["memory"]


def test_clustering_alone_does_not_touch_the_file(tmp_path):
    path = tmp_path / "state"
    path.write_text("mine")
    clusterer = make("gcn", checkpoint=path).fit(X)
    clusterer.predict(X)
    clusterer.partial_fit(X)
    assert path.read_text() == "mine"


def test_a_training_that_has_kept_nothing_yet_goes_on(tmp_path):
    """An old release of safetensors writes a file without arrays that none can read."""
    path = tmp_path / "state"
    Checkpoint(str(path), {"a": 1}, 5).write()
    header, arrays = read_file(str(path), _plan)
    assert header["seed"] == 5
    assert Checkpoint(str(path), {"a": 1}, 5, arrays).load("stage", {}) is None


def test_a_name_that_begins_like_another_is_not_mixed_up():
    checkpoint = Checkpoint()
    checkpoint._arrays = {"a/x": np.zeros(1), "ab/x": np.ones(1)}
    assert checkpoint.load("a", {"x": (1,)})["x"] == 0
    assert checkpoint.load("b", {"x": (1,)}) is None
