"""Files to rows, and labels to files."""

import csv
import stat
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander._tables import (
    read_images,
    read_labels,
    read_table,
    read_texts,
    write_atomically,
    write_labels,
)

X = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def pandas():
    return pytest.importorskip("pandas", reason="tables are read with pandas")


def test_npy(tmp_path):
    path = tmp_path / "X.npy"
    np.save(path, X.astype(np.float16))
    table = read_table(path)
    np.testing.assert_array_equal(table.X, X)
    assert table.X.dtype == np.float16 and table.y is None and table.ids is None


def test_npz_with_everything(tmp_path):
    path = tmp_path / "X.NPZ"
    with path.open("wb") as file:
        np.savez(file, X=X.astype(int), y=[2.0, 0, -1], name=["a", "b", "c"], other=np.zeros(9))
    table = read_table(path, id_column="name", text_column="name")
    np.testing.assert_array_equal(table.X, X)
    assert table.X.dtype == np.float64
    assert table.y.tolist() == [2, 0, -1] and table.y.dtype == np.int64
    assert table.ids == table.texts == ["a", "b", "c"]


def test_npz_with_one_matrix_of_any_name(tmp_path):
    np.savez(tmp_path / "X.npz", embeddings=X)
    np.testing.assert_array_equal(read_table(tmp_path / "X.npz").X, X)


def test_csv(tmp_path, pandas):
    path = tmp_path / "X.csv"
    path.write_text("id,f0,y,f1,note\n007,0,cat,1,é\n8,2,dog,3,NA\n9,4,cat,5,x\n", encoding="utf-8")
    table = read_table(path, id_column="id", text_column="note")
    np.testing.assert_array_equal(table.X, X)
    assert table.y.tolist() == ["cat", "dog", "cat"]
    assert table.texts == ["é", "NA", "x"]
    assert table.ids == ["007", "8", "9"]
    assert read_table(path, ignored=["id", "note", "y"]).y is None


def test_csv_without_header(tmp_path, pandas):
    path = tmp_path / "X.csv"
    path.write_text("0,1\n2,3\n4,5\n")
    np.testing.assert_array_equal(read_table(path).X, X)
    path.write_text("0,0\n0,0\n")
    assert read_table(path).X.shape == (2, 2)
    for first in ("0.0,0.0,-1e-3,0.0", '\ufeff"0.5","0.5",1,1', "\n\n 2, 2,2,2"):
        path.write_text(f"{first}\n0.0,0.5,0.25,0.0\n", encoding="utf-8")
        assert read_table(path).X.shape == (2, 4), first
    for header in ("0,a,a", "0,,a"):
        path.write_text(f"{header}\n0,0,0\n")
        assert len(read_table(path).X) == 1, header
    path.write_text(",0,1\n0,0,0\n")
    with pytest.raises(ValueError, match="the first column has no name"):
        read_table(path)
    for first in ("NA,1.5,2", "1.0,,3.0", ",1,2"):
        path.write_text(f"{first}\n0,0,0\n")
        with pytest.raises(ValueError, match="row 0, counted from 0"):
            read_table(path)


@pytest.mark.parametrize("as_lists", [False, True])
def test_parquet(tmp_path, pandas, as_lists):
    pytest.importorskip("pyarrow", reason=".parquet is read with pyarrow")
    features = {"embedding": list(X)} if as_lists else {"f0": X[:, 0], "f1": X[:, 1]}
    frame = pandas.DataFrame({"label": ["a", "b", "b"]} | features)
    frame.to_parquet(tmp_path / "X.parquet")
    table = read_table(tmp_path / "X.parquet", label_column="label")
    np.testing.assert_array_equal(table.X, X)
    assert table.y.tolist() == ["a", "b", "b"]


def test_missing_values_of_pandas(tmp_path, pandas):
    pytest.importorskip("pyarrow", reason=".parquet is read with pyarrow")
    path = tmp_path / "X.parquet"
    names = pandas.Series(["7", None, "8"], dtype="string")
    pandas.DataFrame({"f": X[:, 0], "name": names}).to_parquet(path)
    table = read_table(path, id_column="name", text_column="name")
    assert table.ids == table.texts == ["7", "", "8"]
    with pytest.raises(ValueError, match="row 1, counted from 0, has no label"):
        read_table(path, label_column="name")


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ({"X": X[0]}, {}, r"must hold numbers of shape \(n_samples, n_features\)"),
        ({"X": [["a"]]}, {}, "must hold numbers"),
        ({"a": X, "b": X}, {}, "has no array 'X'; it has a, b"),
        ({"X": X[:0]}, {}, "is empty"),
        ({"X": [[0.0], [np.inf], [np.nan]]}, {}, r"row 1, counted from 0, has NaN or infinity \(2"),
        ({"X": X, "y": [0]}, {}, r"'y' of .* has shape \(1,\), but there are 3 rows"),
        ({"X": X, "y": [0, 1, np.nan]}, {}, "row 2, counted from 0, has no label"),
        ({"X": X}, {"label_column": "z"}, "has no column 'z'; it has X"),
        ({"X": X}, {"ignored": ["z"]}, "has no column 'z'"),
        ({"X": X}, {"id_column": "X"}, "has no array 'X'"),
    ],
)
def test_bad_npz(tmp_path, arrays, options, message):
    np.savez(tmp_path / "X.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "X.npz", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a,b\n1,x\n",
            "'b' is not of numbers: row 0, .*, has 'x'. Say what .* by --id-column",
        ),
        ("a,b\n1,\n", "row 0, counted from 0, has NaN"),
        ("a,b\n", "is empty"),
        ("", "cannot be read"),
        ("a,b\n1,2,3\n4,5,6,7\n", "cannot be read"),
        ("a,b\n1,2,3\n", "the lines have more fields than the header"),
        (",a\n0,1\n", "the first column has no name. .* --ignore-column 'Unnamed: 0'"),
        ("y\n1\n", "has no column of features"),
    ],
)
def test_bad_csv(tmp_path, pandas, text, message):
    path = tmp_path / "X.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_table(path)


