"""The benchmark programs and the demonstration run, on small input."""

import json
import sys
from functools import partial
from importlib import import_module

import numpy as np
import pytest
from conftest import make_clusters

from benchmarks import living, run, stream, texts
from benchmarks.peers import PEERS, figures
from sklearn_hilander import HiLanderClustering


@pytest.fixture
def folder(tmp_path, rng):
    for name, part in (("easy_train", 0), ("easy_test", 1), ("lonely_test", 2)):
        X, y = make_clusters(rng, n_clusters=8, size=10)
        np.savez(tmp_path / f"{name}.npz", X=X.astype(np.float16), y=y + 100 * part)
    return tmp_path


def call(monkeypatch, *args):
    monkeypatch.setattr(sys, "argv", ["run", *map(str, args)])
    run.main()


def test_run_writes_a_row_and_json(folder, monkeypatch, capsys):
    monkeypatch.setitem(run.SETTINGS, "default", dict(max_iter=1, batch_size=64))
    out = folder / "out.json"
    call(monkeypatch, "--data", folder, "--seeds", 0, 1, "--out", out)
    results = json.loads(out.read_text())
    assert list(results["pairs"]) == ["easy"]
    assert [r["seed"] for r in results["pairs"]["easy"]] == [0, 1]
    assert results["pairs"]["easy"][0]["n_classes"] == 8
    assert results["peak_memory_mb"] > 0
    assert results["versions"]["torch"]
    assert "| HiLanderClustering, default |" in capsys.readouterr().out


@pytest.mark.parametrize("program", ["run", "stream", "accuracy"])
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "name the data folder"),
        (["--data", "nowhere"], "no pair of"),
        (["--pairs", "hard"], "['hard'] not in"),
    ],
)
def test_a_program_says_what_is_missing(folder, monkeypatch, capsys, program, args, message):
    monkeypatch.delenv("HILANDER_DATA", raising=False)
    if "--pairs" in args:
        args = ["--data", str(folder), *args]
    monkeypatch.setattr(sys, "argv", [program, *args])
    with pytest.raises(SystemExit):
        import_module(f"benchmarks.{program}").main()
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_peers_find_easy_clusters(rng, peer):
    X_meta, y_meta = make_clusters(rng, n_clusters=10, size=12)
    X, y = make_clusters(rng, n_clusters=10, size=12)
    reached = figures(y, peer.fit(X_meta, y_meta)(X))
    assert reached["pairwise_f"] > 0.9
    assert reached["n_classes"] == 10


def test_contact_sheet(tmp_path, rng):
    pytest.importorskip("matplotlib", reason="drawing needs the plot extra")
    from examples.cluster_glyphs import draw_contact_sheet, majority_classes

    labels = np.repeat(np.arange(6), 5)
    y = labels.copy()
    y[[0, 7]] = 5
    np.testing.assert_array_equal(majority_classes(labels, y), np.arange(6))
    path = tmp_path / "sheet.png"
    draw_contact_sheet(rng.random((30, 8, 8)), labels, y, path, n_clusters=6, n_members=3)
    from matplotlib.image import imread

    image = imread(path)
    assert image[..., :3].std() > 0.05


def test_scale_measures_each_method_in_its_own_process(tmp_path, monkeypatch, capsys):
    from benchmarks import scale

    monkeypatch.setattr(scale, "N_META", 200)
    out = tmp_path / "scale.json"
    argv = ["scale", "--sizes", "150", "--n-features", "8", "--n-jobs", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*argv, "--methods", "search", "hilander"])
    scale.main()
    search, hilander = json.loads(out.read_text())["rows"]
    assert search["method"] == "search"
    assert "pairwise_f" not in search
    assert hilander["n_samples"] == 150
    assert 0 < hilander["pairwise_f"] <= 1
    assert set(hilander["stages"]) == set(scale.STAGES)
    assert sum(hilander["stages"].values()) <= hilander["cpu_seconds"]
    assert "150 rows" in capsys.readouterr().out


