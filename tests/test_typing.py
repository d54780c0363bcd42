"""Type hints of the public interface, as mypy sees them and as they are at run time.

mypy checks this file with the package (`files` in pyproject.toml): an `assert_type` that is not so
is an error there, and nothing at run time, where pytest compares with what really comes.
"""

from __future__ import annotations

import inspect
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from typing_extensions import assert_type

import sklearn_hilander
from sklearn_hilander import (
    Constraints,
    Hierarchy,
    HiLanderClustering,
    datasets,
    encoding,
    inspection,
    metrics,
)
from sklearn_hilander.datasets import make_identities
from sklearn_hilander.encoding import ClassifierEncoder
from sklearn_hilander.metrics import match_labels, pairwise_f_score

Labels = NDArray[np.int64]
Reals = NDArray[np.float64]


def assert_dtypes(kind: type[np.generic], *arrays: np.ndarray) -> None:
    assert [array.dtype for array in arrays] == [np.dtype(kind)] * len(arrays)


def test_the_hints_are_shipped() -> None:
    assert (files("sklearn_hilander") / "py.typed").is_file()


def test_clusterer() -> None:
    X, y = make_identities(60, 8, random_state=0)
    clusterer = HiLanderClustering(
        5, metric="cosine", linkage_threshold=0.5, max_iter=1, hidden_dim=4, random_state=0
    )
    assert_type(clusterer.fit(X.tolist(), y), HiLanderClustering)
    assert_type(clusterer.fit(pd.DataFrame(X)), HiLanderClustering)
    fitted = HiLanderClustering().fit(X, must_link=[[0, 1]], groups=np.arange(len(X)) // 2 * 0 - 1)
    labels = assert_type(fitted.fit_predict(X, y), Labels)
    more = assert_type(fitted.predict(X, cannot_link=[(0, 1)]), Labels)
    assert_dtypes(np.int64, labels, more, assert_type(fitted.labels_, Labels))
    assert isinstance(assert_type(fitted.score(X, y), float), float)
    assert_type(fitted.partial_fit(X[:3]), HiLanderClustering)
    assert_type(fitted.relabel(min_cluster_size=2), HiLanderClustering)
    assert_dtypes(
        np.int64,
        assert_type(fitted.exemplar_indices_, Labels),
        assert_type(fitted.cluster_sizes_, Labels),
    )
    assert_dtypes(
        np.float64,
        assert_type(fitted.probabilities_, Reals),
        assert_type(fitted.outlier_scores_, Reals),
        assert_type(fitted.cluster_centers_, Reals),
    )
    hierarchy = assert_type(fitted.hierarchy_, Hierarchy)
    assert_dtypes(
        np.int64, assert_type(hierarchy.cut(n_clusters=hierarchy.n_clusters[0]), np.ndarray)
    )
    assert sp.issparse(fitted.soft_membership(X[:2], top=3))


def test_files(tmp_path: Path) -> None:
    X, _ = make_identities(40, 8, random_state=0)
    assert_type(HiLanderClustering().fit(X).save(tmp_path / "c"), None)
    loaded = assert_type(HiLanderClustering.load(str(tmp_path / "c")), HiLanderClustering)
    assert_type(HiLanderClustering(pretrained=loaded, architecture="gcn"), HiLanderClustering)
    said = Constraints(must_link=[(0, 1)], groups=None)
    said.merge(said).take([1, 0]).save(tmp_path / "said")
    assert_type(Constraints.load(tmp_path / "said"), Constraints)


def test_metrics_and_encoder() -> None:
    assert isinstance(assert_type(pairwise_f_score([0, 0, 1], ["a", "a", "b"]), float), float)
    assert_dtypes(np.int64, match_labels(np.array([0, 1]), [1, 0]))
    X, y = make_identities(40, 8, random_state=0)
    encoder = assert_type(ClassifierEncoder(4, max_iter=1).fit(X, y), ClassifierEncoder)
    assert_dtypes(np.float32, assert_type(encoder.transform(X), NDArray[np.float32]))


def test_everything_public_has_hints() -> None:
    """mypy demands hints where a function is defined; here, that none is inherited without."""
    missing = []
    for module in (sklearn_hilander, datasets, encoding, inspection, metrics):
        for name in module.__all__:
            thing = getattr(module, name)
            functions = [thing] if inspect.isfunction(thing) else []
            if inspect.isclass(thing):
                functions = [
                    inspect.unwrap(function)
                    for key, function in inspect.getmembers(thing, inspect.isroutine)
                    if callable(function)
                    and not key.startswith("_")
                    and getattr(function, "__module__", "").startswith("sklearn_hilander")
                ]
            for function in functions:
                signature = inspect.signature(function)
                hints = [signature.return_annotation] + [
                    parameter.annotation
                    for key, parameter in signature.parameters.items()
                    if key not in ("self", "cls")
                ]
                if inspect.Parameter.empty in hints:
                    missing.append(f"{module.__name__}.{function.__qualname__}")
    assert missing == []
