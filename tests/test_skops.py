"""Estimators written by skops, and the types that a reader has to trust."""

import functools
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from sklearn_hilander import HiLanderClustering
from sklearn_hilander.datasets import make_identities

skops_io = pytest.importorskip("skops.io", reason="skops is not installed")

PAGE = Path(__file__).parent.parent / "docs" / "user_guide.rst"
QUICK = dict(max_iter=1, hidden_dim=4, random_state=0)
X, Y = make_identities(160, 12, mean_size=8, random_state=0)


def constrained():
    clusterer = HiLanderClustering(5, **QUICK)
    return clusterer.fit(X, Y, cannot_link=[[2, 3]], groups=np.arange(len(X)) % 80)


def asked():
    clusterer = HiLanderClustering(5, architecture="gat", **QUICK).fit(X, Y)
    assert len(clusterer.hierarchy_.merges) == len(clusterer.hierarchy_.merges)
    clusterer.merge_candidates()
    return clusterer


CASES = {
    "untrained": lambda: HiLanderClustering(metric="euclidean").fit(X),
    "default": lambda: HiLanderClustering(pretrained="default").fit(X),
    "relational": lambda: HiLanderClustering(5, **QUICK).fit(X, Y),
    "gcn": lambda: HiLanderClustering(5, architecture="gcn", **QUICK).fit(X, Y),
    "constrained": constrained,
    "went on": lambda: (
        HiLanderClustering(5, **QUICK).fit(X, Y).partial_fit(X[:9] + 0.01, min_growth=None)
    ),
    "asked before": asked,
}


@functools.cache
def written(case):
    """A clusterer of the case, and what skops writes of it."""
    clusterer = CASES[case]()
    return clusterer, skops_io.dumps(clusterer)


def documented():
    """The types that the user guide lists."""
    return set(re.findall(r"``(sklearn_hilander\.[\w.]+)``", PAGE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("case", CASES)
def test_comes_back_with_the_documented_types_trusted(case):
    clusterer, content = written(case)
    types = skops_io.get_untrusted_types(data=content)
    assert set(types) <= documented()
    with pytest.raises(TypeError, match="sklearn_hilander"):
        skops_io.loads(content, trusted=[])
    loaded = skops_io.loads(content, trusted=types)
    new = X[::3] + 0.05
    np.testing.assert_array_equal(loaded.labels_, clusterer.labels_)
    np.testing.assert_array_equal(loaded.predict(new), clusterer.predict(new))
    np.testing.assert_array_equal(loaded.hierarchy_.merges.a, clusterer.hierarchy_.merges.a)
    np.testing.assert_array_equal(loaded.fit_predict(new), clusterer.fit_predict(new))


def test_no_type_is_documented_that_is_not_met():
    met = set()
    for case in CASES:
        met |= set(skops_io.get_untrusted_types(data=written(case)[1]))
    assert met == documented()


def test_what_was_computed_on_demand_is_not_pickled():
    clusterer = asked()
    assert clusterer._known.views
    loaded = pickle.loads(pickle.dumps(clusterer))
    assert not loaded._known.views
    np.testing.assert_array_equal(loaded.probabilities_, clusterer.probabilities_)