def test_scale_draws_what_it_measured(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="drawing needs the plot extra")
    from matplotlib.image import imread

    from benchmarks import scale

    def row(method, n, **more):
        return {
            "method": method,
            "n_samples": n,
            "seconds": n / 1e3,
            "cpu_seconds": n / 1e3,
            "memory_above_input_mb": n / 10,
            "memory_target_mb": n / 9,
            "stages": {},
            **more,
        }

    found = {"stages": dict.fromkeys(scale.STAGES, 0.5), "pairwise_f": 0.9}
    rows = [row(*of_row) for of_row in (("search", 10), ("search", 100))]
    rows += [row("default", n, **found) for n in (10, 100)]
    rows.append({"method": "evoc", "n_samples": 100, "failed": "no module"})
    path = tmp_path / "scale.json"
    path.write_text(json.dumps({"rows": rows}))
    argv = ["scale", "--draw", str(path), "--plot", str(tmp_path / "scale.png")]
    monkeypatch.setattr(sys, "argv", argv)
    scale.main()
    assert imread(tmp_path / "scale.png")[..., :3].std() > 0.05


def test_stages_hold_each_second_once(monkeypatch):
    from benchmarks import scale

    now = 0.0

    def wait(seconds):
        nonlocal now
        now += seconds

    monkeypatch.setattr(scale.time, "process_time", lambda: now)
    stages, inside, over = {"inner": 0.0, "outer": 0.0}, [0.0], []
    inner = scale._timed(wait, stages, "inner", inside, over.append)

    def both():
        inner(2)
        wait(3)
        inner(5)

    scale._timed(both, stages, "outer", inside, over.append)()
    assert over == ["inner", "inner", "outer"]
    assert stages == {"inner": 7, "outer": 3}
    assert inside == [10]


def test_profile_prints_every_stage(monkeypatch, capsys):
    from benchmarks import profile, scale

    argv = ["profile", "--size", "150", "--n-features", "8", "--calls", "3"]
    monkeypatch.setattr(sys, "argv", argv)
    profile.main()
    printed = capsys.readouterr().out
    for name in (*scale.STAGES, "rest", "whole"):
        assert f"\n{name} " in printed
    assert "Ordered by: internal time" in printed


def test_scale_reports_what_failed(monkeypatch, tmp_path):
    from benchmarks import scale

    monkeypatch.setattr(sys, "argv", ["scale"])
    plain = dict(n_features=8, mean_size=20.0, spread=None, n_neighbors=None, n_jobs=1)
    args = scale.argparse.Namespace(limit=300.0, model=str(tmp_path / "none"), **plain)
    row = scale.run_worker(args, "hilander", 50)
    assert "FileNotFoundError" in row["failed"]
    assert "FileNotFoundError" in scale.describe(row)


@pytest.mark.parametrize("order", ["file", "shuffled"])
def test_stream_compares_chunks_with_all_at_once(folder, monkeypatch, capsys, order):
    quick = partial(HiLanderClustering, max_iter=1, batch_size=64)
    monkeypatch.setattr(stream, "HiLanderClustering", quick)
    out = folder / "stream.json"
    args = ["--data", folder, "--pairs", "easy", "--chunks", "4", "--order", order, "--out", out]
    monkeypatch.setattr(sys, "argv", ["stream", *map(str, args)])
    stream.main()
    (found,) = json.loads(out.read_text())["pairs"]["easy"]
    for part in found["streams"]:
        assert [step["rows"] for step in part["chunks"]] == [20, 20, 20, 20]
    assert [part["min_growth"] for part in found["streams"]] == [None, 1.25, 1.05]
    whole = found["at_once_chunks"]
    assert len(whole) == 4
    for part in (*whole, found["half_predicted"], *found["streams"]):
        assert 0 < part["pairwise_f"] <= 1
    assert found["at_once"].items() <= whole[-1].items()
    # Clustered afresh after every chunk, a stream comes at each to what a fit on its rows does.
    for part in found["streams"][1:]:
        assert [step["lost"] for step in part["chunks"]] == [0, 0, 0, 0]
        assert part["n_clusters"] == whole[-1]["n_clusters"]
    for part in found["streams"]:
        for step in part["chunks"]:
            assert 0 <= step["kept"] <= step["kept_matched"] <= 1
    # Known labels never change.
    assert {step["kept"] for step in found["streams"][0]["chunks"]} == {1.0}
    for step, known in zip(found["streams"][0]["chunks"], whole, strict=True):
        assert step["lost"] == known["pairwise_f"] - step["pairwise_f"]
    printed = capsys.readouterr().out
    assert f"easy, seed 0, {order}, 4 chunks" in printed
    assert printed.count("from the second chunk to the last") == 5
    assert printed.count("at the end") == printed.count("partial_fit(min_growth=") == 3
    assert stream.share_kept(np.array([0, 1, 1, 2]), np.array([0, 1, 3, 2, 9])) == 0.75


