"""An estimator to a file and back: what of it is written, and what it is after loading."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import scipy
import sklearn
import torch
from sklearn.utils.validation import check_is_fitted

from sklearn_hilander._files._persistence import FORMAT_VERSION, read_file, write_file
from sklearn_hilander._files._specs import (
    ArraySpec,
    SavedFileError,
    check_int,
    check_keys,
    check_list,
)
from sklearn_hilander._models._model import Model
from sklearn_hilander._saved._cluster_arrays import (
    build_clusters,
    cluster_arrays,
    describe_clusters,
    plan_clusters,
)
from sklearn_hilander._saved._model_arrays import (
    build_model,
    describe_model,
    model_arrays,
    plan_model,
)
from sklearn_hilander._saved._parameters import (
    LONGEST_TEXT,
    PRETRAINED,
    build_parameters,
    describe_parameters,
)
from sklearn_hilander._version import __version__

if TYPE_CHECKING:
    from typing_extensions import Self

_CLASS = "HiLanderClustering"
_HEADER = {"format", "class", "versions", "params", "model", "clusters", "fit"}


class SavingMixin:
    """``save`` and ``load`` of `HiLanderClustering`."""

    if TYPE_CHECKING:
        # Of the estimator.
        n_features_in_: int
        feature_names_in_: np.ndarray
        _learned: bool
        _get_param_names: Any
        _keep: Any
        _validate_params: Any
        get_params: Any

    def save(self, path: str | os.PathLike[str], *, clusters: bool = True) -> None:
        """Write parameters, model and clusters to a safetensors file.

        The file is written whole or not at all: whenever the process is killed, there is the old
        file or the new one.

        Parameters
        ----------
        path : str or os.PathLike
            Replaced if it exists.
        clusters : bool, default=True
            Write the fitted clusters and all that can be asked of them; the embeddings of all
            distinct rows are part of it. If False, the model and the parameters alone are written:
            after loading, ``fit(X)`` clusters with the model, and ``predict`` wants a ``fit``
            first.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If there is nothing to write.
        SavedFileError
            If something cannot be written, as a `random_state` that is not an integer, or ids of
            `groups` that are neither integers nor strings; the message says what to do. The old
            file is untouched.
        OSError
            As the system reports it; the old file is untouched.

        Notes
        -----
        `memory`, `checkpoint` and `pretrained` are not written: they are None after loading, but
        for ``pretrained="default"``. The model in the file takes the place of `pretrained`.
        """
        check_is_fitted(self)
        if clusters:
            check_is_fitted(
                self,
                "labels_",
                msg="There are no clusters to save: call fit(X), or save with clusters=False.",
            )
        state = vars(self)
        header: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "class": _CLASS,
            "versions": _versions(),
            "params": describe_parameters(self.get_params(deep=False)),
            "model": describe_model(state["_model"]),
            "clusters": None,
            "fit": None,
        }
        arrays = model_arrays(state["_model"])
        if clusters:
            known = state["_known"]
            header["clusters"] = describe_clusters(known)
            names = state.get("feature_names_in_")
            header["fit"] = {
                "n_features_in": int(state["n_features_in_"]),
                "feature_names_in": None if names is None else [str(name) for name in names],
            }
            arrays |= cluster_arrays(known)
        write_file(os.fspath(path), header, arrays, _plan)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read an estimator that ``save`` wrote. Runs no code from the file.

        Name, shape, type and bounds of everything are checked before memory is taken for it, and
        the values after that. A checksum finds damage; it does not say who wrote the file.

        Parameters
        ----------
        path : str or os.PathLike

        Returns
        -------
        HiLanderClustering
            It gives the same results as the one saved, bit for bit, on the same machine and
            versions.

        Raises
        ------
        SavedFileError
            A ValueError: the file is damaged, of a newer version, or nothing that ``save`` wrote.
        OSError
            If the file cannot be read, FileNotFoundError if there is none.
        """
        header, arrays = read_file(os.fspath(path), _plan)
        try:
            estimator = cls(**build_parameters(header["params"], cls._get_param_names()))
            estimator._validate_params()
            model = build_model(header["model"], arrays)
            clusters = None
            if header["clusters"] is not None:
                clusters = build_clusters(header["clusters"], arrays)
        except ValueError as error:
            raise SavedFileError(
                f"{os.fspath(path)}: {error} Nothing was loaded; get another copy of the file."
            ) from error
        estimator._set_model(model)
        estimator._learned = True
        if clusters is not None:
            estimator._keep(clusters)
            fit = header["fit"]
            estimator.n_features_in_ = fit["n_features_in"]
            if fit["feature_names_in"] is not None:
                estimator.feature_names_in_ = np.array(fit["feature_names_in"], dtype=object)
        elif model.n_features is not None:
            estimator.n_features_in_ = model.n_features
        return estimator

    def _set_model(self, model: Model) -> None:
        """The attributes that say what the model is."""
        self._model = model
        self.lander_ = model.network
        self.selected_ = model.selected
        self.validation_scores_ = dict(model.validation_scores)
        self.loss_curve_ = list(model.loss_curve)
        self.n_iter_ = len(model.loss_curve)