@pytest.mark.parametrize("name", ["X.npy", "X.npz", "X.csv", "X.parquet"])
def test_files_that_are_something_else(tmp_path, pandas, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason=".parquet is read with pyarrow")
    path = tmp_path / name
    path.write_bytes(b"\xff\xfe no \x00 such file")
    with pytest.raises(ValueError, match=name):
        read_table(path)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read_table(path)


def test_pickles_are_not_loaded(tmp_path):
    np.save(tmp_path / "X.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"X\.npy is no NumPy file of plain arrays"):
        read_table(tmp_path / "X.npy")


def test_unknown_kind_of_file(tmp_path):
    with pytest.raises(ValueError, match=r"give \.npy, \.npz, \.csv, \.parquet"):
        read_table(tmp_path / "X.xlsx")


@pytest.mark.parametrize(
    ("name", "missing", "message"),
    [
        ("X.csv", "pandas", r"\.csv files need pandas: pip install sklearn-hilander\[tables\]"),
        ("X.parquet", "pyarrow", r"\.parquet files need pandas and pyarrow"),
    ],
)
def test_missing_packages(tmp_path, pandas, monkeypatch, name, missing, message):
    (tmp_path / name).write_text("a\n1\n")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=message):
        read_table(tmp_path / name)


def test_labels_of_their_own(tmp_path, pandas):
    np.save(tmp_path / "y.npy", [3, 1])
    assert read_labels(tmp_path / "y.npy").tolist() == [3, 1]
    (tmp_path / "y.csv").write_text("class\na\nb\n")
    assert read_labels(tmp_path / "y.csv").tolist() == ["a", "b"]
    (tmp_path / "y.csv").write_text("class\n-1\nb\n-1\n")
    assert read_labels(tmp_path / "y.csv").tolist() == [-1, "b", -1]
    np.save(tmp_path / "y.npy", [0.5, -1.0, 2.0])
    assert read_labels(tmp_path / "y.npy").tolist() == ["0.5", -1, "2.0"]
    np.save(tmp_path / "y.npy", [[3, 1]])
    with pytest.raises(ValueError, match="must be 1-d"):
        read_labels(tmp_path / "y.npy")
    np.savez(tmp_path / "y.npz", a=[1], b=[2])
    with pytest.raises(ValueError, match="must have one column; it has a, b"):
        read_labels(tmp_path / "y.npz")


def test_texts(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("a\x0cb\r\n\r\né\r\n".encode())
    assert read_texts(path) == ["a\x0cb", "", "é"]
    path.write_bytes("café\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"texts\.txt is no text in UTF-8: .*position 3"):
        read_texts(path)
    np.save(tmp_path / "texts.npy", ["x", "y"])
    assert read_texts(tmp_path / "texts.npy") == ["x", "y"]


def test_images(tmp_path):
    np.save(tmp_path / "i.npy", np.zeros((2, 3, 3), dtype=np.uint8))
    assert isinstance(read_images(tmp_path / "i.npy"), np.memmap)
    np.save(tmp_path / "i.npy", X)
    with pytest.raises(ValueError, match=r"has shape \(3, 2\), not"):
        read_images(tmp_path / "i.npy")
    with pytest.raises(ValueError, match=r"read from \.npy"):
        read_images(tmp_path / "i.png")


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(
            st.integers(-1, 5),
            st.floats(0, 1),
            st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0")),
        ),
        min_size=1,
        max_size=10,
    )
)
def test_labels_to_csv_and_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    labels, probabilities, ids = (list(column) for column in zip(*rows, strict=True))
    write_labels(path, np.array(labels), ids=ids, probabilities=np.array(probabilities))
    with path.open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert [row["id"] for row in read] == ids
    assert [int(row["cluster"]) for row in read] == labels
    np.testing.assert_allclose(
        [float(row["probability"]) for row in read], probabilities, rtol=1e-5, atol=1e-300
    )


def test_labels_to_other_files(tmp_path, pandas):
    labels = np.array([0, 1, -1])
    write_labels(tmp_path / "a.npy", labels)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), labels)
    write_labels(tmp_path / "a.npz", labels, ids=["x", "y", "z"])
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["id"].tolist() == ["x", "y", "z"]
        np.testing.assert_array_equal(arrays["cluster"], labels)
    pytest.importorskip("pyarrow", reason=".parquet is written with pyarrow")
    write_labels(tmp_path / "a.parquet", labels)
    frame = pandas.read_parquet(tmp_path / "a.parquet")
    assert frame.to_dict("list") == {"row": [0, 1, 2], "cluster": [0, 1, -1]}
    with pytest.raises(ValueError, match="labels are written to"):
        write_labels(tmp_path / "a.txt", labels)


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "labels.csv"
    write_atomically(path, lambda file: file.write(b"old"))

    def fail(file):
        file.write(b"half")
        raise RuntimeError("disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        write_atomically(path, fail)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_results_are_as_readable_as_other_files(tmp_path):
    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "result", lambda file: file.write(b""))
    usual, result = (stat.S_IMODE((tmp_path / n).stat().st_mode) for n in ("usual", "result"))
    assert result == usual


def test_a_link_stays_one(tmp_path):
    path, link = tmp_path / "labels.npy", tmp_path / "link.npy"
    path.write_bytes(b"")
    link.symlink_to(path)
    write_labels(link, np.arange(3))
    assert link.is_symlink()
    np.testing.assert_array_equal(np.load(path), np.arange(3))
