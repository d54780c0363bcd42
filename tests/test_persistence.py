"""What is saved comes back bit for bit; what is not understood is refused; a kill loses nothing."""

import copy
import dataclasses
import json
import os
import pickle
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from conftest import make_clusters, run_alone
from packaging.version import Version
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline

from sklearn_hilander import Architecture, HiLanderClustering, SavedFileError
from sklearn_hilander._files import _persistence
from sklearn_hilander._rounds._decoders import DECODERS, Decoder
from sklearn_hilander.datasets import make_identities
from tools import fuzz_loader, make_saved_files

SAVED = Path(__file__).parent / "data" / "saved"
FILES = sorted(SAVED.rglob("*.safetensors"))
QUICK = dict(max_iter=1, hidden_dim=4, random_state=0)


@pytest.fixture
def fitted(clusters):
    return HiLanderClustering(5, architecture="gcn", **QUICK).fit(*clusters)


@pytest.fixture
def saved(fitted, tmp_path):
    path = tmp_path / "clusterer.safetensors"
    fitted.save(path)
    return path


def same(one, other):
    """Whether two values are the same, down to dtypes and bits."""
    if type(one) is not type(other):
        return False
    if dataclasses.is_dataclass(one):
        names = [field.name for field in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    if isinstance(one, (tuple, list)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        kind = one.dtype, one.shape
        return kind == (other.dtype, other.shape) and one.tobytes() == other.tobytes()
    if sp.issparse(one):
        return same([one.data, one.indices, one.indptr], [other.data, other.indices, other.indptr])
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    return one == other


def everything(clusterer, rows, pairs):
    """Results of all that can be asked of a fitted clusterer; changes nothing."""
    names = (
        "labels_ n_clusters_ linkage_threshold_ exemplar_indices_ cluster_centers_ cluster_sizes_ "
        "probabilities_ outlier_scores_ loss_curve_ n_iter_ n_features_in_"
    )
    hierarchy = clusterer.hierarchy_
    results = {name: getattr(clusterer, name) for name in names.split()} | {
        "levels": [hierarchy.labels, hierarchy.peaks, hierarchy.thresholds, hierarchy.n_clusters],
        "merges": hierarchy.merges,
        "to_linkage": [hierarchy.to_linkage(clusters=clusters) for clusters in (False, True)],
        "to_pandas": hierarchy.to_pandas().to_numpy(),
        "cut": [hierarchy.cut(linkage_threshold=t) for t in (0.02, 0.3, 0.9)],
        "merge_candidates": clusterer.merge_candidates(),
        "split_candidates": clusterer.split_candidates(),
        "linkage_pairs": clusterer.linkage_pairs(),
        "soft_membership": [clusterer.soft_membership(), clusterer.soft_membership(rows, top=2)],
        "predict": clusterer.predict(rows),
        "constrained": clusterer.predict(rows, **pairs),
    }
    # Whatever changes the clusterer, on copies.
    for name, change in {
        "lower": lambda c: c.relabel(linkage_threshold=0.05),
        "higher": lambda c: c.relabel(linkage_threshold=0.8, min_cluster_size=3),
        "more": lambda c: c.partial_fit(rows, **pairs, min_growth=None),
        "afresh": lambda c: c.fit(rows),
    }.items():
        changed = change(copy.deepcopy(clusterer))
        results[name] = [changed.labels_, changed.probabilities_, changed.merge_candidates()]
    return results


def assert_same_state(one, other):
    assert vars(one).keys() == vars(other).keys()
    assert one.get_params() == other.get_params()
    np.testing.assert_array_equal(one.labels_, other.labels_)
    for name in dataclasses.fields(one._known):
        if name.name != "growth":
            assert same(getattr(one._known, name.name), getattr(other._known, name.name)), name
    for name in dataclasses.fields(one._known.growth):
        if name.name != "rounds":
            a, b = one._known.growth, other._known.growth
            assert same(getattr(a, name.name), getattr(b, name.name)), name
    for name in ("n_clusters_", "linkage_threshold_", "loss_curve_", "n_iter_", "n_features_in_"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(
    "architecture",
    [
        "relational",
        "gcn",
        "gat",
        "paper-gcn",
        "paper-gat",
        Architecture("gcn", mean_features=False),
        None,
    ],
    ids=str,
)
def test_comes_back_bit_for_bit(clusters, rng, tmp_path, architecture, metric):
    X, y = clusters
    X = np.vstack([X, X[:5], np.zeros((1, X.shape[1]))])
    y = np.r_[y, y[:5], -1]
    known = dict(architecture=architecture) if architecture else {}
    clusterer = HiLanderClustering(5, metric=metric, **known, **QUICK)
    clusterer.fit(X, y if architecture else None)
    new = np.vstack([X[::3], rng.normal(size=(20, X.shape[1]))])
    expected = clusterer.predict(new)
    clusterer.save(tmp_path / "c")
    loaded = HiLanderClustering.load(tmp_path / "c")
    assert_same_state(loaded, clusterer)
    np.testing.assert_array_equal(loaded.predict(new), expected)
    assert loaded.score(X, y) == clusterer.score(X, y)
    np.testing.assert_array_equal(loaded.fit_predict(new), clusterer.fit_predict(new))
    # Saving what was loaded writes the same bytes.
    HiLanderClustering.load(tmp_path / "c").save(tmp_path / "d")
    assert (tmp_path / "d").read_bytes() == (tmp_path / "c").read_bytes()


KINDS = {
    "relational": dict(architecture="relational"),
    "relational-euclidean": dict(architecture="relational", metric="euclidean"),
    "gcn": dict(architecture="gcn"),
    "paper-gat": dict(architecture="paper-gat"),
    "untrained": None,
}


@pytest.fixture(scope="module", params=KINDS)
def trained(request):
    """A clusterer of each kind, and rows of classes that it was not trained on."""
    X, y = make_identities(160, 12, mean_size=8, random_state=0)
    unseen = make_identities(120, 12, mean_size=8, random_state=1)[0]
    unseen = np.vstack([unseen, unseen[:4], np.zeros((1, 12))])
    if KINDS[request.param] is None:
        return HiLanderClustering(5, min_cluster_size=2), unseen
    settings = dict(max_iter=1, hidden_dim=4, random_state=0, **KINDS[request.param])
    return HiLanderClustering(5, min_cluster_size=2, **settings).fit(X, y), unseen


STATES = {
    "fitted": lambda clusterer, X, groups: clusterer.fit(X),
    "few levels": lambda clusterer, X, groups: clusterer.set_params(max_levels=1).fit(X),
    "all in one": lambda clusterer, X, groups: clusterer.set_params(linkage_threshold=0).fit(X),
    "all alone": lambda clusterer, X, groups: clusterer.set_params(linkage_threshold=0.999).fit(X),
    "one row": lambda clusterer, X, groups: clusterer.fit(X[:1]),
    "more features than rows": lambda clusterer, X, groups: clusterer.fit(X[:9]),
    "constrained": lambda clusterer, X, groups: clusterer.fit(
        X, must_link=[[0, 9]], cannot_link=[[1, 2], [3, 5]], groups=groups
    ),
    "only must": lambda clusterer, X, groups: clusterer.fit(X, must_link=[[0, 9], [9, 20]]),
    "relabelled": lambda clusterer, X, groups: clusterer.fit(X).relabel(linkage_threshold=0.2),
    "went on": lambda clusterer, X, groups: clusterer.fit(X[:80], groups=groups[:80]).partial_fit(
        X[80:], groups=groups[80:], min_growth=None
    ),
    "constrained later": lambda clusterer, X, groups: clusterer.fit(X[:80]).partial_fit(
        X[80:], must_link=[[0, 1]], cannot_link=[[2, 3]], min_growth=None
    ),
    "clustered again": lambda clusterer, X, groups: clusterer.fit(X[:80]).partial_fit(
        X[80:], must_link=[[0, 1]], groups=groups[80:]
    ),
}


@pytest.mark.parametrize(
    ("state", "ids"),
    [
        *((state, "integers") for state in STATES),
        ("constrained", "strings"),
        ("went on", "strings"),
    ],
)
def test_all_that_can_be_asked_is_the_same(trained, tmp_path, state, ids):
    teacher, X = trained
    groups = np.where(np.arange(len(X)) < 120, np.arange(len(X)) // 3, -1)
    if ids == "strings":
        groups = np.array([f"é{g}" if g >= 0 else None for g in groups], dtype=object)
    clusterer = STATES[state](copy.deepcopy(teacher), X, groups)
    clusterer.save(tmp_path / "c")
    loaded = HiLanderClustering.load(tmp_path / "c")
    assert_same_state(loaded, clusterer)
    rng = np.random.default_rng(5)
    rows = np.vstack([X[40:60] + 0.02 * rng.normal(size=(20, 12)), X[:1], rng.normal(size=(9, 12))])
    of_rows = np.concatenate([groups[40:60], groups[:1], np.repeat(groups[-1:], 9)])
    pairs = dict(must_link=[[1, 2]], cannot_link=[[3, 4]], groups=of_rows)
    expected, found = everything(clusterer, rows, pairs), everything(loaded, rows, pairs)
    assert not [name for name in expected if not same(expected[name], found[name])]
    # Saving what was loaded writes the same bytes.
    loaded.save(tmp_path / "d")
    assert (tmp_path / "d").read_bytes() == (tmp_path / "c").read_bytes()


@pytest.mark.parametrize(
    "groups", [np.arange(72) + 0.5, np.arange(72).astype("S2"), np.arange(72).astype("M8[D]")]
)
def test_group_ids_that_are_not_written(clusters, tmp_path, groups):
    clusterer = HiLanderClustering(5).fit(clusters[0], groups=groups)
    with pytest.raises(SavedFileError, match=r"integers or strings.*clusters=False"):
        clusterer.save(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("architecture", ["relational", "gat"])
def test_the_model_alone(clusters, rng, tmp_path, architecture):
    X, y = clusters
    clusterer = HiLanderClustering(5, architecture=architecture, **QUICK).fit(X, y)
    clusterer.save(tmp_path / "model", clusters=False)
    loaded = HiLanderClustering.load(tmp_path / "model")
    with pytest.raises(NotFittedError):
        loaded.predict(X)
    with pytest.raises(NotFittedError, match="clusters=False"):
        loaded.save(tmp_path / "other")
    for ask in (
        "relabel", "merge_candidates", "split_candidates", "linkage_pairs", "soft_membership",
    ):  # fmt: skip
        with pytest.raises(NotFittedError):
            getattr(loaded, ask)()
    for name in ("hierarchy_", "probabilities_", "exemplar_indices_", "cluster_sizes_"):
        with pytest.raises(NotFittedError):
            getattr(loaded, name)
        assert not hasattr(loaded, name)
    assert loaded.score(X, y) == clusterer.score(X, y)
    new = rng.normal(size=(30, X.shape[1]))
    labels = clusterer.fit_predict(new)
    for user in (
        loaded,
        clone(HiLanderClustering(5, pretrained=loaded)),
        clone(HiLanderClustering(5, pretrained=FrozenEstimator(loaded))),
        clone(HiLanderClustering(5, pretrained=tmp_path / "model")),
        make_pipeline(HiLanderClustering(5, pretrained=str(tmp_path / "model"))),
    ):
        np.testing.assert_array_equal(user.fit_predict(new), labels)
    np.testing.assert_array_equal(loaded.predict(new), labels)
    if architecture == "gat":
        with pytest.raises(ValueError, match="features"):
            HiLanderClustering.load(tmp_path / "model").score(X[:, :3], y)


@pytest.mark.parametrize("pretrained", ["no-such-file", Path("no-such-file"), "."])
def test_pretrained_that_cannot_be_read(clusters, pretrained):
    with pytest.raises(ValueError, match=r"pretrained=.*cannot be"):
        HiLanderClustering(pretrained=pretrained).fit(clusters[0])


def test_parameters(clusters, tmp_path):
    X, y = clusters
    clusterer = HiLanderClustering(
        np.int64(5),
        linkage_threshold=np.float32(0.25),
        architecture="gcn",
        max_iter=1,
        hidden_dim=4,
        random_state=np.int32(3),
        memory=str(tmp_path / "cache"),
        checkpoint=tmp_path / "state",
        device="cpu",
    ).fit(X, y)
    clusterer.save(tmp_path / "c")
    loaded = HiLanderClustering.load(tmp_path / "c")
    # A cache is a folder of pickles, a checkpoint is deleted: a file must not name one.
    assert loaded.get_params() == {**clusterer.get_params(), "memory": None, "checkpoint": None}
    clusterer.set_params(random_state=np.random.RandomState(0))
    before = (tmp_path / "c").read_bytes()
    with pytest.raises(SavedFileError, match="set_params"):
        clusterer.save(tmp_path / "c")
    assert (tmp_path / "c").read_bytes() == before


def test_feature_names(clusters, tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(clusters[0], columns=[f"f{i}é" for i in range(clusters[0].shape[1])])
    clusterer = HiLanderClustering(5).fit(frame)
    clusterer.save(tmp_path / "c")
    loaded = HiLanderClustering.load(tmp_path / "c")
    np.testing.assert_array_equal(loaded.feature_names_in_, clusterer.feature_names_in_)
    np.testing.assert_array_equal(loaded.predict(frame), clusterer.labels_)


def test_not_fitted(tmp_path):
    with pytest.raises(NotFittedError):
        HiLanderClustering().save(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_finite_are_not_written(fitted, tmp_path):
    fitted.lander_.logits.bias[0] = torch.nan
    with pytest.raises(SavedFileError, match=r"logits\.bias"):
        fitted.save(tmp_path / "c")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", sorted(SAVED.iterdir()), ids=lambda path: path.name)
def test_files_of_every_version_are_read(folder):
    expected = np.load(folder / "expected.npz")
    names = {key.split("/")[0] for key in expected.files if "/" in key}
    assert names == {path.stem for path in folder.glob("*.safetensors")}
    for name in names:
        clusterer = HiLanderClustering.load(folder / f"{name}.safetensors")
        if f"{name}/new" in expected:
            np.testing.assert_array_equal(clusterer.labels_, expected[f"{name}/labels"])
            np.testing.assert_array_equal(
                clusterer.predict(expected["new"]), expected[f"{name}/new"]
            )
        np.testing.assert_array_equal(
            clusterer.fit_predict(expected["X"]), expected[f"{name}/labels"]
        )


def test_every_kind_of_file_is_kept():
    names = {path.stem for path in FILES}
    assert names >= {*make_saved_files.CASES, "model_only", "untrained", "constrained"}
    relational = HiLanderClustering.load(next(p for p in FILES if p.stem == "relational"))
    assert relational._model.row_judge is not None
    assert relational._known.growth.rounds is not None


def layout(path):
    """A file without its values: entries of the header, dtypes and axes of the arrays."""

    def entries(tree):
        if isinstance(tree, dict):
            return {key: entries(value) for key, value in tree.items()}
        return [entries(tree[0])] if isinstance(tree, list) and tree else type(tree)

    table, _ = fuzz_loader.split(path.read_bytes())
    header = json.loads(table.pop("__metadata__")["sklearn_hilander"])
    arrays = {name: (part["dtype"], len(part["shape"])) for name, part in table.items()}
    return entries(header), arrays


def test_the_kept_files_are_of_the_present_layout(tmp_path, monkeypatch):
    newest = max(SAVED.iterdir(), key=lambda folder: Version(folder.name))
    monkeypatch.setattr(make_saved_files, "FOLDER", tmp_path)
    make_saved_files.main()
    (written,) = tmp_path.iterdir()
    names = {path.name for path in written.iterdir()}
    assert names == {path.name for path in newest.iterdir()}
    for name in names - {"expected.npz"}:
        # Else what is tried is an older layout: run tools/make_saved_files.py.
        assert layout(written / name) == layout(newest / name), name


@pytest.mark.skipif(sys.platform != "linux", reason="address space and processes as on Linux")
def test_changed_files(tmp_path):
    trial = fuzz_loader.Trial(FILES, tmp_path, seed=3, use=0.1)
    trial.run(3_000)
    # Both kinds of change, and each kind of end, were met.
    assert len(trial.ends) >= 5, trial.ends


def header_of(path):
    """What a file says of itself."""
    return json.loads(fuzz_loader.split(path.read_bytes())[0]["__metadata__"]["sklearn_hilander"])


def rewritten(path, **entries):
    """The file with entries of its header set, and a checksum that fits."""
    table, data = fuzz_loader.split(path.read_bytes())
    header = json.loads(table.pop("__metadata__")["sklearn_hilander"]) | entries
    return fuzz_loader.join(fuzz_loader.seal(table, data, header), data)


@pytest.mark.parametrize("kind", DECODERS)
def test_every_decoder_comes_back(kind, tmp_path):
    source = next(path for path in FILES if path.stem == "relational")
    clusterer = HiLanderClustering.load(source)
    network = dataclasses.replace(clusterer.lander_, decoder=Decoder(kind, 0.4))
    clusterer._set_model(dataclasses.replace(clusterer._model, network=network))
    X = np.load(source.with_name("expected.npz"))["X"]
    clusterer.fit(X).save(tmp_path / "c")
    loaded = HiLanderClustering.load(tmp_path / "c")
    assert loaded.selected_ == kind
    assert loaded.lander_.decoder == network.decoder
    assert_same_state(loaded, clusterer)
    np.testing.assert_array_equal(loaded.fit_predict(X[::-1]), clusterer.fit_predict(X[::-1]))


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("decoder", {"kind": "oracle", "threshold": 0.5}, "decoder is not known"),
        ("scores", {"oracle": 1.0}, "scores are of decoders that are not known"),
        ("scores", ["judge"], "scores are of decoders that are not known"),
        ("scores", {"judge": 2.0}, "a score on held-out classes is not a finite number"),
        ("n_learned", -1, "samples that the network learned from is not an integer"),
        ("n_learned", "800", "samples that the network learned from is not an integer"),
    ],
)
def test_a_decoder_that_is_not_known_is_refused(entry, value, message, tmp_path):
    path = tmp_path / "c"
    path.write_bytes(next(p for p in FILES if p.stem == "relational").read_bytes())
    model = header_of(path)["model"]
    model["network"][entry] = value
    path.write_bytes(rewritten(path, model=model))
    with pytest.raises(SavedFileError, match=rf"{message}.*another copy"):
        HiLanderClustering.load(path)


def test_scores_on_held_out_classes_come_back(tmp_path):
    source = next(path for path in FILES if path.stem == "relational")
    path = tmp_path / "c"
    path.write_bytes(source.read_bytes())
    scores = HiLanderClustering.load(path).validation_scores_
    assert set(scores) == {"judge", "average", "flow"}
    model = header_of(path)["model"]
    assert model["network"].pop("scores") == scores
    path.write_bytes(rewritten(path, model=model))
    # A file of before there were any.
    assert HiLanderClustering.load(path).validation_scores_ == {}


def test_how_many_samples_taught_comes_back(tmp_path):
    X, y = make_identities(120, 16, mean_size=8, nn_rate=0.9, random_state=0)
    clusterer = HiLanderClustering(max_iter=1, random_state=0).fit(X, y)
    assert clusterer._model.network.n_learned == 120
    clusterer.save(tmp_path / "c")
    assert HiLanderClustering.load(tmp_path / "c")._model.network.n_learned == 120
    model = header_of(tmp_path / "c")["model"]
    del model["network"]["n_learned"]
    (tmp_path / "before").write_bytes(rewritten(tmp_path / "c", model=model))
    assert HiLanderClustering.load(tmp_path / "before")._model.network.n_learned == 0


def test_refused_with_what_to_do(saved):
    content = saved.read_bytes()
    cases = {
        b"": "not a whole safetensors file",
        b"\x80\x05K\x01.": "not a whole safetensors file",
        content[:-1]: "not a whole safetensors file",
        content + b"\0": "not a whole safetensors file",
        (2**40).to_bytes(8, "little") + content[8:]: "not a whole safetensors file",
        content[:-5] + b"\x01" + content[-4:]: "checksum",
        fuzz_loader.join({"__metadata__": {"format": "pt"}}, b""): "not written by",
        rewritten(saved, format=2): "upgrade sklearn_hilander",
        rewritten(saved, constraints={}): "unknown or missing entries: constraints",
        rewritten(saved, params={"memory": "/cache"}): "memory is never read",
        rewritten(saved, params={"checkpoint": "/etc/passwd"}): "checkpoint is never read",
        rewritten(saved, params={"pretrained": "/model"}): "pretrained is never read",
        rewritten(saved, params={"metric": "manhattan"}): "'metric' parameter",
        rewritten(saved, params={"kernel": "rbf"}): "unknown parameters: kernel",
        rewritten(saved, **{"class": "os.system"}): "another class",
    }
    for changed, message in cases.items():
        saved.write_bytes(changed)
        with pytest.raises(SavedFileError, match=message) as caught:
            HiLanderClustering.load(saved)
        assert str(caught.value).startswith(f"{saved}: ")
        assert "Nothing was loaded" in str(caught.value)
        assert "get another copy" in str(caught.value)
    # A parameter that the file does not know keeps its default.
    saved.write_bytes(content)
    saved.write_bytes(rewritten(saved, params={"metric": "euclidean"}))
    assert HiLanderClustering.load(saved).get_params() == {
        **HiLanderClustering(metric="euclidean").get_params()
    }


def test_relations_of_another_version_are_refused(tmp_path):
    path = tmp_path / "c"
    path.write_bytes(next(p for p in FILES if p.stem == "relational").read_bytes())
    model = header_of(path)["model"]
    model["network"]["relations"] += 1
    path.write_bytes(rewritten(path, model=model))
    with pytest.raises(SavedFileError, match="train anew"):
        HiLanderClustering.load(path)


def test_no_memory_is_taken_for_what_is_not_there(saved, monkeypatch):
    """A header may claim anything: shapes are held against the file before any array is made."""
    import tracemalloc

    header = header_of(saved)
    huge = {**header["clusters"], "n_samples": 2**38, "n_nodes": 2**38}
    wide = {**header["model"], "network": {**header["model"]["network"], "hidden_dim": 2**24}}
    for changed in (rewritten(saved, clusters=huge), rewritten(saved, model=wide)):
        path = saved.with_name("huge")
        path.write_bytes(changed)
        tracemalloc.start()
        with pytest.raises(SavedFileError, match="of shape"):
            HiLanderClustering.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**21
        tracemalloc.stop()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path):
        with pytest.raises(SavedFileError, match="not a regular file"):
            HiLanderClustering.load(path)
    with pytest.raises(FileNotFoundError):
        HiLanderClustering.load(tmp_path / "nowhere")


WATCHED = """
import pickle, sys
from sklearn_hilander import HiLanderClustering, SavedFileError
paths = sys.argv[1:]
CODE = "exec compile import marshal. pickle. os. subprocess. ctypes. socket.".split()
opened, run = set(), []
def hook(event, args):
    if event == "open":
        opened.add((args[0], args[1]))
    elif event.startswith(tuple(CODE)):
        run.append((event, args))
def load():
    for path in paths:
        try:
            HiLanderClustering.load(path)
        except SavedFileError:
            print("refused", path)
load()  # modules are imported when they are first needed
sys.addaudithook(hook)
load()
assert opened == {(path, "r") for path in paths}, opened
assert not run, run
# What a pickle does is seen.
pickle.loads(b"cbuiltins\\nlen\\n.")
assert run, "the hook sees nothing"
"""


def test_loading_runs_no_code_and_opens_nothing_else(saved, tmp_path):
    paths = [str(path) for path in [saved, *FILES]]
    for number, entries in enumerate(
        (
            {"class": "os.system"},
            dict(params={"architecture": "os.system"}),
            dict(params={"memory": str(tmp_path / "cache")}),
            dict(params={"pretrained": str(saved)}),
            dict(versions={"python": "__import__('os').getcwd()"}),
        )
    ):
        path = tmp_path / f"forged-{number}"
        path.write_bytes(rewritten(saved, **entries))
        paths.append(str(path))
    command = [sys.executable, "-c", WATCHED, *paths]
    # Those that name what they must not, both times; text that is never looked up does no harm.
    refused = [line.removeprefix("refused ") for line in run_alone(command).splitlines()]
    assert refused == 2 * [path for path in paths[-5:-1]]


def test_loading_draws_no_random_numbers_and_warns_of_nothing(saved):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    for path in [saved, *FILES]:
        HiLanderClustering.load(path)
    assert torch.equal(torch.get_rng_state(), before)


def test_written_in_full_before_it_replaces(fitted, saved, monkeypatch):
    calls = []

    def record(name):
        original = getattr(os, name)

        def recorded(*args):
            calls.append(name)
            return original(*args)

        monkeypatch.setattr(os, name, recorded)

    record("fsync")
    record("replace")
    fitted.save(saved)
    assert calls == ["fsync", "replace", "fsync"]
    assert list(saved.parent.iterdir()) == [saved]
    assert saved.stat().st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


@pytest.mark.parametrize("failing", ["fsync", "replace", "chmod"])
def test_a_write_that_fails_leaves_the_old_file(fitted, saved, monkeypatch, failing):
    before = saved.read_bytes()

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        fitted.set_params(n_neighbors=7).save(saved)
    monkeypatch.undo()
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_link_is_followed(fitted, saved):
    link = saved.with_name("link")
    try:
        link.symlink_to(saved)
    except OSError:
        pytest.skip("no links here")
    fitted.set_params(min_cluster_size=2).save(link)
    assert link.is_symlink()
    assert HiLanderClustering.load(saved).min_cluster_size == 2


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from sklearn_hilander import HiLanderClustering
source, path, n_kills = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
clusterer = HiLanderClustering.load(source)
clusterer.set_params(min_cluster_size=1).save(path)
rng, versions, cut_off, longest = random.Random(0), set(), 0, 0.0
for kill in range(n_kills):
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        size = 1 + kill % 2
        while True:
            size = 3 - size
            clusterer.set_params(min_cluster_size=size).save(path)
            os.write(tell, b".")
    # After so many whole writes, however long they take, and at any moment of those that follow.
    for _ in range(kill % 3):
        started = time.monotonic()
        os.read(told, 1)
        longest = max(longest, time.monotonic() - started)
    time.sleep(rng.uniform(0.0, longest))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(told), os.close(tell)
    versions.add(HiLanderClustering.load(path).min_cluster_size)
    left = [other for other in path.parent.iterdir() if other != path]
    cut_off += bool(left)
    for other in left:
        other.unlink()
print(sorted(versions), cut_off)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes as on POSIX")
def test_kill_leaves_the_old_file_or_the_new_one(tmp_path):
    source = next(path for path in FILES if path.stem == "gcn")
    command = [sys.executable, "-c", KILLED, source, tmp_path / "c", "100"]
    versions, cut_off = run_alone(command).rsplit(maxsplit=1)
    assert versions.strip() == "[1, 2]"
    # Some writes were under way when their process was killed.
    assert int(cut_off) > 0


@pytest.mark.parametrize("module", [pickle, joblib])
def test_pickle_and_joblib(fitted, clusters, rng, tmp_path, module):
    with (tmp_path / "c").open("wb") as file:
        module.dump(fitted, file)
    with (tmp_path / "c").open("rb") as file:
        loaded = module.load(file)
    assert_same_state(loaded, fitted)
    new = rng.normal(size=(10, clusters[0].shape[1]))
    np.testing.assert_array_equal(loaded.predict(new), fitted.predict(new))


def test_headers_are_bounded(fitted, tmp_path):
    fitted.feature_names_in_ = np.array(["x" * 10_000] * 500, dtype=object)
    with pytest.raises(SavedFileError, match="feature names"):
        fitted.save(tmp_path / "c")
    for text in ('{"format": ' + "9" * 10**6 + "}", "[" * 10**5, '{"format": NaN}'):
        with pytest.raises(SavedFileError, match="not JSON"):
            _persistence._parse_header(text)


def test_two_copies_in_one_process_do_not_share_memory(saved):
    one, other = HiLanderClustering.load(saved), HiLanderClustering.load(saved)
    one.labels_[0] = 99
    assert other.labels_[0] != 99


def test_a_large_round_trip_of_made_up_clusters(tmp_path):
    X, _ = make_clusters(np.random.default_rng(1), n_clusters=40, size=50, n_features=3)
    clusterer = HiLanderClustering(3, min_cluster_size=3).fit(X)
    clusterer.save(tmp_path / "c")
    assert_same_state(HiLanderClustering.load(tmp_path / "c"), clusterer)


def test_clustering_without_a_model_is_saved_without_arrays(tmp_path):
    path = tmp_path / "settings.safetensors"
    fitted = HiLanderClustering(pretrained=None, n_neighbors=4).fit(np.eye(8))
    fitted.save(path, clusters=False)
    assert HiLanderClustering.load(path).n_neighbors == 4


def test_clusters_of_rows_that_none_is_like_are_saved(tmp_path):
    fitted = HiLanderClustering().fit(np.eye(6))
    assert fitted.n_clusters_ == 6
    fitted.save(tmp_path / "clusters.safetensors")
    again = HiLanderClustering.load(tmp_path / "clusters.safetensors")
    np.testing.assert_array_equal(again.labels_, fitted.labels_)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
def test_what_is_no_regular_file_is_not_replaced(tmp_path):
    path = tmp_path / "pipe.safetensors"
    os.mkfifo(path)
    with pytest.raises(FileExistsError, match="Not a regular file"):
        HiLanderClustering().fit(np.eye(3)).save(path)
    assert path.is_fifo()