def pretrained_model(pretrained: str | os.PathLike[str]) -> Model:
    """The model of a file, or of a name that stands for one.

    Raises
    ------
    ValueError
        If there is no such name or file, or the file is not understood.
    """
    path = PRETRAINED.get(pretrained, pretrained) if isinstance(pretrained, str) else pretrained
    try:
        header, arrays = read_file(os.fspath(path), _plan)
        return build_model(header["model"], arrays)
    except SavedFileError as error:
        raise SavedFileError(f"pretrained={pretrained!r} cannot be used: {error}") from error
    except OSError as error:
        names = f", or a name: {', '.join(PRETRAINED)}" if PRETRAINED else ""
        raise ValueError(
            f"pretrained={pretrained!r} cannot be read ({error}). Give a fitted estimator, or the "
            f"path of a file that HiLanderClustering.save wrote{names}."
        ) from error


def _plan(header: dict) -> dict[str, ArraySpec]:
    """What arrays a file with this header has; refuses a header that is not understood."""
    check_keys(header, _HEADER, "the header")
    if header["class"] != _CLASS:
        raise SavedFileError("it holds another class.")
    _check_texts(header["versions"], "the versions")
    if not isinstance(header["params"], dict):
        raise SavedFileError("the parameters are not an object.")
    plan = plan_model(header["model"])
    if (header["clusters"] is None) != (header["fit"] is None):
        raise SavedFileError("it has half of what a fit leaves.")
    if header["clusters"] is None:
        return plan
    plan |= plan_clusters(header["clusters"])
    fit = check_keys(header["fit"], {"n_features_in", "feature_names_in"}, "the fit")
    n_features = check_int(fit["n_features_in"], "the number of features", 1)
    clusters = header["clusters"]
    # Of distances, a row has as many as there are rows.
    of_distances = clusters["metric"] == "precomputed"
    widths = {n_features, clusters["n_samples" if of_distances else "n_features"]}
    if header["model"]["network"]["kind"] == "lander":
        widths.add(header["model"]["network"]["n_features"])
    if len(widths) > 1:
        raise SavedFileError("model and clusters are of different numbers of features.")
    names = fit["feature_names_in"]
    if names is not None:
        if len(check_list(names, "the feature names")) != n_features:
            raise SavedFileError("there are not as many feature names as features.")
        _check_texts(dict(enumerate(names)), "the feature names")
    return plan


def _versions() -> dict[str, str]:
    """What wrote the file, for those who look into it; loading does not depend on it."""
    return {
        "sklearn_hilander": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
        "torch": str(torch.__version__),
        "joblib": joblib.__version__,
    }


def _check_texts(mapping: object, where: str) -> None:
    if not isinstance(mapping, dict):
        raise SavedFileError(f"{where} are not an object.")
    for value in mapping.values():
        if not isinstance(value, str) or len(value) > LONGEST_TEXT:
            raise SavedFileError(f"{where} are not texts.")
