"""The command line: what it writes, says and returns."""

import configparser
import csv
import importlib
import io
import os
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from sklearn_hilander import HiLanderClustering
from sklearn_hilander._cli import _commands, _progress, main
from sklearn_hilander._cli._progress import Progress
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.metrics import pairwise_f_score


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with labelled rows of some classes, rows of others, and a model."""
    folder = tmp_path_factory.mktemp("cli")
    X, y = make_identities(400, 24, mean_size=12, random_state=0)
    known = y < 18
    np.savez(folder / "meta.npz", X=X[known], y=y[known])
    np.save(folder / "X.npy", X[~known])
    np.save(folder / "y.npy", y[~known])
    np.savez(folder / "Xy.npz", X=X[~known], y=y[~known])
    (folder / "few.txt").write_text("one\ntwo\n")
    (folder / "text.npy").write_text("no array")
    (folder / "words.csv").write_text("a,b\n1,2\nx,3\n")
    arguments = ["fit", folder / "meta.npz", folder / "model.safetensors"]
    assert run(*arguments, "--max-iter", 1, "--n-neighbors", 10, "--quiet") == 0
    return folder


@pytest.fixture
def X(folder):
    return np.load(folder / "X.npy")


def run(*arguments):
    return main([str(argument) for argument in arguments])


def read_csv(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_fit_saves_what_the_estimator_learns(folder, X):
    with np.load(folder / "meta.npz") as meta:
        clusterer = HiLanderClustering(10, max_iter=1, random_state=0).fit(meta["X"], meta["y"])
    loaded = HiLanderClustering.load(folder / "model.safetensors")
    np.testing.assert_array_equal(loaded.fit_predict(X), clusterer.fit_predict(X))
    assert loaded.verbose == 0


def test_cluster_with_a_model(folder, X, tmp_path, capsys):
    out = tmp_path / "labels.csv"
    code = run("cluster", folder / "X.npy", "--model", folder / "model.safetensors", "--out", out)
    assert code == 0
    rows = read_csv(out)
    labels = np.array([int(row["cluster"]) for row in rows])
    clusterer = HiLanderClustering.load(folder / "model.safetensors").fit(X)
    np.testing.assert_array_equal(labels, clusterer.labels_)
    assert [row["row"] for row in rows] == [str(i) for i in range(len(X))]
    np.testing.assert_allclose(
        [float(row["probability"]) for row in rows], clusterer.probabilities_, atol=1e-5
    )
    assert pairwise_f_score(np.load(folder / "y.npy"), labels) > 0.7
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{len(X)} rows of 24 features" in said.err
    assert "level 0" in said.err and f"wrote {out}" in said.err
    stages = ["the search for neighbours", "linkage of ", "after whitening", "level 0", "level 1"]
    places = [said.err.index(what) for what in (f"clustering {len(X)} rows", *stages)]
    assert places == sorted(places)
    assert "\r" not in said.err


class Terminal(io.StringIO):
    """Somebody who looks on; the computation waits for its seconds to be counted."""

    def __init__(self):
        super().__init__()
        self.counted = threading.Event()

    def isatty(self):
        return True

    def write(self, text):
        if text.startswith(_progress._CLEAR) and text.endswith(" s"):
            self.counted.set()
        return super().write(text)


def test_seconds_are_counted_on_a_terminal(monkeypatch):
    monkeypatch.setattr(_progress, "_TICK_SECONDS", 0.01)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    progress = Progress(quiet=False)
    with pytest.raises(KeyboardInterrupt), progress.estimator() as verbose:
        assert verbose == 1
        print("[HiLanderClustering] linkage")
        assert terminal.counted.wait(60)
        print("[HiLanderClustering] levels")
        raise KeyboardInterrupt
    progress.fail("interrupted")
    assert not [thread for thread in threading.enumerate() if "tick" in thread.name]
    said = terminal.getvalue()
    # What is left to see: each line whole, and no seconds behind it.
    seen = [line.rpartition("\x1b[K")[2] for line in said.split("\n")]
    assert [line.partition("] ")[2] or line for line in seen] == [
        "linkage", "levels", "sklearn-hilander: error: interrupted", ""
    ]  # fmt: skip


def test_nothing_is_counted_where_it_is_quiet(monkeypatch):
    monkeypatch.setattr(_progress, "_TICK_SECONDS", 0.001)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Progress(quiet=True).estimator() as verbose:
        assert verbose == 0
        assert not terminal.counted.wait(0.05)
    assert terminal.getvalue() == ""


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the owner may write everywhere")
def test_a_folder_that_nothing_can_be_written_to(folder, tmp_path, capsys):
    tmp_path.chmod(0o500)
    code = run("cluster", folder / "X.npy", "--out", tmp_path / "o.csv")
    tmp_path.chmod(0o700)
    assert code == 3
    assert capsys.readouterr().err.endswith("nothing can be written to its folder.\n")


def test_cluster_without_a_model(folder, X, tmp_path, capsys):
    out = tmp_path / "labels.npy"
    code = run(
        "cluster", folder / "Xy.npz", "--out", out, "--n-neighbors", 5, "--min-cluster-size", 3,
        "--linkage-threshold", 0.6,
    )  # fmt: skip
    assert code == 0
    clusterer = HiLanderClustering(5, min_cluster_size=3, linkage_threshold=0.6).fit(X)
    np.testing.assert_array_equal(np.load(out), clusterer.labels_)
    said = capsys.readouterr().err
    score = pairwise_f_score(np.load(folder / "y.npy"), clusterer.labels_)
    assert f"pairwise F against the true classes: {score:.3f}" in said
    assert "rows in none" in said


def test_quiet(folder, tmp_path, capsys):
    assert run("cluster", folder / "X.npy", "--out", tmp_path / "labels.npz", "--quiet") == 0
    said = capsys.readouterr()
    assert said.out == said.err == ""


def test_tables_with_names_and_texts(X, tmp_path):
    pandas = pytest.importorskip("pandas", reason="tables are read with pandas")
    frame = pandas.DataFrame(X, columns=[f"f{i}" for i in range(X.shape[1])])
    frame.insert(0, "file", [f"{i:04}" for i in range(len(X))])
    frame["title"] = [f"<title {i}>" for i in range(len(X))]
    frame["notes"] = "nothing"
    frame.to_csv(tmp_path / "X.csv", index=False)
    code = run(
        "cluster", tmp_path / "X.csv", "--id-column", "file", "--text-column", "title",
        "--ignore-column", "notes", "--out", tmp_path / "labels.csv",
        "--report", tmp_path / "report.html", "--title", "Tea & cake",
    )  # fmt: skip
    assert code == 0
    assert [row["id"] for row in read_csv(tmp_path / "labels.csv")] == frame["file"].tolist()
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<title>Tea &amp; cake</title>" in page
    assert "&lt;title " in page and "<title " not in page
    assert "Clusters that may be one" in page
    assert "the one that comes with the package" in page


def test_report_with_images(folder, X, tmp_path):
    pytest.importorskip("PIL", reason="images in a report need Pillow")
    images = np.random.default_rng(0).integers(256, size=(len(X), 8, 8), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    code = run(
        "cluster", folder / "X.npy", "--model", folder / "model.safetensors",
        "--images", tmp_path / "images.npy", "--out", tmp_path / "labels.csv",
        "--report", tmp_path / "report.html",
    )  # fmt: skip
    assert code == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('<img src="data:image/png;base64,') > 20
    assert "model.safetensors" in page


def test_labels_in_a_file_of_their_own(folder, tmp_path):
    fit = ["fit", folder / "X.npy", tmp_path / "m.safetensors", "--quiet"]
    options = ["--architecture", "gcn", "--max-iter", 1]
    assert run(*fit, "--labels", folder / "y.npy", *options) == 0
    loaded = HiLanderClustering.load(tmp_path / "m.safetensors")
    assert loaded.architecture == "gcn"


def test_rows_of_no_class_among_words(folder, X, tmp_path, capsys):
    pandas = pytest.importorskip("pandas", reason="tables are read with pandas")
    y = np.load(folder / "y.npy")
    frame = pandas.DataFrame(X).rename(columns="f{}".format)
    frame["y"] = np.where(y < y.max(), np.char.add("c", y.astype(str)), "-1")
    frame.to_csv(tmp_path / "X.csv", index=False)
    fit = ["fit", tmp_path / "X.csv", tmp_path / "m.safetensors", "--random-state", 0]
    assert run(*fit, "--architecture", "gcn", "--max-iter", 1) == 0
    assert f"learning from {len(np.unique(y))} labels" in capsys.readouterr().err
    classes = np.where(y < y.max(), y, -1)
    assert run("cluster", tmp_path / "X.csv", "--out", tmp_path / "o.csv") == 0
    score = pairwise_f_score(classes, [int(row["cluster"]) for row in read_csv(tmp_path / "o.csv")])
    assert f"the true classes: {score:.3f}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cluster", "{}/none.npy", "--out", "{}/o.csv"], "none.npy: No such file"),
        (["cluster", "{}/X.npy", "--out", "{}/no/o.csv"], "there is no folder"),
        (["cluster", "{}/X.npy", "--out", "{}/o.txt"], "clusters are written to .csv"),
        (["cluster", "{}/X.npy", "--out", "{}/X.npy"], "would be overwritten"),
        (["cluster", "{}/X.npy", "--out", "{}/o.csv", "--report", "{}/o.csv"], "written twice"),
        (["cluster", "{}/y.npy", "--out", "{}/o.csv"], "(n_samples, n_features)"),
        (["cluster", "{}/X.npy", "--out", "{}/o.csv", "--model", "{}/X.npy"], "X.npy"),
        (["cluster", "{}/X.npy", "--out", "{}/o.csv", "--images", "{}/X.npy"], "has shape"),
        (
            ["cluster", "{}/X.npy", "--out", "{}/o.csv", "--texts", "{}/few.txt"],
            "few.txt has 2 texts, but there are ",
        ),
        (["cluster", "{}/few.txt", "--out", "{}/o.csv"], "cannot read this kind of file"),
        (["cluster", "{}/text.npy", "--out", "{}/o.csv"], "text.npy is no NumPy file"),
        (
            ["cluster", "{}/words.csv", "--out", "{}/o.csv"],
            "column 'a' is not of numbers: row 1, c",
        ),
        (["cluster", "{}/X.npy", "--out", "{}/o.csv", "--texts", "{}/meta.npz"], "one column"),
        (["cluster", "{}/X.npy", "--out", "{}/o.csv", "--id-column", "id"], "no column 'id'"),
        (["cluster", "{}/X.npy", "--out", "{}/o.csv", "--device", "abacus"], "abacus"),
        (["fit", "{}/X.npy", "{}/o.safetensors"], "no labels to learn from"),
        (["fit", "{}/meta.npz", "{}/o.bin"], "saved to .safetensors files"),
        (["fit", "{}/meta.npz", "{}/o.safetensors", "--labels", "{}/y.npy"], "labels, but there"),
        (["fit", "{}/meta.npz", "{}"], "is a folder"),
    ],
)
def test_bad_input(folder, capsys, arguments, message):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert run(*(argument.format(folder) for argument in arguments), "--quiet") == 3
    said = capsys.readouterr().err
    assert said.startswith("sklearn-hilander: error: ") and message in said
    assert "pickle" not in said
    assert said.count("\n") == 1, "one line, no traceback"
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["guess"],
        ["cluster", "X.npy"],
        ["cluster", "X.npy", "--out", "o.csv", "--n-neighbors", "0"],
        ["cluster", "X.npy", "--out", "o.csv", "--linkage-threshold", "nan"],
        ["cluster", "X.npy", "--out", "o.csv", "--images", "i.npy", "--texts", "t.txt"],
        ["fit", "meta.npz", "m.safetensors", "--random-state", "-1"],
        ["fit", "meta.npz", "m.safetensors", "--max-iter", "many"],
    ],
)
def test_wrong_commands(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: sklearn-hilander" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["fit"], ["cluster"]])
def test_help_tells_the_exit_codes(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "exit codes:" in capsys.readouterr().out


def test_missing_package(folder, tmp_path, monkeypatch, capsys):
    (tmp_path / "X.csv").write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert run("cluster", tmp_path / "X.csv", "--out", tmp_path / "o.csv") == 4
    assert "pip install sklearn-hilander[tables]" in capsys.readouterr().err


def test_interrupted(folder, tmp_path, monkeypatch, capsys):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_commands, "read_table", interrupt)
    assert run("cluster", folder / "X.npy", "--out", tmp_path / "o.csv") == 130
    assert capsys.readouterr().err == "sklearn-hilander: error: interrupted\n"


def test_bugs_are_not_hidden(folder, tmp_path, monkeypatch):
    def bug(*args, **kwargs):
        raise TypeError("a bug")

    monkeypatch.setattr(_commands, "read_table", bug)
    with pytest.raises(TypeError, match="a bug"):
        run("cluster", folder / "X.npy", "--out", tmp_path / "o.csv")


def test_traceback_on_demand(folder, tmp_path, capsys):
    arguments = ["cluster", folder / "none.npy", "--out", tmp_path / "o.csv", "--traceback"]
    assert run(*arguments) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_as_a_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "sklearn_hilander", "cluster", "none.npy", "--out", "o.csv"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stderr == "sklearn-hilander: error: none.npy: No such file or directory\n"


def test_commands_of_the_documentation(folder, tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas", reason="tables are read with pandas")
    pytest.importorskip("PIL", reason="images in a report need Pillow")
    guide = Path(__file__).parent.parent / "docs" / "command_line.rst"
    lines = guide.read_text(encoding="utf-8").splitlines()
    commands = [shlex.split(line)[2:] for line in lines if "$ sklearn-hilander" in line]
    assert len(commands) == 7
    X, images = np.load(folder / "X.npy"), np.zeros((205, 4, 4), dtype=np.uint8)
    np.save(tmp_path / "new.npy", X)
    np.save(tmp_path / "images.npy", images[: len(X)])
    (tmp_path / "texts.txt").write_text("a text\n" * len(X))
    (tmp_path / "known.npz").write_bytes((folder / "meta.npz").read_bytes())
    with np.load(folder / "meta.npz") as meta:
        known = pandas.DataFrame(meta["X"]).assign(species=meta["y"], taken_at="May")
    known.to_csv(tmp_path / "known.csv", index=False)
    pandas.DataFrame(X).assign(file="a.jpg", caption="tea").to_csv(
        tmp_path / "new.csv", index=False
    )
    monkeypatch.chdir(tmp_path)
    for command in commands:
        quick = ["--max-iter", "1", "--n-neighbors", "5"] if command[0] == "fit" else []
        assert main([*command, *quick]) == 0, command
    assert "<h1>Garden, May</h1>" in Path("report.html").read_text(encoding="utf-8")


def test_entry_point():
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
    name, _, target = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    module, _, function = target.partition(":")
    assert name == "sklearn-hilander"
    assert getattr(importlib.import_module(module), function) is main
