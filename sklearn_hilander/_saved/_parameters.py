"""Constructor parameters in JSON types, and back; names of the models of the package."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from sklearn_hilander._files._specs import SavedFileError
from sklearn_hilander._models._architectures import Architecture
from sklearn_hilander._saved._model_arrays import check_architecture

# Names that `pretrained` may have, and the files that they stand for.
PRETRAINED: dict[str, Path] = {
    "default": Path(__file__).parent.parent / "weights" / "default.safetensors",
}
# Not written. A cache is a folder of pickles and a checkpoint is replaced and deleted, so a file
# must not be able to name one; the model in the file takes the place of `pretrained`, but for the
# name of one that comes with the package.
_DROPPED = ("memory", "checkpoint", "pretrained")
LONGEST_TEXT = 10_000


def describe_parameters(params: dict[str, object]) -> dict[str, object]:
    """Constructor parameters in JSON types."""
    out: dict[str, object] = {}
    for name, value in params.items():
        if name in _DROPPED and not _is_name(value):
            value = None
        elif isinstance(value, Architecture):
            value = asdict(value)
        elif isinstance(value, np.generic):
            value = value.item()
        if name == "random_state" and not (value is None or isinstance(value, int)):
            raise SavedFileError(
                "random_state is a generator, whose state is not written: call "
                "set_params(random_state=...) with an integer or None, then save."
            )
        if not (value is None or isinstance(value, (bool, int, float, str, dict))):
            raise SavedFileError(
                f"{name} is a {type(value).__name__}, which cannot be written: set another value "
                "with set_params, then save."
            )
        out[name] = value
    return out


def build_parameters(description: dict, known: list[str]) -> dict[str, object]:
    """Constructor parameters; the estimator checks their range.

    One that is missing is younger than the file, and keeps its default.
    """
    params = dict(description)
    if unknown := sorted(params.keys() - set(known)):
        raise SavedFileError(f"unknown parameters: {', '.join(unknown)[:200]}.")
    for name, value in params.items():
        if name == "architecture" and isinstance(value, dict):
            params[name] = check_architecture(value)
        elif not (value is None or isinstance(value, (bool, int, float, str))):
            raise SavedFileError(f"the parameter {name} is of an unknown type.")
        elif isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise SavedFileError(f"the parameter {name} is too long.")
        if (
            name in _DROPPED
            and value is not None
            and not (name == "pretrained" and _is_name(value))
        ):
            raise SavedFileError(f"the parameter {name} is never read from a file.")
    return params


def _is_name(value: object) -> bool:
    """Whether this names a model that comes with the package."""
    return isinstance(value, str) and value in PRETRAINED
