"""Constraints on nodes and rows: no merge breaks one, and contradictions name the rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_hilander import Constraints, HiLanderClustering
from sklearn_hilander._clusters._merge_tree import components
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._constraints._row_constraints import check_constraints
from sklearn_hilander._types import Merges

seeds = st.integers(0, 10**6)


def random_constraints(rng, n, n_cannot, n_groups):
    cannot = rng.integers(0, n, (n_cannot, 2))
    cannot = cannot[cannot[:, 0] != cannot[:, 1]]
    members = np.stack([rng.permutation(n), rng.integers(0, max(n_groups, 1), n)], axis=1)
    return NodeConstraints(
        np.zeros((0, 2), dtype=np.int64), cannot, members[: n if n_groups else 0]
    )


def broken(constraints, labels):
    pairs = [tuple(pair) for pair in constraints.cannot]
    for group in np.unique(constraints.members[:, 1]):
        nodes = constraints.members[constraints.members[:, 1] == group, 0]
        pairs += [(a, b) for a in nodes for b in nodes if a < b]
    return [(a, b) for a, b in pairs if labels[a] == labels[b]]


@given(
    seed=seeds,
    n=st.integers(2, 20),
    n_merges=st.integers(0, 40),
    n_cannot=st.integers(0, 10),
    n_groups=st.sampled_from([0, 2, 8]),
)
@settings(max_examples=150, deadline=None)
def test_admitted_merges_break_nothing_and_no_more_could_be_made(
    seed, n, n_merges, n_cannot, n_groups
):
    rng = np.random.default_rng(seed)
    constraints = random_constraints(rng, n, n_cannot, n_groups)
    labels = np.arange(n)
    for _ in range(2):
        a, b = rng.integers(0, labels.max() + 1, (2, n_merges))
        priority = rng.random(n_merges)
        n_clusters = int(labels.max()) + 1
        admitted = constraints.admit(labels, n_clusters, a, b, priority)
        merged = components(
            Merges(a[admitted], b[admitted], np.ones(admitted.sum())), n_clusters, 0
        )
        assert not broken(constraints, merged[labels])
        for one, other in zip(a[~admitted], b[~admitted], strict=True):
            again = np.where(merged == merged[one], merged[other], merged)
            assert broken(constraints, again[labels])
        labels = merged[labels]


@given(seed=seeds, n=st.integers(2, 20), n_cannot=st.integers(0, 10), n_groups=st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_conflicting_is_what_a_merge_would_break(seed, n, n_cannot, n_groups):
    rng = np.random.default_rng(seed)
    constraints = random_constraints(rng, n, n_cannot, n_groups)
    labels = np.unique(rng.integers(0, n, n), return_inverse=True)[1]
    n_clusters = int(labels.max()) + 1
    i, j = np.triu_indices(n_clusters, 1)
    found = constraints.conflicting(labels, n_clusters, i, j)
    before = set(broken(constraints, labels))
    for a, b, conflict in zip(i, j, found, strict=True):
        after = set(broken(constraints, np.where(labels == b, a, labels)))
        assert conflict == (after > before)


def test_of_merges_that_exclude_each_other_the_most_probable_is_made():
    constraints = NodeConstraints(
        np.zeros((0, 2), int), np.array([[0, 2]]), np.zeros((0, 2), dtype=int)
    )
    a, b = np.array([0, 1]), np.array([1, 2])
    for priority, expected in (([0.9, 0.6], [True, False]), ([0.6, 0.9], [False, True])):
        admitted = constraints.admit(np.arange(3), 3, a, b, np.array(priority))
        assert admitted.tolist() == expected


def on_nodes(n=5, nodes=None, **given):
    checked = check_constraints(
        n, given.get("must_link"), given.get("cannot_link"), given.get("groups")
    )
    return checked.on_nodes(np.arange(n) if nodes is None else np.asarray(nodes))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(must_link=[(0, 1), (1, 2)], cannot_link=[(2, 0)]), "rows 2 and 0"),
        (dict(must_link=[(3, 1)], groups=[1, 7, 2, 7, 3]), "rows 1 and 3 .* group 7"),
        (dict(must_link=[(3, 1)], groups=["a", "b", None, "b", None]), "rows 1 and 3 .*'b'"),
        (dict(cannot_link=[(0, 4)], nodes=[0, 1, 2, 3, 0]), "rows 0 and 4 are exact copies"),
        (dict(groups=[5, 1, 2, 3, 5], nodes=[0, 1, 2, 3, 0]), "rows 0 and 4 are exact copies"),
    ],
)
def test_contradictions_name_the_rows(given, message):
    with pytest.raises(ValueError, match=message):
        on_nodes(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (dict(must_link=[(0, 5)]), r"must_link names the pair \(0, 5\), but rows are 0 to 4"),
        (dict(cannot_link=[(-1, 2)]), "cannot_link names the pair"),
        (dict(cannot_link=[(2, 2)]), "row 2 is paired with itself"),
        (dict(must_link=[0, 1]), "must_link must be pairs"),
        (dict(must_link=[(0.5, 1)]), "must_link must be pairs"),
        (dict(groups=[1, 2]), "one id a row"),
        (dict(groups=[[1], [2], [3], [4], (5, 6)]), "groups must"),
    ],
)
def test_bad_constraints(given, message):
    if "groups" in given and len(given["groups"]) == 5:
        values = np.empty(5, dtype=object)
        values[:] = given["groups"]
        given = dict(groups=values)
    with pytest.raises(ValueError, match=message):
        on_nodes(**given)


@pytest.mark.parametrize(
    "groups",
    [
        [1, -1, 1, -1, 2],
        [-3, -1, -3, -1, 2],
        [1.0, np.nan, 1.0, np.nan, 2.0],
        [-2.5, -1.0, -2.5, np.nan, 2.0],
        [1.0, np.nan, 1.0, np.nan, np.inf],
        [1e30, -1, 1e30, -1, 2e30],
        ["x", None, "x", None, "y"],
        ["-1", -1, "-1", np.nan, "nan"],
    ],
)
def test_what_is_no_group(groups):
    values = np.array(groups, dtype=object) if None in groups else groups
    members = on_nodes(groups=values).members
    assert sorted(map(tuple, members.tolist())) == [(0, 0), (2, 0), (4, 1)]
    ids = [groups[0], None, groups[0], None, groups[4]]
    assert Constraints(groups=values)["groups"] == Constraints(groups=groups)["groups"] == ids


def test_missing_values_of_pandas_are_no_group():
    pandas = pytest.importorskip("pandas", reason="the missing values are those of pandas")
    for kind, ids in (("string", ["x", "y"]), ("Int64", [3, 4]), (object, ["x", "y"])):
        series = pandas.Series([ids[0], pandas.NA, ids[0], pandas.NA, ids[1]], dtype=kind)
        members = on_nodes(groups=series).members
        assert sorted(map(tuple, members.tolist())) == [(0, 0), (2, 0), (4, 1)]
        assert Constraints(groups=series)["groups"] == [ids[0], None, ids[0], None, ids[1]]


def test_nothing_is_constrained():
    assert check_constraints(3, None, [], None) is None
    assert check_constraints(3, None, None, [-1, -1, -1]) is None


pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] != p[1]))
groups = st.none() | st.lists(st.none() | st.integers(0, 3), min_size=10, max_size=10)


@given(must=pairs, cannot=pairs, groups=groups)
@settings(max_examples=40, deadline=None)
def test_saved_constraints_are_the_same(tmp_path_factory, must, cannot, groups):
    said = Constraints(must, cannot, groups)
    path = tmp_path_factory.mktemp("said") / "said.json"
    said.save(path)
    assert Constraints.load(path) == said
    assert said.merge(said) == said
    assert said.take(range(10)) == said
    assert {tuple(sorted(p)) for p in must} == set(map(tuple, said["must_link"].tolist()))
    turned = said.take(range(9, -1, -1))
    assert {(9 - b, 9 - a) for a, b in said["cannot_link"].tolist()} == set(
        map(tuple, turned["cannot_link"].tolist())
    )
    assert turned.take(range(9, -1, -1)) == said
    assert dict(**said).keys() == {"must_link", "cannot_link", "groups"}


def test_merged_constraints():
    one = Constraints([(0, 1)], groups=["a", None, None])
    other = Constraints([(1, 0)], [(2, 1)], groups=[None, "b", None])
    both = one.merge(other)
    assert repr(both) == "Constraints(1 must-links, 1 cannot-links, 2 groups)"
    assert both["groups"] == ["a", "b", None]
    with pytest.raises(ValueError, match="row 0 is in group 'a' and in 'c'"):
        one.merge(Constraints(groups=["c", None, None]))
    with pytest.raises(ValueError, match="3 and of 2 rows"):
        one.merge(Constraints(groups=["c", None]))
    assert one.take([2, 1]) == Constraints(groups=[None, None])
    with pytest.raises(ValueError, match="paired with itself"):
        Constraints(cannot_link=[(1, 1)])


@pytest.mark.parametrize("text", ["", "[]", '{"format": "other"}', "\x80"])
def test_a_file_that_is_none(tmp_path, text):
    path = tmp_path / "file.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="not a file of constraints"):
        Constraints.load(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("must_link", "5"),
        ("must_link", "null"),
        ("must_link", '{"0": 1}'),
        ("cannot_link", "[[0, 1], [2]]"),
        ("cannot_link", "[[0, 1.5]]"),
        ("groups", "3"),
        ("groups", "[[1], [2]]"),
        ("groups", "[[1], [2, 3]]"),
        ("groups", '[{"a": 1}, 2]'),
        ("groups", '[{"a": 1}, {"a": 1}]'),
    ],
)
def test_a_file_of_other_values(tmp_path, name, value):
    path = tmp_path / "file.json"
    path.write_text(
        f'{{"format": "sklearn_hilander.Constraints", "version": 1, "{name}": {value}}}'
    )
    with pytest.raises(ValueError, match=r"file\.json is not a file of constraints: "):
        Constraints.load(path)


def test_groups_of_numpy_are_saved(tmp_path):
    said = Constraints(groups=[np.int64(3), None, np.float32(0.5), np.str_("a")])
    said.save(tmp_path / "said.json")
    assert Constraints.load(tmp_path / "said.json")["groups"] == [3, None, 0.5, "a"]


def test_taken_by_a_mask():
    mask = [False, True, True, True, False]
    for groups in (None, ["a", None, "b", "b", "c"]):
        said = Constraints([(1, 3)], [(0, 1)], groups)
        assert said.take(mask) == said.take(np.array(mask)) == said.take([1, 2, 3])
        assert said.take([]) == Constraints(groups=None if groups is None else [])
        for rows in (mask[:3], [0.5, 1.0], [0, -1], [[0, 1]], 3, ["1"]):
            with pytest.raises(
                ValueError, match=r"rows (must be row numbers|are a mask of 3 rows)"
            ):
                said.take(rows)
    with pytest.raises(ValueError, match="a mask of 6 rows; constraints are on 5"):
        said.take([*mask, True])
    assert Constraints([(0, 1)]).take([True] * 3) == Constraints([(0, 1)])


def test_a_file_of_a_later_release(tmp_path):
    path = tmp_path / "file.json"
    path.write_text('{"format": "sklearn_hilander.Constraints", "version": 9}')
    with pytest.raises(ValueError, match="version 9"):
        Constraints.load(path)


def test_large_ids_beside_what_is_none_stay_apart():
    one, other = 2**60 + 1, 2**60 + 2
    assert Constraints(groups=[one, other, float("nan")])["groups"] == [one, other, None]
    rows = np.repeat(np.eye(2), 2, axis=0)
    clusterer = HiLanderClustering(architecture="untrained")
    for none in (None, float("nan"), -1.0):
        labels = clusterer.fit(rows, groups=[one, other, none, none]).labels_
        assert labels[0] == labels[1], none
    with pytest.raises(ValueError, match="give them as texts"):
        clusterer.fit(rows, groups=[2**63 + 1, 5, -7, 6])