def test_living_times_everything(folder, monkeypatch, capsys):
    quick = partial(HiLanderClustering, max_iter=1, batch_size=64)
    monkeypatch.setattr(living, "HiLanderClustering", quick)
    monkeypatch.setattr(sys, "argv", ["living", "--data", str(folder), "--pairs", "easy"])
    living.main()
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.startswith("easy: 80 rows, ")
    asked = [line.split(" ms  ")[1] for line in lines]
    assert asked == ["fit", *living.ASKED]


def test_accuracy_prints_one_table(folder, monkeypatch, capsys):
    from benchmarks import accuracy

    out = folder / "accuracy.json"
    names = ["HDBSCAN", "average", "k-means", "5 nearest", "linear"]
    args = ["--data", folder, "--methods", *names, "--seeds", 0, "--out", out]
    monkeypatch.setattr(sys, "argv", ["accuracy", *map(str, args)])
    accuracy.main()
    found = json.loads(out.read_text())["pairs"]["easy"]
    assert set(found) == {
        "HDBSCAN (nothing)",
        "average linkage (cut)",
        "k-means (told the true k)",
        "5 nearest neighbours (told 19 of 20 test labels)",
        "linear discriminant analysis (told 19 of 20 test labels)",
    }
    assert found["average linkage (cut)"][0]["pairwise_f"] > 0.9
    assert found["k-means (told the true k)"][0]["n_clusters"] == 8
    for method, runs in found.items():
        if "test labels" in method:
            assert runs[0]["bcubed_f"] > 0.95
    printed = capsys.readouterr().out
    assert all(f"\n{title}\n" in printed for title in accuracy.TABLES)
    assert printed.count("| average linkage (cut) | ") == len(accuracy.TABLES)


@pytest.mark.parametrize("name", ["Infomap", "Infomap, k = 10", "EVoC"])
def test_more_peers_find_easy_clusters(rng, name):
    from benchmarks.more_peers import MORE_PEERS, PACKAGE_OF

    pytest.importorskip(PACKAGE_OF[name], reason="this peer needs a package of the bench extra")
    peer = next(peer for peer in MORE_PEERS if peer.name == name)
    X_meta, y_meta = make_clusters(rng, n_clusters=10, size=12)
    X, y = make_clusters(rng, n_clusters=10, size=12)
    assert figures(y, peer.fit(X_meta, y_meta)(X))["pairwise_f"] > 0.9


def test_search_says_what_is_not_installed(monkeypatch, capsys):
    from benchmarks import search

    monkeypatch.setattr(search, "find_spec", lambda name: None)
    command = ["search", "--rows", "300", "--features", "8", "--neighbors", "4"]
    monkeypatch.setattr(sys, "argv", command)
    search.main()
    head, *lines = capsys.readouterr().out.splitlines()
    assert json.loads(head)["versions"]["torch"]
    brute, plain, faiss = lines
    assert "brute" in brute and "same neighbours 1.0000" in brute
    assert "mm and topk" in plain and "same neighbours 1.0000" in plain
    assert faiss.endswith("faiss        not installed")


