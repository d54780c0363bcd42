"""Constraints on known clusters as a description in JSON types and named arrays, and back."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sklearn_hilander._clusters._known_clusters import KnownGroups
from sklearn_hilander._constraints._node_constraints import NodeConstraints
from sklearn_hilander._files._specs import ArraySpec, SavedFileError, check_int, check_keys

_PAIRS = ("must", "cannot")


def describe_constraints(
    constraints: NodeConstraints | None, groups: KnownGroups | None
) -> dict | None:
    """Everything but the arrays, in JSON types.

    Raises
    ------
    SavedFileError
        If the ids of groups are neither integers nor strings.
    """
    if constraints is None:
        return None
    description: dict[str, Any] = {
        "n_must": len(constraints.must),
        "n_cannot": len(constraints.cannot),
        "n_members": len(constraints.members),
        "groups": None,
    }
    if groups is not None:
        names = _name_arrays(groups.names)
        description["groups"] = {
            "n_groups": len(groups.names),
            # None for integers.
            "width": names["groups/text"].shape[1] if "groups/text" in names else None,
        }
    return description


def constraint_arrays(
    constraints: NodeConstraints | None, groups: KnownGroups | None
) -> dict[str, np.ndarray]:
    """The arrays, by the names of `plan_constraints`."""
    if constraints is None:
        return {}
    arrays = {f"constraints/{name}": getattr(constraints, name) for name in _PAIRS}
    # Those of the groups are the same.
    arrays["constraints/members"] = constraints.members[:, 0]
    arrays["constraints/groups"] = constraints.members[:, 1]
    if groups is not None:
        arrays |= _name_arrays(groups.names)
    return arrays


def plan_constraints(description: object, n_nodes: int) -> dict[str, ArraySpec]:
    """What arrays described constraints have.

    Raises
    ------
    SavedFileError
        If the description is not one of `describe_constraints`.
    """
    if description is None:
        return {}
    keys = {"n_must", "n_cannot", "n_members", "groups"}
    given = check_keys(description, keys, "the constraints")
    plan = {
        f"constraints/{name}": ArraySpec(
            (check_int(given[f"n_{name}"], "a number of constraints"), 2), "int64", 0, n_nodes - 1
        )
        for name in _PAIRS
    }
    members = (check_int(given["n_members"], "the number of members of groups"),)
    n_groups = 0
    if given["groups"] is not None:
        groups = check_keys(given["groups"], {"n_groups", "width"}, "the groups")
        n_groups = check_int(groups["n_groups"], "the number of groups")
        if groups["width"] is None:
            plan["groups/ids"] = ArraySpec((n_groups,), "int64")
        else:
            shape = (n_groups, check_int(groups["width"], "the length of the names", 1))
            plan["groups/text"] = ArraySpec(shape, "uint32", 0, sys.maxunicode)
    plan["constraints/members"] = ArraySpec(members, "int64", 0, n_nodes - 1)
    plan["constraints/groups"] = ArraySpec(members, "int64", 0, n_groups - 1)
    return plan


def build_constraints(
    description: dict | None, arrays: dict[str, np.ndarray]
) -> tuple[NodeConstraints | None, KnownGroups | None]:
    """Constraints and groups of a description that `plan_constraints` accepted.

    Raises
    ------
    SavedFileError
        If the arrays contradict each other.
    """
    if description is None:
        return None, None
    members = np.stack([arrays["constraints/members"], arrays["constraints/groups"]], axis=1)
    must, cannot = (arrays[f"constraints/{name}"] for name in _PAIRS)
    constraints = NodeConstraints(must, cannot, members)
    if description["groups"] is None:
        return constraints, None
    is_text = "groups/text" in arrays
    names = _text(arrays["groups/text"]) if is_text else arrays["groups/ids"]
    if (names[1:] <= names[:-1]).any():
        raise SavedFileError("the groups are not in order, or two have one name.")
    return constraints, KnownGroups(names, members)


def _name_arrays(names: np.ndarray) -> dict[str, np.ndarray]:
    """Ids of groups: integers as they are, strings by their code points."""
    if names.dtype.kind == "U":
        points = np.ascontiguousarray(names, dtype=names.dtype.newbyteorder("=")).view(np.uint32)
        return {"groups/text": points.reshape(len(names), names.dtype.itemsize // 4)}
    if names.dtype.kind in "iu" and (len(names) == 0 or names.max() <= np.iinfo(np.int64).max):
        return {"groups/ids": names.astype(np.int64)}
    raise SavedFileError(
        f"the ids of groups are {names.dtype}, which is not written: pass integers or strings as "
        "groups to fit, or save with clusters=False."
    )


def _text(points: np.ndarray) -> np.ndarray:
    """Strings from their code points, (n_strings,)."""
    return np.ascontiguousarray(points).view(f"U{points.shape[1]}").reshape(len(points))