def test_grid_has_the_mean_over_the_seeds(tmp_path, monkeypatch, capsys):
    grid = import_module("benchmarks.grid")
    monkeypatch.setattr(grid, "MIN_CLASSES", 2)
    monkeypatch.setattr(grid, "PEERS", {"average linkage": grid.fit_average_linkage})
    out = tmp_path / "grid.json"
    args = ["--sizes", 4, "--n-features", 16, "--rates", 0.9, "--n-samples", 100]
    args += ["--seeds", 3, 5, "--out", out]
    monkeypatch.setattr(sys, "argv", ["grid", *map(str, args)])
    monkeypatch.setattr(grid, "ours", lambda seed: lambda X, y: lambda Z: np.arange(len(Z)) % seed)
    grid.main()
    (cell,) = json.loads(out.read_text())["cells"]
    assert [found["meta-trained"]["n_clusters"] for found in cell["found"]] == [3, 5]
    mean = np.mean([found["average linkage"]["pairwise_f"] for found in cell["found"]])
    printed = capsys.readouterr().out
    assert f"{mean:.3f} |\n" in printed
    assert "pretrained" in printed and "of 1" in printed


def test_crowding_divides_whole_classes(rng):
    from benchmarks.crowding import divided

    y = rng.permutation(np.repeat(np.arange(60), 10))
    parts = divided(y, [100, 200, 300], seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(600))
    assert [len(part) for part in parts] == [100, 200, 300]
    seen = [set(y[part]) for part in parts]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]


WORDNET = """\
  1 A licence stands first.
00000001 03 n 01 animal 0 000 | a living organism; "beasts"
00000002 05 n 02 house_cat 0 puss 1 002 @ 00000001 n 0000 ~ 00000009 n 0000 | purrs
00000003 05 n 01 dog 0 001 @ 00000001 n 0000 | barks
00000004 05 n 01 cow 0 001 @ 00000001 n 0000 | moos
00000005 05 n 01 owl 0 001 @ 00000001 n 0000 | hoots; "at night"
00000009 05 n 01 tabby 0 001 @ 00000002 n 0000 | striped
"""


def test_texts_reads_wordnet(tmp_path):
    (tmp_path / "data.noun").write_text(WORDNET)
    found = texts.siblings(tmp_path, "noun")
    assert found == [["house cat: purrs", "dog: barks", "cow: moos", "owl: hoots"]]


def test_subtrees_do_not_overlap(tmp_path, monkeypatch):
    (tmp_path / "data.noun").write_text(WORDNET)
    monkeypatch.setattr(texts, "SUBTREE_SIZES", (1, 9))
    for seed in range(5):
        (classes,) = texts.subtrees(tmp_path, np.random.RandomState(seed))
        assert classes in (
            ["tabby: striped"],
            ["house cat: purrs", "dog: barks", "cow: moos", "owl: hoots", "tabby: striped"],
        )


def test_packages_of_one_source_are_a_class():
    described = (
        "Package: a\nSource: s (1.2)\nDescription: one\n\nPackage: b\nDescription: other\n\n"
        "Package: s\nDescription: two\n\nPackage: c\nSource: s\nDescription: one\n"
    )
    assert texts.packages(described) == [["one", "two"]]


def test_docstrings_of_one_module_are_a_class(tmp_path):
    def module(name, n):
        lines = [
            f'def f{at}():\n    """Return number {at} of {name}, or so.\n\n    More."""\n'
            for at in range(n)
        ]
        (tmp_path / f"{name}.py").write_text("".join(lines))

    module("few", 4)
    module("many", 6)
    (found,) = texts.docstrings(tmp_path)
    assert found == [f"Return number {at} of many, or so." for at in range(6)]


def test_texts_says_what_is_missing(tmp_path, monkeypatch, capsys):
    command = ["texts", "--encoder", "any", "--out", str(tmp_path), "--wordnet", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    for found, message in ((None, "pip install sentence-transformers"), (sys, "wordnet-base")):
        monkeypatch.setattr(texts, "find_spec", lambda name, found=found: found)
        with pytest.raises(SystemExit):
            texts.main()
        assert message in capsys.readouterr().err


def test_texts_makes_pairs_of_whole_classes(tmp_path, rng):
    kinds = [("words", lambda _: [[f"{a}{b}" for b in range(a + 1)] for a in range(30)])]
    texts.make_pairs(kinds, lambda of_all: rng.random((len(of_all), 3)), tmp_path / "new")
    train, test = (np.load(tmp_path / "new" / f"words_{part}.npz") for part in ("train", "test"))
    assert set(train["y"]) == set(range(10))
    assert set(test["y"]) == set(range(10, 30))
    assert len(train["X"]) + len(test["X"]) == sum(range(1, 31))
